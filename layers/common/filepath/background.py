"""What finished tasks of a session left running: what is known of it, what it costs. Pure; the clock is an argument.

Its agent tells the time in which no task ran and something was left, added up since the session began. Each started
minute of that sum is one credit, so a report that comes twice, late or after others were lost is charged once.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal, get_args

from filepath.credit import MINUTE_MS
from filepath.protocol import INVALID_PARAMS, ProtocolError

StopReason = Literal["background_limit", "insufficient_credits"]


@dataclass(frozen=True)
class Report:
    """What an agent tells. Its reports are numbered, and each stands for itself."""

    number: int
    processes: int
    active: bool
    """Whether that is counted now: something is left and no task runs."""
    elapsed_ms: int
    stopped: StopReason | None = None
    """Why it was ended, where it was."""

    @classmethod
    def of(cls, params: Mapping[str, Any]) -> Report:
        """Raises ProtocolError."""
        number, processes, elapsed_ms = (_count(params, name) for name in ("number", "processes", "elapsedMs"))
        stopped = params.get("stopped")
        if stopped is not None and stopped not in get_args(StopReason):
            raise ProtocolError(f"stopped is one of {', '.join(get_args(StopReason))}", INVALID_PARAMS)
        return cls(number, processes, params.get("active") is True, elapsed_ms, stopped)


def _count(params: Mapping[str, Any], name: str) -> int:
    value = params.get(name)
    if isinstance(value, bool) or not isinstance(value, int) or value < 0:
        raise ProtocolError(f"{name} must be a count", INVALID_PARAMS)
    return value


@dataclass(frozen=True)
class Background:
    """As it was told last. `since` is None where nothing is counted."""

    report: int = 0
    processes: int = 0
    since: int | None = None
    charged: int = 0
    stopped: StopReason | None = None

    @property
    def must_stop(self) -> bool:
        return self.since is not None and self.stopped is not None


def minutes_begun(report: Report) -> int:
    """While it is counted, the minute that begins is charged already."""
    if report.active:
        return report.elapsed_ms // MINUTE_MS + 1
    return math.ceil(report.elapsed_ms / MINUTE_MS)


def after(before: Background, report: Report, available: int, limit_seconds: int, now: int) -> Background:
    """What is known after a report that is newer. What it adds to `charged`, never more than is `available`, is to be
    paid in the same write."""
    owed = max(0, minutes_begun(report) - before.charged)
    paid = min(owed, max(0, available))
    if not report.active:
        return Background(report.number, report.processes, None, before.charged + paid, report.stopped)
    since = before.since if before.since is not None else now
    stopped: StopReason | None = None
    if paid < owed:
        stopped = "insufficient_credits"
    elif now - since >= limit_seconds * 1000:  # its agent has a clock of its own for that, and goes first
        stopped = "background_limit"
    return Background(report.number, report.processes, since, before.charged + paid, stopped)
