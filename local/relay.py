"""One WebSocket through a door, under API Gateway's rules.

Its limits are kept here because the emulator knows none of them: text only, a frame of at most 32 KB, a message of at
most 128 KB, ten idle minutes, two hours. What is too long for the caller never gets here: mends/sockets.py keeps it
back, which knows whether a function answered or posted it. Frames are looked at one by one, so the near side is
websockets' sans-I/O protocol on a stream; the far side is an ordinary client of the emulator.
"""

from __future__ import annotations

import asyncio
import contextlib
import functools
from collections.abc import Awaitable, Callable, Iterable
from dataclasses import dataclass

from websockets.asyncio.client import ClientConnection, connect
from websockets.datastructures import Headers
from websockets.exceptions import ConnectionClosed, InvalidStatus
from websockets.frames import Frame, Opcode
from websockets.http11 import Request
from websockets.protocol import State
from websockets.server import ServerProtocol

from local.faults import Faults

FRAME_LIMIT = 32 * 1024
MESSAGE_LIMIT = 128 * 1024
LINGER_SECONDS = 2.0
READ_SIZE = 64 * 1024

NOT_PASSED_ON = frozenset({"connection", "upgrade", "transfer-encoding", "expect", "x-forwarded-for"})


@dataclass(frozen=True)
class Patience:
    """How long API Gateway keeps a connection."""

    idle_seconds: float = 600
    longest_seconds: float = 7200


@dataclass(frozen=True)
class RefusedError(Exception):
    """The handshake was refused; this is what the caller is told."""

    status: int
    body: bytes


class Relay:
    def __init__(
        self,
        reader: asyncio.StreamReader,
        writer: asyncio.StreamWriter,
        faults: Faults,
        patience: Patience = Patience(),
    ) -> None:
        self._reader = reader
        self._writer = writer
        self._faults = faults
        self._patience = patience
        self._near = ServerProtocol(max_size=(MESSAGE_LIMIT, FRAME_LIMIT))
        self._parts: list[bytes] = []
        self._active_at = 0.0
        self._sending: set[asyncio.Task[None]] = set()

    async def run(self, path: str, headers: Iterable[tuple[str, str]], url: str, early: bytes) -> None:
        """Open the far side first: the caller is let in when `$connect` has let it in."""
        request = Request(path, Headers(list(headers)))
        if self._faults.plan.refuse:
            raise RefusedError(self._faults.plan.refuse, b'{"message":"Refused by a plan"}')
        async with await self._far_side(url, request) as far:
            self._accept(request)
            cut = self._cutter(far)
            self._faults.cuts.add(cut)
            try:
                async with asyncio.timeout(self._patience.longest_seconds):
                    await self._pass_on(far, early)
            except TimeoutError:
                self._near.send_close(1001, "Going away")
                await self._flush()
            finally:
                self._faults.cuts.discard(cut)
                self._writer.close()

    async def _far_side(self, url: str, request: Request) -> ClientConnection:
        passed_on = [
            (name, value)
            for name, value in request.headers.raw_items()
            if name.lower() not in NOT_PASSED_ON | {"host"} and not name.lower().startswith("sec-websocket-")
        ]
        peer = self._writer.get_extra_info("peername")[0]
        try:
            return await connect(
                url,
                additional_headers=[*passed_on, ("X-Forwarded-For", peer)],
                user_agent_header=None,
                compression=None,
                max_size=None,
                ping_interval=None,
                open_timeout=29,
                proxy=None,
            )
        except InvalidStatus as refused:
            raise RefusedError(refused.response.status_code, bytes(refused.response.body or b"")) from None
        except OSError:
            raise RefusedError(503, b'{"message":"Service Unavailable"}') from None

    def _accept(self, request: Request) -> None:
        self._near.receive_data(request.serialize())
        self._near.events_received()
        self._near.send_response(self._near.accept(request))

    def _cutter(self, far: ClientConnection) -> Callable[[], None]:
        def cut() -> None:
            self._writer.transport.abort()
            far.transport.abort()

        return cut

    async def _pass_on(self, far: ClientConnection, early: bytes) -> None:
        await self._flush()
        outward = asyncio.create_task(self._outward(far))
        try:
            await self._inward(far, early)
        finally:
            outward.cancel()
            for task in self._sending:
                task.cancel()

    # From the caller to the platform

    async def _inward(self, far: ClientConnection, early: bytes) -> None:
        data = early
        while True:
            if data:
                self._near.receive_data(data)
            for event in self._near.events_received():
                if isinstance(event, Frame):
                    await self._take(event, far)
            await self._flush()
            if self._near.close_expected():
                await linger(self._reader, self._writer)
                return
            data = await self._read()
            if not data:
                return

    async def _read(self) -> bytes:
        """What comes next; nothing, when the line is broken or was idle, either way, for too long."""
        reading = asyncio.ensure_future(self._reader.read(READ_SIZE))
        self._active_at = now = asyncio.get_running_loop().time()
        try:
            while (left := self._active_at + self._patience.idle_seconds - now) > 0:
                await asyncio.wait({reading}, timeout=left)
                if reading.done():
                    return reading.result()
                now = asyncio.get_running_loop().time()
            self._near.send_close(1001, "Going away")
            await self._flush()
        except OSError:
            pass
        finally:
            reading.cancel()
        return b""

    async def _take(self, frame: Frame, far: ClientConnection) -> None:
        if frame.opcode is Opcode.BINARY:
            self._near.fail(1003, "Binary is not supported")
        elif frame.opcode in {Opcode.TEXT, Opcode.CONT}:
            self._parts.append(bytes(frame.data))
            if frame.fin:
                text = b"".join(self._parts).decode()
                self._parts.clear()
                await self._deliver(lambda: self._to_far(far, text))

    async def _to_far(self, far: ClientConnection, text: str) -> None:
        with contextlib.suppress(ConnectionClosed):
            await far.send(text)

    # From the platform to the caller

    async def _outward(self, far: ClientConnection) -> None:
        try:
            async for message in far:
                await self._deliver(functools.partial(self._to_near, message))
        finally:
            if self._near.state is State.OPEN:
                self._near.send_close(far.close_code if far.close_code in {1000, 1001} else 1001)
                await self._flush()

    async def _to_near(self, message: str | bytes) -> None:
        text = message.encode() if isinstance(message, str) else message
        if self._near.state is not State.OPEN:
            return
        self._active_at = asyncio.get_running_loop().time()
        frames = [text[start : start + FRAME_LIMIT] for start in range(0, len(text), FRAME_LIMIT)] or [b""]
        for number, frame in enumerate(frames, start=1):
            send = self._near.send_text if number == 1 else self._near.send_continuation
            send(frame, fin=number == len(frames))
        await self._flush()

    # Either way

    async def _deliver(self, send: Callable[[], Awaitable[None]]) -> None:
        for delay in self._faults.deliveries():
            if delay:
                task = asyncio.create_task(_later(delay, send))
                self._sending.add(task)
                task.add_done_callback(self._sending.discard)
            else:
                await send()

    async def _flush(self) -> None:
        with contextlib.suppress(OSError):
            for data in self._near.data_to_send():
                if data:
                    self._writer.write(data)
            await self._writer.drain()


async def _later(delay: float, send: Callable[[], Awaitable[None]]) -> None:
    await asyncio.sleep(delay)
    await send()


async def linger(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Wait for the other side to close. To close with bytes unread resets the line, and our last words are lost."""
    with contextlib.suppress(OSError, TimeoutError):
        writer.write_eof()
        async with asyncio.timeout(LINGER_SECONDS):
            while await reader.read(READ_SIZE):
                pass
