"""All processes below the agent: commands, what came of them, and the orphans that the kernel hands to the agent.

One owner of wait statuses: nothing else in the agent waits for a child."""

from __future__ import annotations

import asyncio
import os
import signal
from contextlib import suppress

from agent import command, family
from agent.command import Command
from agent.memory import OutOfMemoryKills
from agent.pipes import Pipes, Sink
from agent.privileges import OutOfMemoryOrder, User
from agent.process import SWEEP_SECONDS, Process, send
from agent.stdin import Feed


class Processes:
    """Starts and reaps."""

    def __init__(
        self, user: User, out_of_memory: OutOfMemoryOrder, out_of_memory_kills: OutOfMemoryKills, quiet_seconds: float
    ) -> None:
        self._user = user
        self._out_of_memory = out_of_memory
        self._out_of_memory_kills = out_of_memory_kills
        self._quiet = quiet_seconds
        self._marks = family.Marks()
        self._running: dict[int, Process] = {}
        self._attended: set[Process] = set()
        self.begun = 0
        """Commands, ever: a brief one is over before those who wait for `busy` look whether it is set."""
        self.busy = asyncio.Event()
        """Set while a command runs, or is being ended."""
        self.idle = asyncio.Event()
        self.idle.set()
        self._loop = asyncio.get_running_loop()
        self._next_reap: asyncio.Future[None] = self._loop.create_future()
        self._is_childless = True
        """No child, so no descendant either: whoever loses its parent becomes the agent's."""

    def spawn(self, order: Command, sink: Sink, grace_seconds: float) -> Process:
        """Raises NotStartedError."""
        with self._out_of_memory.children_first(), self._marks.next() as mark:
            self._is_childless = False
            started = command.start(order, self._user)
        pipes = Pipes(started.stdout, started.stderr, sink, self._quiet)
        process = Process(started.pid, mark, pipes, self, grace_seconds)
        if started.stdin is not None:
            process.feed = Feed(started.stdin)
            process.feed.write(order.stdin or b"")
        self._running[started.pid] = process
        self._attended.add(process)
        self.begun += 1
        self.busy.set()
        self.idle.clear()
        return process

    def reap(self) -> None:
        """Waits for all that have ended. To be called at each SIGCHLD."""
        dead = self._waited_for()
        killed = sum(_is_killed(status) for status in dead)
        was_out_of_memory = self._out_of_memory_kills.explain(killed, self._loop.time())
        for status in dead:
            if process := self._running.pop(status.si_pid, None):
                process.ended(status, out_of_memory=was_out_of_memory and _is_killed(status))
        self._next_reap.set_result(None)
        self._next_reap = self._loop.create_future()

    async def next_reap(self) -> None:
        """Waits until some process has ended and was waited for."""
        await asyncio.shield(self._next_reap)

    def family_of(self, leader: int, mark: int | None) -> list[family.Relation]:
        return [] if self._is_childless else family.members(leader, mark, self._running.keys())

    async def kill_all(self) -> None:
        """Ends whatever still descends from the agent."""
        with suppress(TimeoutError):
            async with asyncio.timeout(SWEEP_SECONDS):
                while left := family.descendants():
                    for relation in left:
                        send(relation.pid, signal.SIGKILL)
                    await self.next_reap()

    def dismiss(self, process: Process) -> None:
        """The command is over: what is left of it counts as left behind."""
        self._attended.discard(process)
        if not self._attended:
            self.busy.clear()
            self.idle.set()

    def leftovers(self) -> list[family.Relation]:
        """What commands that are over have left running."""
        if self._is_childless:
            return []
        return family.strays([(process.pid, process.mark) for process in self._attended])

    async def end_leftovers(self, grace_seconds: float) -> None:
        for number in (signal.SIGTERM, signal.SIGCONT):
            self._signal_leftovers(number)
        with suppress(TimeoutError):
            async with asyncio.timeout(grace_seconds):
                while self.leftovers():
                    await self.next_reap()
        with suppress(TimeoutError):
            async with asyncio.timeout(SWEEP_SECONDS):
                while self._signal_leftovers(signal.SIGKILL):
                    await self.next_reap()

    def _signal_leftovers(self, number: int) -> int:
        """How many there were."""
        left = self.leftovers()
        for relation in left:
            send(relation.pid, number)
        return len(left)

    def _waited_for(self) -> list[os.waitid_result]:
        dead: list[os.waitid_result] = []
        try:
            while status := os.waitid(os.P_ALL, 0, os.WEXITED | os.WNOHANG):
                dead.append(status)
        except ChildProcessError:
            self._is_childless = True
        return dead


def _is_killed(status: os.waitid_result) -> bool:
    return status.si_code != os.CLD_EXITED and status.si_status == signal.SIGKILL
