"""Where the source makes writes that carry a condition, and what a condition is made of."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

WRITES = frozenset({"Put", "Update", "Delete", "Check"})
RENDERING = "table.py"
"""Defines the writes and makes none."""
_POSITION = {"Delete": 1, "Check": 1, "Update": 1}
"""Of the condition among the arguments."""


@dataclass(frozen=True, order=True)
class Site:
    """A call in the source that makes a write with a condition, or has a function of its module make it."""

    path: str
    line: int
    column: int

    def __str__(self) -> str:
        return f"{self.path}:{self.line}"


@dataclass(frozen=True)
class Source:
    """What a package says of its writes."""

    sites: dict[Site, str]
    """The function that each stands in."""
    makers: frozenset[tuple[str, str]]
    """File and name of the functions that take a condition from their caller, whose calls are the sites."""


def read(package: Path) -> Source:
    files = {path: ast.parse(path.read_text()) for path in sorted(package.rglob("*.py")) if path.name != RENDERING}
    makers = frozenset((str(path), name) for path, tree in files.items() for name in _makers(tree))
    found = {
        Site(str(path), call.lineno, call.col_offset): function
        for path, tree in files.items()
        for function, call in _calls(tree)
        if _is_conditional(call, {name for file, name in makers if file == str(path)})
    }
    return Source(found, makers)


def _calls(tree: ast.Module) -> Iterator[tuple[str, ast.Call]]:
    for function in (node for node in ast.walk(tree) if isinstance(node, ast.FunctionDef)):
        for node in ast.walk(function):
            if isinstance(node, ast.Call) and isinstance(node.func, ast.Name):
                yield function.name, node


def _makers(tree: ast.Module) -> set[str]:
    functions = {node.name: node for node in ast.walk(tree) if isinstance(node, ast.FunctionDef)}
    return {name for name, call in _calls(tree) if _passes_on(call, functions[name])}


def _passes_on(call: ast.Call, function: ast.FunctionDef) -> bool:
    parameters = {each.arg for each in (*function.args.args, *function.args.kwonlyargs)}
    condition = _condition(call)
    return isinstance(condition, ast.Name) and condition.id in parameters


def _condition(call: ast.Call) -> ast.expr | None:
    name = call.func.id if isinstance(call.func, ast.Name) else ""
    if name not in WRITES:
        return None
    for keyword in call.keywords:
        if keyword.arg in {"condition", "new"}:
            return keyword.value
    position = _POSITION.get(name, len(call.args))
    return call.args[position] if position < len(call.args) else None


def _is_conditional(call: ast.Call, makers: set[str]) -> bool:
    if isinstance(call.func, ast.Name) and call.func.id in makers:
        return True
    condition = _condition(call)
    # A bare name is a maker's own parameter: its caller is the site.
    return condition is not None and not isinstance(condition, ast.Name)


def conjuncts(condition: str) -> list[str]:
    """The parts that must all hold. What stands in parentheses, or is joined by OR, is one."""
    parts, depth = [""], 0
    for word in re.findall(r"\s+|[()]|[^\s()]+", condition):
        depth += {"(": 1, ")": -1}.get(word, 0)
        if word == "AND" and depth == 0:
            parts.append("")
        elif word == "OR" and depth == 0:
            return [condition]
        else:
            parts[-1] += word
    return [part.strip() for part in parts]


def without(condition: str, conjunct: str) -> str | None:
    return " AND ".join(part for part in conjuncts(condition) if part != conjunct) or None


def placeholders(condition: str | None) -> set[str]:
    return set(re.findall(r":(\w+)", condition or ""))
