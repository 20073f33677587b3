"""What finished commands leave running: watched while no command runs, reported, and ended in time.

The platform charges for each started minute of it, added up over the agent's life, and may say that it is to end. What
it is told is always the newest: a report that was late or never sent loses nothing, since the time is a sum."""

from __future__ import annotations

import asyncio
import logging
from dataclasses import dataclass, field

from agent.connection import CallFailedError, Connection
from agent.processes import Processes
from agent.protocol import Params
from agent.settings import Timing

_LOOK_SECONDS = 0.2
"""After a process has ended: one that starts others all the time is not looked for as often as that."""
_LIMIT = "background_limit"

log = logging.getLogger(__name__)


@dataclass(eq=False)
class _Period:
    """A time in which no command runs and something is left."""

    since: float
    stopped: str | None = None
    """Why the platform wants it ended."""
    told: asyncio.Event = field(default_factory=asyncio.Event)

    def stop(self, reason: str) -> None:
        self.stopped = reason
        self.told.set()


class Background:
    def __init__(self, processes: Processes, connection: Connection, timing: Timing) -> None:
        self._processes = processes
        self._connection = connection
        self._timing = timing
        self._loop = asyncio.get_running_loop()
        self._session: asyncio.Future[Params] = self._loop.create_future()
        self._period: _Period | None = None
        self._seconds_before = 0.0
        """Of all periods that are over."""
        self._left = 0
        self._stopped: str | None = None
        self._changed = asyncio.Event()
        self._reports = 0
        self._begun = 0
        """Of all stretches of `report_seconds`, which one this period reported last."""

    def begin(self, session: Params) -> None:
        """The session's settings, as the first hello is answered with them."""
        if not self._session.done():
            self._session.set_result(session)

    async def watch(self) -> None:
        session = await self._session
        seconds, grace = session.get("backgroundSeconds", 300), session.get("graceSeconds", 5)
        while True:
            await self._processes.idle.wait()
            begun = self._processes.begun
            if await self._stays_idle(min(self._timing.settle_seconds, seconds)):
                if left := len(self._processes.leftovers()):
                    await self._accompany(left, seconds, grace)
                while self._processes.begun == begun:
                    await self._processes.busy.wait()

    async def report(self) -> None:
        """Tells the platform, one report at a time. Raises SessionClosedError."""
        while True:
            await self._changed.wait()
            self._changed.clear()
            period = self._period
            try:
                reply = await self._connection.call("background", self._report())
            except CallFailedError as error:
                log.warning("the platform refused a report of what is left running: %s", error)
                continue
            if period and reply.get("stop"):
                period.stop(str(reply.get("reason")))

    def _report(self) -> Params:
        self._reports += 1
        return {
            "number": self._reports,
            "processes": self._left,
            "active": self._period is not None,
            "elapsedMs": round(self._elapsed() * 1000),
            "stopped": self._stopped,
        }

    async def _accompany(self, left: int, seconds: float, grace: float) -> None:
        """Until nothing is left, a command runs, or it is ended: for its time, or because the platform says so."""
        stopped = await self._spend(left, seconds) if seconds else _LIMIT
        if stopped:
            log.info("what was left running is ended: %s", stopped)
            await self._processes.end_leftovers(grace)
        self._tell(len(self._processes.leftovers()), stopped)

    async def _spend(self, left: int, seconds: float) -> str | None:
        """Lets a period pass. Why what is left is to be ended; None where it went or a command runs."""
        period = self._period = _Period(self._loop.time())
        self._begun, commands = 0, self._processes.begun
        try:
            while left and self._processes.begun == commands:
                self._tell_when_due(left)
                rest = period.since + seconds - self._loop.time()
                if period.stopped or rest <= 0:
                    return period.stopped or _LIMIT
                await self._event(period, min(rest, self._until_next_report()))
                left = len(self._processes.leftovers())
            return None
        finally:
            self._seconds_before = self._elapsed()
            self._period = None

    def _tell_when_due(self, left: int) -> None:
        begun = int(self._elapsed() / self._timing.report_seconds) + 1
        if begun > self._begun:
            self._begun = begun
            self._tell(left, None)

    def _tell(self, left: int, stopped: str | None) -> None:
        self._left, self._stopped = left, stopped
        self._changed.set()

    def _elapsed(self) -> float:
        """Seconds, of all periods."""
        return self._seconds_before + (self._loop.time() - self._period.since if self._period else 0)

    def _until_next_report(self) -> float:
        return self._begun * self._timing.report_seconds - self._elapsed()

    async def _event(self, period: _Period, seconds: float) -> None:
        """Until something may have changed, or for so long."""
        waits = [
            self._loop.create_task(wait) for wait in (self._processes.busy.wait(), period.told.wait(), self._reap())
        ]
        await asyncio.wait(waits, timeout=max(0, seconds), return_when=asyncio.FIRST_COMPLETED)
        for wait in waits:
            wait.cancel()

    async def _reap(self) -> None:
        await self._processes.next_reap()
        await asyncio.sleep(_LOOK_SECONDS)

    async def _stays_idle(self, seconds: float) -> bool:
        try:
            async with asyncio.timeout(seconds):
                await self._processes.busy.wait()
        except TimeoutError:
            return True
        return False
