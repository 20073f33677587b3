"""What can go wrong between a socket's two ends, made to happen on demand and by a seed.

A plan says how the messages of one door fare. It is decided here and carried out by `relay.py`; tests set it over the
doors' control endpoint. A door without a plan passes everything on as it comes.
"""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

HELD_BACK_SECONDS = 0.1


class NotAPlanError(ValueError):
    """The control endpoint was sent something that is no plan."""


@dataclass(frozen=True)
class Plan:
    """Shares are of all messages, between 0 and 1."""

    seed: int = 0
    drop: float = 0.0
    double: float = 0.0
    reorder: float = 0.0
    """These are held back for a moment, in which others overtake them. So do different delays."""
    delay_seconds: tuple[float, float] = (0.0, 0.0)
    refuse: int = 0
    """The HTTP status that new connections are refused with; 0 lets them in."""

    @classmethod
    def from_json(cls, content: dict[str, Any]) -> Plan:
        low, high = content.get("delaySeconds", (0.0, 0.0))
        known = {"seed", "drop", "double", "reorder", "delaySeconds", "refuse"}
        if unknown := set(content) - known:
            raise NotAPlanError(f"A plan knows {sorted(known)}, not {sorted(unknown)}.")
        return cls(
            seed=int(content.get("seed", 0)),
            drop=float(content.get("drop", 0)),
            double=float(content.get("double", 0)),
            reorder=float(content.get("reorder", 0)),
            delay_seconds=(float(low), float(high)),
            refuse=int(content.get("refuse", 0)),
        )


@dataclass
class Faults:
    """One door's plan, and the connections that it can cut."""

    plan: Plan = field(default_factory=Plan)
    cuts: set[Callable[[], None]] = field(default_factory=set)
    _random: random.Random = field(default_factory=lambda: random.Random(0))  # noqa: S311 - repeatable on purpose

    def follow(self, plan: Plan) -> None:
        self.plan = plan
        self._random.seed(plan.seed)

    def cut(self) -> int:
        """Break every open connection as a broken line would, without a closing handshake."""
        cuts = list(self.cuts)
        for cut in cuts:
            cut()
        return len(cuts)

    def deliveries(self) -> list[float]:
        """After how many seconds each copy of the message in hand arrives; no copy, and it is lost."""
        if self._random.random() < self.plan.drop:
            return []
        copies = 2 if self._random.random() < self.plan.double else 1
        return [self._delay() for _ in range(copies)]

    def _delay(self) -> float:
        held_back = HELD_BACK_SECONDS if self._random.random() < self.plan.reorder else 0.0
        return held_back + self._random.uniform(*self.plan.delay_seconds)
