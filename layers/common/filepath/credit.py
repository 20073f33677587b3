"""Credits: what a task may cost, what it did cost, and what an account then has. Pure.

A credit is one started minute of one running task. It is held when the task is submitted and settled once, when the
task is over. What tasks leave running is charged as each minute of it begins. Always `granted = charged + held +
available`, and none of them is ever below zero.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

MINUTE_MS = 60_000


@dataclass(frozen=True)
class Account:
    """The money of one user, in credits."""

    granted: int = 0
    charged: int = 0
    held: int = 0
    available: int = 0

    @property
    def balance(self) -> int:
        """What was granted and not charged; a part of it may be held."""
        return self.held + self.available

    def moved(self, movement: Movement) -> Account:
        return replace(
            self,
            granted=self.granted + movement.granted,
            charged=self.charged + movement.charged,
            held=self.held + movement.held,
            available=self.available + movement.available,
        )


@dataclass(frozen=True)
class Movement:
    """What one event adds to each part of an account. Its parts balance, so every account stays balanced."""

    granted: int = 0
    charged: int = 0
    held: int = 0
    available: int = 0


def grant(credits: int) -> Movement:
    return Movement(granted=credits, available=credits)


def hold(credits: int) -> Movement:
    return Movement(held=credits, available=-credits)


def settle(held: int, charged: int) -> Movement:
    return Movement(charged=charged, held=-held, available=held - charged)


def charge(credits: int) -> Movement:
    """Of what nobody held."""
    return Movement(charged=credits, available=-credits)


def hold_for(timeout_seconds: int) -> int:
    """Credits that a task with this timeout can cost at most."""
    return math.ceil(timeout_seconds / 60)


def charge_for(run_ms: int | None, held: int) -> int:
    """Credits for a task that ran `run_ms`, or that never started (None): at least one, at most what was held.
    The grace and drain after the deadline are on the house, by the second bound.
    """
    if run_ms is None:
        return 0
    return min(held, max(1, math.ceil(run_ms / MINUTE_MS)))
