"""Commands as processes: starting them, ending them with all that came of them, and what `wait` said.

One owner of wait statuses: nothing else in the agent waits for a child."""

from __future__ import annotations

import asyncio
import fcntl
import logging
import os
import signal
import subprocess
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from queue import SimpleQueue
from threading import Thread
from typing import IO, Self

from agent import family
from agent.memory import OutOfMemoryKills
from agent.pipes import Pipes, Sink
from agent.privileges import OutOfMemoryOrder, User
from agent.protocol import End, EndCause
from agent.stdin import Feed

_SHELL = "/bin/bash"
_ARGUMENT_LIMIT = 100 * 1024
"""A longer command goes in as a file: the kernel's MAX_ARG_STRLEN is 128 KiB, and its error says nothing."""
_PIPE_SIZE = 256 * 1024
"""Four times the kernel's own, so that a command that prints much, and the agent, wait for each other less often."""
_SWEEP_SECONDS = 5.0
"""For what does not die of SIGKILL at once: a process in uninterruptible sleep, a fork bomb."""

log = logging.getLogger(__name__)


class NotStartedError(Exception):
    """The command did not start. The message is for its sender."""


@dataclass(frozen=True)
class Command:
    text: str
    environment: Mapping[str, str]
    directory: Path
    stdin: bytes | None
    stdin_open: bool = False
    """Whether more is to come, through the process's feed."""


class Processes:
    """Starts commands and reaps: their processes, and the orphans that the kernel hands to the agent."""

    def __init__(
        self, user: User, out_of_memory: OutOfMemoryOrder, out_of_memory_kills: OutOfMemoryKills, quiet_seconds: float
    ) -> None:
        self._user = user
        self._out_of_memory = out_of_memory
        self._out_of_memory_kills = out_of_memory_kills
        self._quiet = quiet_seconds
        self._marks = family.Marks()
        self._starter = _Starter()
        self._running: dict[int, Process] = {}
        self._attended: set[Process] = set()
        self.busy = asyncio.Event()
        """Set while a command runs, or is being ended."""
        self.idle = asyncio.Event()
        self.idle.set()
        self._loop = asyncio.get_running_loop()
        self._next_reap: asyncio.Future[None] = self._loop.create_future()
        self._loop.add_signal_handler(signal.SIGCHLD, self._reap)

    def spawn(self, command: Command, sink: Sink, grace_seconds: float) -> Process:
        """Raises NotStartedError."""
        try:
            return self._spawn(command, sink, grace_seconds)
        except FileNotFoundError as error:
            raise NotStartedError(f"no such directory or program: {error.filename}") from error
        except (OSError, ValueError) as error:
            raise NotStartedError(f"the command could not be started: {error}") from error

    async def kill_all(self) -> None:
        """Ends whatever still descends from the agent."""
        with suppress(TimeoutError):
            async with asyncio.timeout(_SWEEP_SECONDS):
                while left := family.descendants():
                    for relation in left:
                        _send(relation.pid, signal.SIGKILL)
                    await self.next_reap()

    def dismiss(self, process: Process) -> None:
        """The command is over: what is left of it counts as left behind."""
        self._attended.discard(process)
        if not self._attended:
            self.busy.clear()
            self.idle.set()

    def leftovers(self) -> list[family.Relation]:
        """What commands that are over have left running."""
        return family.strays([(process.pid, process.mark) for process in self._attended])

    async def end_leftovers(self, grace_seconds: float) -> None:
        for number in (signal.SIGTERM, signal.SIGCONT):
            self._signal_leftovers(number)
        with suppress(TimeoutError):
            async with asyncio.timeout(grace_seconds):
                while self.leftovers():
                    await self.next_reap()
        with suppress(TimeoutError):
            async with asyncio.timeout(_SWEEP_SECONDS):
                while self._signal_leftovers(signal.SIGKILL):
                    await self.next_reap()

    def _signal_leftovers(self, number: int) -> int:
        """How many there were."""
        left = self.leftovers()
        for relation in left:
            _send(relation.pid, number)
        return len(left)

    def family_of(self, leader: int, mark: int | None) -> list[family.Relation]:
        return family.members(leader, mark, self._running.keys())

    async def next_reap(self) -> None:
        """Waits until some process has ended and was waited for."""
        await asyncio.shield(self._next_reap)

    def _spawn(self, command: Command, sink: Sink, grace_seconds: float) -> Process:
        with (
            _Pipe(self._user) as stdout,
            _Pipe(self._user) as stderr,
            _stdin(command, self._user) as (stdin, more),
            _memory_file(_script(command.text)) as script,
            self._out_of_memory.children_first(),
            self._marks.next() as mark,
        ):
            start = partial(self._start, command, script, stdin, stdout.write_end, stderr.write_end)
            pid = self._starter.call(start)
            pipes = Pipes(stdout.take_read_end(), stderr.take_read_end(), sink, self._quiet)
        process = Process(pid, mark, pipes, self, grace_seconds)
        if more is not None:
            process.feed = Feed(more)
            process.feed.write(command.stdin or b"")
        self._running[pid] = process
        self._attended.add(process)
        self.busy.set()
        self.idle.clear()
        return process

    def _start(
        self, command: Command, script: IO[bytes] | None, stdin: IO[bytes] | int, stdout: int, stderr: int
    ) -> int:
        with self._user.worn_by_this_thread():
            child = subprocess.Popen(
                [_SHELL, f"/proc/self/fd/{script.fileno()}"] if script else [_SHELL, "-c", command.text],
                stdin=stdin,
                stdout=stdout,
                stderr=stderr,
                pass_fds=[script.fileno()] if script else [],
                env=command.environment,
                cwd=command.directory,
                start_new_session=True,
                umask=0o022,
            )
        # Popen must not wait for what _reap() waits for.
        child.returncode = 0
        return child.pid

    def _reap(self) -> None:
        dead = list(_reaped())
        killed = sum(_is_killed(status) for status in dead)
        was_out_of_memory = self._out_of_memory_kills.explain(killed, self._loop.time())
        for status in dead:
            process = self._running.pop(status.si_pid, None)
            if process:
                process.ended(status, out_of_memory=was_out_of_memory and _is_killed(status))
        self._next_reap.set_result(None)
        self._next_reap = self._loop.create_future()


