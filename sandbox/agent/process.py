"""A command that was started: how it ends, by itself or because it is made to, with all that came of it."""

from __future__ import annotations

import asyncio
import logging
import os
import signal
from contextlib import suppress
from dataclasses import dataclass
from typing import Protocol

from agent import family
from agent.pipes import Pipes
from agent.protocol import End, EndCause
from agent.stdin import Feed

SWEEP_SECONDS = 5.0
"""For what does not die of SIGKILL at once: a process in uninterruptible sleep, a fork bomb."""

log = logging.getLogger(__name__)


class Kinship(Protocol):
    """What a process asks of whoever waits for them all."""

    def family_of(self, leader: int, mark: int | None) -> list[family.Relation]:
        """The living processes of a command, by its first process and its mark."""

    async def next_reap(self) -> None:
        """Waits until some process has ended and was waited for."""


@dataclass(frozen=True)
class _Death:
    """What `wait` said, and when."""

    status: os.waitid_result
    at: float
    was_out_of_memory: bool

    @property
    def exit_code(self) -> int | None:
        return self.status.si_status if self.status.si_code == os.CLD_EXITED else None

    @property
    def signal(self) -> str | None:
        return None if self.status.si_code == os.CLD_EXITED else _signal_name(self.status.si_status)


class Process:
    """A command that was started."""

    def __init__(self, pid: int, mark: int | None, pipes: Pipes, kinship: Kinship, grace_seconds: float) -> None:
        self.pid = pid
        self.pipes = pipes
        self.feed: Feed | None = None
        self.mark = mark
        self._kinship = kinship
        self._grace = grace_seconds
        self._loop = asyncio.get_running_loop()
        self._started_at = self._loop.time()
        self._death: _Death | None = None
        self._is_dead = asyncio.Event()
        self._cause: EndCause = "exited"
        self._ending: asyncio.Task[None] | None = None

    @property
    def is_running(self) -> bool:
        return self._death is None

    def ended(self, status: os.waitid_result, *, out_of_memory: bool) -> None:
        """Called once, by the owner of wait statuses."""
        self._death = _Death(status, self._loop.time(), out_of_memory)
        self._is_dead.set()

    async def ends_within(self, seconds: float) -> bool:
        """Waits for the wait status, no longer than that."""
        with suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                await self._died()
        return not self.is_running

    async def end(self) -> End:
        """The truth about the end, once nothing of it can change: after the sweep, if there was one, and when all
        output of the command itself is read."""
        death = await self._died()
        if self._ending:
            await asyncio.shield(self._ending)
        await self.pipes.drain()
        return End(
            cause=self._cause,
            run_ms=round((death.at - self._started_at) * 1000),
            exit_code=death.exit_code,
            signal=death.signal,
            leftovers=len(self._family()),
            out_of_memory=death.was_out_of_memory,
        )

    def terminate(self, cause: EndCause, signal_name: str = "TERM") -> None:
        """Asks the whole family to end, and makes it after the grace. A second call only passes the signal on."""
        if not self.is_running:
            return
        number = _signal_number(signal_name)
        if self._ending:
            self._signal(number)
            return
        self._cause = cause
        self._ending = self._loop.create_task(self._end_family(number))

    async def ended_with_all_of_it(self) -> None:
        """Waits for a terminate() to have its effect."""
        if self._ending:
            await asyncio.shield(self._ending)
        self.pipes.release()

    async def _died(self) -> _Death:
        while self._death is None:
            await self._is_dead.wait()
        return self._death

    async def _end_family(self, number: int) -> None:
        self._signal(number)
        # A stopped process takes no signal but KILL until it goes on.
        self._signal(signal.SIGCONT)
        if number != signal.SIGKILL:
            await self._until_gone(self._grace)
        with suppress(TimeoutError):
            async with asyncio.timeout(SWEEP_SECONDS):
                while self._family():
                    self._signal(signal.SIGKILL)
                    await self._kinship.next_reap()
        if left := self._family():
            log.warning("%d processes of %d outlive SIGKILL", len(left), self.pid)

    async def _until_gone(self, seconds: float) -> None:
        with suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                while self._family():
                    await self._kinship.next_reap()

    def _signal(self, number: int) -> None:
        """To the group in one go, as forks cannot escape that, and to each member that left it."""
        if self.is_running:
            with suppress(ProcessLookupError):
                os.killpg(self.pid, number)
        for relation in self._family():
            if relation.group != self.pid or not self.is_running:
                send(relation.pid, number)

    def _family(self) -> list[family.Relation]:
        return self._kinship.family_of(self.pid, self.mark)


def send(pid: int, number: int) -> None:
    try:
        os.kill(pid, number)
    except ProcessLookupError:
        pass
    except PermissionError:
        log.warning("not allowed to signal process %d", pid)


def _signal_number(name: str) -> int:
    try:
        return signal.Signals[f"SIG{name.removeprefix('SIG')}"]
    except KeyError:
        log.warning("no signal is called %r: sending TERM", name)
        return signal.SIGTERM


def _signal_name(number: int) -> str:
    try:
        return signal.Signals(number).name.removeprefix("SIG")
    except ValueError:  # a real-time signal between SIGRTMIN and SIGRTMAX
        return f"RTMIN+{number - signal.SIGRTMIN}"
