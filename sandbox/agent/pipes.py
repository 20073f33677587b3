"""Reading a command's stdout and stderr: in the order they become readable, no more than is wanted, and no longer
than the command lives.

What the bytes are for is not known here."""

from __future__ import annotations

import asyncio
import fcntl
import os
import struct
import termios
from collections.abc import Callable

from agent.protocol import Stream

_READ_SIZE = 64 * 1024
_DRAIN_CAP_SECONDS = 1.0
"""A child that never falls quiet does not hold its parent's result for longer."""

Sink = Callable[[Stream, bytes], bool]
"""Takes what was read, and says whether it wants more now."""


class Pipes:
    """The agent's ends of both pipes. Each is closed when its last writer is gone."""

    def __init__(self, stdout: int, stderr: int, sink: Sink, quiet_seconds: float) -> None:
        self._loop = asyncio.get_running_loop()
        self._streams: dict[int, Stream] = {stdout: "stdout", stderr: "stderr"}
        self._sink = sink
        self._quiet = quiet_seconds
        self._paused = False
        self._released = False
        self._owed: dict[int, int] = {}
        self._activity = asyncio.Event()
        for pipe in self._streams:
            os.set_blocking(pipe, False)
            self._loop.add_reader(pipe, self._read, pipe)

    def resume(self) -> None:
        if self._paused:
            self._paused = False
            for pipe in self._streams:
                self._loop.add_reader(pipe, self._read, pipe)
            self._activity.set()

    async def drain(self) -> None:
        """After the command's end: reads all that it wrote, and on until its children are quiet for a moment.

        From then on, what children still write is read and dropped, so that they neither block nor fail."""
        self._owed = {pipe: _unread(pipe) for pipe in self._streams}
        self._read_what_is_owed()
        cap = self._loop.time() + _DRAIN_CAP_SECONDS
        while self._streams and not (self._loop.time() >= cap and self._owes_nothing()):
            if not await self._is_active() and not self._paused:
                self._read_what_is_owed()
                if self._owes_nothing():
                    break
        self.release()

    def release(self) -> None:
        """Wants no more: whatever comes is dropped."""
        self._released = True
        self.resume()

    def _read_what_is_owed(self) -> None:
        for pipe in list(self._streams):
            while pipe in self._streams and self._owed[pipe] > 0 and not self._paused:
                self._read(pipe)
            if pipe in self._streams and not self._paused:
                self._read(pipe)  # the end of the file, if no child has the pipe

    def _read(self, pipe: int) -> None:
        try:
            data = os.read(pipe, _READ_SIZE)
        except BlockingIOError:
            # What was owed is gone: a child can open the pipe by its name, and read what was meant for the agent.
            self._owed[pipe] = 0
            return
        self._owed[pipe] = self._owed.get(pipe, 0) - len(data)
        self._activity.set()
        if not data:
            self._close(pipe)
        elif not self._released and not self._sink(self._streams[pipe], data):
            self._pause()

    def _pause(self) -> None:
        self._paused = True
        for pipe in self._streams:
            self._loop.remove_reader(pipe)

    def _close(self, pipe: int) -> None:
        self._loop.remove_reader(pipe)
        del self._streams[pipe]
        os.close(pipe)
        self._activity.set()

    def _owes_nothing(self) -> bool:
        return all(self._owed.get(pipe, 0) <= 0 for pipe in self._streams)

    async def _is_active(self) -> bool:
        """Waits for a read or an end of file, for as long as quiet may last."""
        self._activity.clear()
        try:
            async with asyncio.timeout(self._quiet):
                await self._activity.wait()
        except TimeoutError:
            return False
        return True


def _unread(pipe: int) -> int:
    size: int = struct.unpack("i", fcntl.ioctl(pipe, termios.FIONREAD, bytes(4)))[0]
    return size
