"""What a run of chaos does, from its seed alone: the tasks, their output and ends, and what goes wrong meanwhile.

When something of it happens depends on the machine; which tasks there are and what befalls them does not.
"""

from __future__ import annotations

import math
import random
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any, Literal

LARGEST = 20_000_000
"""Bytes of one task's output."""
TASK_TIMEOUT_SECONDS = 900

Ending = Literal["exits", "dies", "leaves-a-child", "timed-out", "cancelled"]
_ENDINGS: tuple[Ending, ...] = ("exits", "exits", "exits", "dies", "leaves-a-child", "timed-out", "cancelled")
_SIGNALS = ("KILL", "SEGV", "TERM", "ABRT", "USR1")


@dataclass(frozen=True)
class PlannedTask:
    number: int
    place: int
    """Which of the sessions."""
    seed: int
    size: int
    ending: Ending
    how: str
    """The exit code or the signal of its end, once it comes to that."""
    timeout_seconds: int
    cancelled_after: float
    """Seconds after it was submitted."""
    is_followed: bool
    """Over the socket, by the SDK, while it runs."""

    @property
    def writes_all(self) -> bool:
        """Whether nobody ends it before it has written its size."""
        return self.ending not in ("timed-out", "cancelled")

    @property
    def command(self) -> str:
        return f"exec python3 chaos.py {self.number} {self.seed} {self.size} {self.ending} {self.how}"


@dataclass(frozen=True)
class Mishap:
    """What befalls a door's sockets: those that are open break, and for a while no new one is let in."""

    after_seconds: float
    door: str
    refused_seconds: float


@dataclass(frozen=True)
class Plan:
    seed: int
    sessions: int
    at_once: int
    tasks: tuple[PlannedTask, ...]

    @property
    def size(self) -> int:
        """Bytes that will surely be written."""
        return sum(task.size for task in self.tasks if task.writes_all)

    def mishaps(self) -> Iterator[Mishap]:
        """Without end."""
        dice = random.Random(f"{self.seed} mishaps")  # noqa: S311 - repeatable on purpose
        while True:
            door = dice.choice(("agents", "socket"))
            yield Mishap(dice.uniform(3, 9), door, dice.choice((0, 0, 0.5, 2)))

    def messages(self) -> Mapping[str, Any]:
        """How messages fare at either door."""
        return {"seed": self.seed, "drop": 0.002, "double": 0.05, "reorder": 0.05, "delaySeconds": [0, 0.02]}

    def calls(self) -> Mapping[str, Any]:
        """How the functions' calls to AWS fare."""
        some = {"refuse": 0.04, "lose": 0.02}
        rates = {"dynamodb:TransactWriteItems": {**some, "kill": 0.01}, "s3:PutObject": {**some, "kill": 0.002}}
        rates |= {f"{service}:*": some for service in ("dynamodb", "s3", "states", "execute-api")}
        return {"seed": self.seed, "calls": rates}


def made(seed: int, tasks: int, megabytes: float, sessions: int, at_once: int) -> Plan:
    dice = random.Random(seed)  # noqa: S311 - repeatable on purpose
    drawn = [_task(dice, number, number % sessions) for number in range(tasks)]
    return Plan(seed, sessions, at_once, tuple(_stretched(drawn, int(megabytes * 1_000_000))))


def _stretched(tasks: list[PlannedTask], total: int) -> list[PlannedTask]:
    """With sizes of which those that are surely written have the wanted sum."""
    for _ in range(50):  # what is cut off at the top is made up by the rest
        factor = total / (sum(task.size for task in tasks if task.writes_all) or 1)
        tasks = [replace(task, size=min(LARGEST, round(task.size * factor))) for task in tasks]
    return tasks


def _task(dice: random.Random, number: int, place: int) -> PlannedTask:
    ending = dice.choice(_ENDINGS)
    how = dice.choice(_SIGNALS) if ending == "dies" else str(dice.randrange(256))
    return PlannedTask(
        number=number,
        place=place,
        seed=dice.randrange(2**32),
        size=round(math.expm1(dice.random() * math.log1p(LARGEST))),  # log-uniform
        ending=ending,
        how=how,
        timeout_seconds=dice.randint(2, 6) if ending == "timed-out" else TASK_TIMEOUT_SECONDS,
        cancelled_after=dice.uniform(0, 5),
        is_followed=dice.random() < 0.5,
    )
