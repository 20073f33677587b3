"""Signals, and the point at which they take effect."""

from __future__ import annotations

import signal
from types import FrameType
from typing import TYPE_CHECKING, Self

if TYPE_CHECKING:
    from filepath_sdk.task import Watch

GENTLE_PATIENCE = 1.0
"""Seconds after a signal in which what is being shown or read is expected to be done."""


class Interrupted(BaseException):
    """This program is to end: by the signal `number`, SIGPIPE where nobody reads its output any more.

    It is no KeyboardInterrupt: the CLI library would catch that and exit with a code of its own.
    """

    def __init__(self, number: int) -> None:
        super().__init__()
        self.number = number


def raise_on_signals() -> None:
    signal.signal(signal.SIGTERM, _interrupt)
    signal.signal(signal.SIGINT, _interrupt)


def _interrupt(number: int, _: FrameType | None) -> None:
    raise Interrupted(number)


class GentleInterrupts:
    """While a watch is followed, a signal ends its wait at a point where no output is on its way and would be lost.
    Where that point is not reached soon (a reader or the network may keep this waiting), or a second signal comes,
    Interrupted is raised wherever it strikes.
    """

    def __init__(self, watch: Watch) -> None:
        self._watch = watch
        self.number: int | None = None

    def __enter__(self) -> Self:
        signal.signal(signal.SIGALRM, self._handle)
        signal.signal(signal.SIGTERM, self._handle)
        signal.signal(signal.SIGINT, self._handle)
        return self

    def __exit__(self, *_: object) -> None:
        signal.setitimer(signal.ITIMER_REAL, 0)
        raise_on_signals()

    def _handle(self, number: int, _: FrameType | None) -> None:
        if self.number is not None:
            raise Interrupted(self.number)
        self.number = number
        self._watch.interrupt()
        signal.setitimer(signal.ITIMER_REAL, GENTLE_PATIENCE)
