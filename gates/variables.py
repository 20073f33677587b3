"""The variables that template.yaml sets are those that settings.py reads: one that nobody reads is a leftover, one
that nobody sets is empty in Lambda alone."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from gates.boundaries import parse
from gates.finding import Finding
from gates.template import TEMPLATE, read_template

SETTINGS = Path("layers/common/filepath/settings.py")
LAMBDAS_OWN = {"AWS_REGION"}
LIBRARIES = re.compile("POWERTOOLS_[A-Z_]+")
NAME = re.compile("[A-Z][A-Z0-9_]*")


def variables_are_set_and_read(root: Path) -> Iterator[Finding]:
    known, given = read_by_settings(root), set(set_by_template(read_template(root)))
    for name in sorted(given - known.keys()):
        if not LIBRARIES.fullmatch(name):
            yield Finding(TEMPLATE, 1, f"sets {name}, which {SETTINGS} does not read")
    for name in sorted(known.keys() - given - LAMBDAS_OWN):
        yield Finding(SETTINGS, known[name], f"reads {name}, which template.yaml sets on no function")


def read_by_settings(root: Path) -> dict[str, int]:
    calls = (node for node in ast.walk(parse(root / SETTINGS)) if isinstance(node, ast.Call) and node.args)
    first = (call.args[0] for call in calls)
    return {
        argument.value: argument.lineno
        for argument in first
        if isinstance(argument, ast.Constant) and isinstance(argument.value, str) and NAME.fullmatch(argument.value)
    }


def set_by_template(template: dict[str, Any]) -> Iterator[str]:
    functions = [template.get("Globals", {}).get("Function", {})]
    functions += [resource.get("Properties", {}) for resource in template.get("Resources", {}).values()]
    for function in functions:
        yield from function.get("Environment", {}).get("Variables", {})
