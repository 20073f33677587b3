"""A write as it is made: where the source makes it, what it demands, and the same with one demand less."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from types import FrameType
from typing import Any

from filepath.aws.table import Check, Delete, Put, Update, Write
from gates.mutation.conditions import RENDERING, Site, Source, conjuncts, placeholders, without

_DEFAULT = "only where not set: "
NEW = "attribute_not_exists(pk)"
_ANYTHING = f"attribute_exists(pk) OR {NEW}"
"""DynamoDB takes no check without a condition."""


@dataclass(frozen=True, order=True)
class Mutant:
    """One write of the source without one of its conditions."""

    site: Site
    demand: str

    @property
    def is_default(self) -> bool:
        return self.demand.startswith(_DEFAULT)


def observe(source: Source, seen: Callable[[Write, Site], None]) -> None:
    """Has `seen` called with each write that is made from here on in this process, before it goes anywhere."""
    kinds: tuple[type[Any], ...] = (Put, Update, Delete, Check)
    for kind in kinds:
        kind.__init__ = _showing(kind.__init__, source, seen)


def _showing(make: Callable[..., None], source: Source, seen: Callable[[Write, Site], None]) -> Callable[..., None]:
    def make_and_show(self: Write, *arguments: Any, **named: Any) -> None:
        make(self, *arguments, **named)
        site = _site(sys._getframe(1), source)  # noqa: SLF001 - the interpreter's only way to tell
        if site in source.sites:
            seen(self, site)

    return make_and_show


def _site(frame: FrameType | None, source: Source) -> Site:
    """The call that makes the write; behind functions that take its condition, the call of the first of them."""
    while frame is not None and (frame.f_code.co_filename, frame.f_code.co_name) in source.makers:
        frame = frame.f_back
    if frame is None:
        return Site(RENDERING, 0, 0)
    line, _, column, _ = list(frame.f_code.co_positions())[frame.f_lasti // 2]
    return Site(frame.f_code.co_filename, line or 0, column or 0)


def condition(write: Write) -> str | None:
    """As DynamoDB will be asked."""
    match write:
        case Put():
            alternatives = [NEW, *([write.unless] if write.unless else [])]
            return " OR ".join(alternatives) if write.new else None
        case _:
            return write.condition


def demands(write: Write) -> Iterator[str]:
    stated = condition(write)
    yield from conjuncts(stated) if stated else []
    if isinstance(write, Update):
        yield from (f"{_DEFAULT}{name}" for name in write.default)


def take_out(write: Write, demand: str) -> None:
    """Leaves everything else of it, and no value that nothing compares with, which DynamoDB would refuse."""
    stated = condition(write)
    if isinstance(write, Update) and demand.startswith(_DEFAULT):
        name = demand.removeprefix(_DEFAULT)
        others = {other: value for other, value in write.default.items() if other != name}
        _change(write, default=others, set={**write.set, name: write.default[name]})
    elif stated is None or demand not in conjuncts(stated):
        return  # made elsewhere in another form, without this demand
    elif isinstance(write, Put):
        _change(write, new=False, unless=None, values={})
    elif isinstance(write, Check):
        _change(write, condition=without(stated, demand) or _ANYTHING)
    else:
        left = without(stated, demand)
        kept = {name: value for name, value in write.values.items() if name in placeholders(left)}
        _change(write, condition=left, values=kept)


def _change(write: Write, **fields: Any) -> None:
    for name, value in fields.items():
        object.__setattr__(write, name, value)  # writes are frozen to everybody else
