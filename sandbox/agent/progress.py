"""The agent's end of the `progress` helper: a named pipe that commands write lines to.

A pipe and not a port or a socket: a shell can write to it, and nothing listens on a network."""

from __future__ import annotations

import asyncio
import logging
import os
from collections.abc import Awaitable, Callable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

_HELPER = Path(__file__).parent.parent / "progress"
_INTERVAL_SECONDS = 0.5
_LINE_LIMIT = 4096
"""PIPE_BUF: a line up to this length is written in one piece. Nothing longer comes from the helper."""
_PIPE_SIZE = 64 * 1024
_COMPLAINT_SECONDS = 60.0
"""A log's lines cost money and time: a command that writes nonsense without end must not make one of each."""

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Progress:
    workflow_id: str
    percent: int
    message: str | None


def parse(line: bytes) -> Progress:
    """Raises ValueError: any program of the sandbox can write to the pipe."""
    workflow_id, percent, message = line.decode(errors="replace").split("\t", 2)
    if not 0 <= int(percent) <= 100:
        raise ValueError(f"{percent} is not a percentage")
    return Progress(workflow_id, int(percent), message or None)


class Inbox:
    """A directory with the helper and its pipe. The helper is copied there, because where the agent's own files are
    may be out of a command's reach."""

    def __init__(self, name: str, received: Callable[[Progress], None]) -> None:
        parent = Path("/run") if os.access("/run", os.W_OK) else Path("/tmp")  # noqa: S108 - made with mkdir
        self.helpers = parent / f"filepath-{name}"
        self.pipe = self.helpers / "progress.pipe"
        self._received = received
        self._loop = asyncio.get_running_loop()
        self._rest = b""
        self._ignored = 0
        self._complains_at = 0.0

    def open(self) -> None:
        self.helpers.mkdir(mode=0o755)
        helper = self.helpers / "progress"
        helper.write_bytes(_HELPER.read_bytes())
        helper.chmod(0o755)
        os.mkfifo(self.pipe)
        self.pipe.chmod(0o622)
        # For writing too, so that the last writer's going is not an end of file.
        self._file = os.open(self.pipe, os.O_RDWR | os.O_NONBLOCK | os.O_CLOEXEC)
        self._loop.add_reader(self._file, self._read_some)

    def read(self) -> None:
        """Takes in what is there: called when a command has ended, as its last line is there by then."""
        for _ in range(_PIPE_SIZE // _LINE_LIMIT):
            if not self._read_some():
                break

    def _read_some(self) -> bool:
        """A little at a time: short lines are many, and whatever is written here, deadlines and output come between."""
        try:
            read = os.read(self._file, _LINE_LIMIT)
        except BlockingIOError:
            return False
        *lines, rest = (self._rest + read).split(b"\n")
        self._rest = rest[-_LINE_LIMIT:]
        for line in lines:
            self._take(line)
        return True

    def close(self) -> None:
        self._loop.remove_reader(self._file)
        os.close(self._file)
        with suppress(OSError):
            for file in self.helpers.iterdir():
                file.unlink()
            self.helpers.rmdir()

    def _take(self, line: bytes) -> None:
        try:
            progress = parse(line)
        except ValueError as error:
            self._ignore(error)
        else:
            self._received(progress)

    def _ignore(self, error: ValueError) -> None:
        self._ignored += 1
        if self._loop.time() >= self._complains_at:
            log.info("ignoring %d lines of progress, the last: %.200s", self._ignored, error)
            self._ignored = 0
            self._complains_at = self._loop.time() + _COMPLAINT_SECONDS


class Reporter:
    """Tells the platform a task's progress: the newest, and not too often."""

    def __init__(self, send: Callable[[Progress], Awaitable[object]]) -> None:
        self._send = send
        self._newest: Progress | None = None
        self._changed = asyncio.Event()
        self._finished = asyncio.Event()
        self.on_first: Callable[[], object] | None = None
        """Called when there is something to tell, from when on run() is wanted: most commands tell nothing."""

    def note(self, progress: Progress) -> None:
        if self.on_first:
            self.on_first()
            self.on_first = None
        self._newest = progress
        self._changed.set()

    def finish(self) -> None:
        self._finished.set()
        self._changed.set()

    async def run(self) -> None:
        """Returns when there will be no more and the newest is told."""
        while self._newest or not self._finished.is_set():
            await self._changed.wait()
            self._changed.clear()
            if self._newest:
                newest, self._newest = self._newest, None
                await self._send(newest)
                with suppress(TimeoutError):
                    async with asyncio.timeout(_INTERVAL_SECONDS):
                        await self._finished.wait()
