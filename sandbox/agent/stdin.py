"""What is written to a command's standard input while it runs: put in order, asked for where some is missing, and given
to the command as it reads.

How the platform is asked is not known here."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Awaitable, Callable

from agent.protocol import StdinPiece

_WRITE_SIZE = 64 * 1024


class Feed:
    """The agent's end of the pipe. A command that reads no more is no error: what it would have read is dropped."""

    def __init__(self, pipe: int) -> None:
        self._loop = asyncio.get_running_loop()
        self._pipe: int | None = pipe
        self._waiting = bytearray()
        self._is_all = False
        os.set_blocking(pipe, False)

    def write(self, data: bytes) -> None:
        if self._pipe is not None:
            self._waiting += data
            self._flush(self._pipe)

    def finish(self) -> None:
        """Closes it behind what waits."""
        self._is_all = True
        if self._pipe is not None:
            self._flush(self._pipe)

    def close(self) -> None:
        if self._pipe is not None:
            self._loop.remove_writer(self._pipe)
            os.close(self._pipe)
            self._pipe = None
            self._waiting.clear()

    def _flush(self, pipe: int) -> None:
        try:
            while self._waiting:
                del self._waiting[: os.write(pipe, self._waiting[:_WRITE_SIZE])]
        except BlockingIOError:
            self._loop.add_writer(pipe, self._flush, pipe)
            return
        except BrokenPipeError:
            self.close()
            return
        self._loop.remove_writer(pipe)
        if self._is_all:
            self.close()


class Stdin:
    """The pieces of one command, which may come in any order, more than once, or never."""

    def __init__(self, read: Callable[[int], Awaitable[StdinPiece]]) -> None:
        self._read = read
        self._feed: Feed | None = None
        self._taken = 0
        self._known = 0
        self._is_closed = False
        self._behind = asyncio.Event()

    async def run(self, feed: Feed) -> None:
        """Asks for what is missing, at first for all: some may have been written before the command ran. Returns
        when it has everything."""
        self._feed = feed
        while not self._has_all:
            self.take(await self._read(self._taken))
            await self._behind.wait()
            self._behind.clear()

    @property
    def _has_all(self) -> bool:
        return self._is_closed and self._taken == self._known

    def take(self, piece: StdinPiece) -> None:
        if self._feed and piece.offset <= self._taken < piece.offset + len(piece.data):
            self._feed.write(piece.data[self._taken - piece.offset :])
            self._taken = piece.offset + len(piece.data)
        self.told(piece.length, closed=piece.closed)

    def told(self, length: int, *, closed: bool) -> None:
        """How much there is, as far as is known."""
        self._known = max(self._known, length)
        self._is_closed = self._is_closed or closed
        if self._has_all and self._feed:
            self._feed.finish()
        if self._has_all or self._taken < self._known:
            self._behind.set()