def _reaped() -> Iterator[os.waitid_result]:
    """All that have ended and were not waited for."""
    with suppress(ChildProcessError):
        while status := os.waitid(os.P_ALL, 0, os.WEXITED | os.WNOHANG):
            yield status


def _is_killed(status: os.waitid_result) -> bool:
    return status.si_code != os.CLD_EXITED and status.si_status == signal.SIGKILL


class Process:
    """A command that was started."""

    def __init__(self, pid: int, mark: int | None, pipes: Pipes, processes: Processes, grace_seconds: float) -> None:
        self.pid = pid
        self.pipes = pipes
        self.feed: Feed | None = None
        self.mark = mark
        self._processes = processes
        self._grace = grace_seconds
        self._loop = asyncio.get_running_loop()
        self._started_at = self._loop.time()
        self._status: asyncio.Future[tuple[os.waitid_result, float]] = self._loop.create_future()
        self._was_out_of_memory = False
        self._cause: EndCause = "exited"
        self._ending: asyncio.Task[None] | None = None

    @property
    def is_running(self) -> bool:
        return not self._status.done()

    def ended(self, status: os.waitid_result, *, out_of_memory: bool) -> None:
        """Called once, by the owner of wait statuses."""
        self._was_out_of_memory = out_of_memory
        self._status.set_result((status, self._loop.time()))

    async def ends_within(self, seconds: float) -> bool:
        """Waits for the wait status, no longer than that."""
        await asyncio.wait({self._status}, timeout=seconds)
        return not self.is_running

    async def end(self) -> End:
        """The truth about the end, once nothing of it can change: after the sweep, if there was one, and when all
        output of the command itself is read."""
        status, ended_at = await asyncio.shield(self._status)
        if self._ending:
            await asyncio.shield(self._ending)
        await self.pipes.drain()
        exited = status.si_code == os.CLD_EXITED
        return End(
            cause=self._cause,
            run_ms=round((ended_at - self._started_at) * 1000),
            exit_code=status.si_status if exited else None,
            signal=None if exited else _signal_name(status.si_status),
            leftovers=len(self._family()),
            out_of_memory=self._was_out_of_memory,
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

    async def _end_family(self, number: int) -> None:
        self._signal(number)
        # A stopped process takes no signal but KILL until it goes on.
        self._signal(signal.SIGCONT)
        if number != signal.SIGKILL:
            await self._until_gone(self._grace)
        with suppress(TimeoutError):
            async with asyncio.timeout(_SWEEP_SECONDS):
                while self._family():
                    self._signal(signal.SIGKILL)
                    await self._processes.next_reap()
        if left := self._family():
            log.warning("%d processes of %d outlive SIGKILL", len(left), self.pid)

    async def _until_gone(self, seconds: float) -> None:
        with suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                while self._family():
                    await self._processes.next_reap()

    def _signal(self, number: int) -> None:
        """To the group in one go, as forks cannot escape that, and to each member that left it."""
        if self.is_running:
            with suppress(ProcessLookupError):
                os.killpg(self.pid, number)
        for relation in self._family():
            if relation.group != self.pid or not self.is_running:
                _send(relation.pid, number)

    def _family(self) -> list[family.Relation]:
        return self._processes.family_of(self.pid, self.mark)


class _Starter:
    """A thread other than the first: see User.worn_by_this_thread(). Two queues without locks of Python's own take half
    the time of an executor and its future."""

    def __init__(self) -> None:
        self._calls: SimpleQueue[Callable[[], int]] = SimpleQueue()
        self._results: SimpleQueue[int | Exception] = SimpleQueue()
        Thread(target=self._serve, name="starter", daemon=True).start()

    def call(self, start: Callable[[], int]) -> int:
        self._calls.put(start)
        result = self._results.get()
        if isinstance(result, Exception):
            raise result
        return result

    def _serve(self) -> None:
        while True:
            start = self._calls.get()
            try:
                self._results.put(start())
            except Exception as error:  # noqa: BLE001 - raised in call()
                self._results.put(error)


class _Pipe:
    """A pipe whose ends are closed on leaving, but for a read end that was taken."""

    def __init__(self, user: User) -> None:
        self._read_end, self.write_end = os.pipe()
        with suppress(OSError):  # more than one user's pipes may have in all
            fcntl.fcntl(self.write_end, fcntl.F_SETPIPE_SZ, _PIPE_SIZE)
        user.own(self.write_end)
        self._taken = False

    def take_read_end(self) -> int:
        self._taken = True
        return self._read_end

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        os.close(self.write_end)
        if not self._taken:
            os.close(self._read_end)


@contextmanager
def _stdin(command: Command, user: User) -> Iterator[tuple[IO[bytes] | int, int | None]]:
    """What the command reads, and, where more is to come, the end to write that to."""
    if not command.stdin_open:
        with _memory_file(command.stdin) as file:
            yield file or subprocess.DEVNULL, None
        return
    read_end, write_end = os.pipe()
    user.own(read_end)
    try:
        yield read_end, write_end
    except BaseException:
        os.close(write_end)
        raise
    finally:
        os.close(read_end)


@contextmanager
def _memory_file(content: bytes | None) -> Iterator[IO[bytes] | None]:
    """A file without a name for a child to read, or None where there is nothing to read."""
    if content is None:
        yield None
        return
    with open(os.memfd_create("filepath"), "w+b") as file:
        file.write(content)
        file.seek(0)
        yield file


def _script(text: str) -> bytes | None:
    encoded = text.encode()
    return encoded if len(encoded) > _ARGUMENT_LIMIT else None


def _send(pid: int, number: int) -> None:
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
