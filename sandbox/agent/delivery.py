"""Bringing a task's output to the platform: one chunk in flight, at a pace, holding the command back when it must.

The platform's answers come as a function's result; sockets are not known here."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Awaitable, Callable
from contextlib import suppress

from agent.connection import backoff
from agent.pacing import Bucket
from agent.protocol import Chunk, Params, Stream
from agent.spool import Spool


class Delivery:
    def __init__(self, encode: Callable[[Chunk], bytes], send: Callable[[bytes], Awaitable[Params]]) -> None:
        self.on_room: Callable[[], None] | None = None
        """Called when there is room again after take() said there was none."""
        self._loop = asyncio.get_running_loop()
        self._encode = encode
        self.limit = sys.maxsize
        """Bytes that are kept; what comes behind them is dropped."""
        self.on_limit: Callable[[], None] | None = None
        """Called when the first byte is dropped."""
        self.is_cut = False
        self._send = send
        self._next: tuple[Chunk, bytes] | None = None
        """Made ready to follow the chunk in flight."""
        self._spool = Spool()
        self._clock = self._loop.time
        self._bucket = Bucket(self._clock())
        self._is_finished = False
        self._changed = asyncio.Event()
        self._is_delivered = asyncio.Event()
        self._is_delivered.set()
        self.on_first: Callable[[], object] | None = None
        """Called when the first byte comes, from when on run() is wanted: many commands print nothing."""

    @property
    def written(self) -> int:
        return self._spool.written

    def take(self, stream: Stream, data: bytes) -> bool:
        """A Sink for the command's pipes."""
        kept = data[: self.limit - self._spool.written]
        if kept:
            self._begin()
            self._spool.append(stream, kept)
            self._changed.set()
            self._encode_next()
        if len(kept) < len(data):
            self._cut()
        return self._spool.has_room or self.is_cut

    def _begin(self) -> None:
        self._is_delivered.clear()
        if self.on_first:
            self.on_first()
            self.on_first = None

    def _cut(self) -> None:
        if not self.is_cut:
            self.is_cut = True
            if self.on_limit:
                self.on_limit()

    def finish(self) -> None:
        """Says that there will be no more."""
        self._is_finished = True
        self._changed.set()

    async def completes_within(self, seconds: float) -> bool:
        """Waits until all that was taken is acknowledged, no longer than that."""
        with suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                await self._is_delivered.wait()
        return self._spool.is_empty

    def forget(self) -> None:
        """Drops what is not acknowledged."""
        self._spool.forget()

    async def run(self) -> None:
        """Returns when all is acknowledged and there will be no more."""
        fruitless = 0
        while not (self._is_finished and self._spool.is_empty):
            if self._spool.is_empty:
                await self._change()
                continue
            await self._keep_pace()
            fruitless = 0 if await self._deliver_chunk() else fruitless + 1
            if fruitless:
                await asyncio.sleep(backoff(fruitless))

    async def _deliver_chunk(self) -> bool:
        """Whether the platform's log has grown by it."""
        chunk = self._spool.chunk()
        if chunk is None:
            return True
        self._loop.call_soon(self._encode_next)
        reply = await self._send(self._encoding_of(chunk))
        self._bucket.watched = reply.get("watched", True)
        progress = self._spool.acknowledge(reply.get("stored", 0))
        if self._spool.is_empty:
            self._is_delivered.set()
        if self.on_room and self._spool.has_room:
            self.on_room()
        return progress

    def _encode_next(self) -> None:
        """A full chunk cannot change any more: it is made ready while the one before it is on its way."""
        if chunk := self._spool.freeze_next():
            self._next = (chunk, self._encode(chunk))

    def _encoding_of(self, chunk: Chunk) -> bytes:
        if self._next and self._next[0] is chunk:
            return self._next[1]
        return self._encode(chunk)

    async def _keep_pace(self) -> None:
        """Waits for a better filled chunk, unless it is full, or the command is over or waits for room."""
        while not self._is_pressing and (delay := self._bucket.delay(self._clock())):
            with suppress(TimeoutError):
                async with asyncio.timeout(delay):
                    await self._change()
        if not self._spool.fills_a_chunk:
            self._bucket.take(self._clock())

    @property
    def _is_pressing(self) -> bool:
        return self._is_finished or self._spool.fills_a_chunk or not self._spool.has_room

    async def _change(self) -> None:
        self._changed.clear()
        await self._changed.wait()
