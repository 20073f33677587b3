"""The record of calls: what each function asked of AWS, as it went over the wire, and each time a function ran.

Written by the emulator (`mends/call_record.py`) into `logs/calls.jsonl`, one line each; read by tests, which hold the
roles against it, and by the benchmarks, which count it. Names and sizes alone: no bodies, no tokens, no values.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any


@dataclass(frozen=True)
class Check:
    """One judgement of IAM. A transaction is judged as the single writes that it is made of."""

    action: str
    resource: str
    allowed: bool
    conditions: tuple[str, ...] = ()
    """Names of the condition keys that were known."""


@dataclass(frozen=True)
class Read:
    """What DynamoDB had to read, before any filter or projection: an item, or the page of a query."""

    size: int
    consistent: bool
    index: str | None = None


@dataclass(frozen=True)
class Written:
    """One item that DynamoDB was to write: its size before and after, and what that changed in each index."""

    before: int
    after: int
    transacted: bool = False
    index_entries: tuple[int, ...] = ()
    """Sizes of the entries that were put or deleted: one that moves is both."""


@dataclass(frozen=True)
class Call:
    """A call of a function, or of a service on a role's behalf."""

    at: float
    role: str
    function: str
    service: str
    operation: str
    status: int
    sent: int
    received: int
    milliseconds: float
    checks: tuple[Check, ...] = ()
    reads: tuple[Read, ...] = ()
    writes: tuple[Written, ...] = ()


@dataclass(frozen=True)
class Invocation:
    """One run of a function. `route` is a socket's route, the HTTP method, or the step of a state machine."""

    at: float
    function: str
    route: str
    sent: int
    """Bytes of the body that the caller of API Gateway sent, else of the event."""
    received: int
    """Bytes of the body that it answered, else of the result."""
    logged: int
    lines: int
    milliseconds: float
    failed: bool


def read(path: Path, start: int = 0) -> tuple[list[Call], list[Invocation]]:
    """What was recorded from this byte on."""
    calls: list[Call] = []
    invocations: list[Invocation] = []
    for entry in _entries(path, start):
        if "checks" in entry:
            calls.append(_call(entry))
        else:
            invocations.append(Invocation(**entry))
    return calls, invocations


def _entries(path: Path, start: int) -> Iterator[dict[str, Any]]:
    if not path.exists():
        return
    with path.open("rb") as file:
        file.seek(start)
        for line in file:
            if line.endswith(b"\n"):  # else it is being written
                yield json.loads(line)


def _call(entry: Mapping[str, Any]) -> Call:
    parts: dict[str, Any] = {
        "checks": tuple(Check(**{**each, "conditions": tuple(each["conditions"])}) for each in entry["checks"]),
        "reads": tuple(Read(**each) for each in entry["reads"]),
        "writes": tuple(Written(**{**each, "index_entries": tuple(each["index_entries"])}) for each in entry["writes"]),
    }
    return Call(**{**entry, **parts})
