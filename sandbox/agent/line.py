"""One WebSocket to the platform, as whole messages.

The library's protocol upon asyncio's transport, without the library's own connection: that wakes a task for each
message, and loads what an agent has no use for."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from contextlib import suppress
from typing import cast

from websockets.client import ClientProtocol
from websockets.exceptions import InvalidState
from websockets.frames import DATA_OPCODES, CloseCode, Frame
from websockets.protocol import State
from websockets.uri import parse_uri

from agent import protocol

_OPEN_SECONDS = 10
_CLOSE_SECONDS = 2
_READ_SIZE = 64 * 1024
"""Kept for all reads: asyncio would map a quarter of a megabyte anew for each of them."""


class Line(asyncio.BufferedProtocol):
    def __init__(
        self,
        url: str,
        headers: Mapping[str, str],
        heard: Callable[[Line, bytes], None],
        lost: Callable[[Line], None],
    ) -> None:
        self._loop = asyncio.get_running_loop()
        self._uri = parse_uri(url)
        self._headers = headers
        self._heard = heard
        self._lost = lost
        self._protocol = ClientProtocol(self._uri)
        self._transport: asyncio.Transport | None = None
        self._is_open: asyncio.Future[None] = self._loop.create_future()
        self._read = memoryview(bytearray(_READ_SIZE))
        self._pieces: list[bytes] = []
        self.opened_at = self.heard_at = self._loop.time()
        self.closed = asyncio.Event()

    async def open(self) -> None:
        """Raises OSError, or WebSocketException where the handshake is refused."""
        try:
            async with asyncio.timeout(_OPEN_SECONDS):
                await self._connect()
                await self._is_open
        except BaseException:
            self._abort()
            raise
        self.opened_at = self.heard_at = self._loop.time()

    async def _connect(self) -> None:
        address = (self._uri.host, self._uri.port)
        try:
            await self._loop.create_connection(lambda: self, *address, ssl=self._uri.secure or None)
        except RuntimeError as error:
            # Names are looked up in a thread. Where commands take all that there may be, there is none for a while.
            raise OSError(str(error)) from error

    def write(self, message: bytes) -> None:
        """At once and without waiting: what may be unanswered is bounded by those who ask.

        API Gateway takes no frame above 32 KB: a longer message goes in fragments."""
        first, *others = protocol.frames(message)
        with suppress(InvalidState):  # about to be closed: what is unanswered goes out over the next line
            self._protocol.send_text(first, fin=not others)
            for number, piece in enumerate(others, 1):
                self._protocol.send_continuation(piece, fin=number == len(others))
            self._flush()

    async def close(self) -> None:
        with suppress(InvalidState):
            self._protocol.send_close(CloseCode.NORMAL_CLOSURE)
            self._flush()
        with suppress(TimeoutError):
            async with asyncio.timeout(_CLOSE_SECONDS):
                await self.closed.wait()
        self._abort()

    # As asyncio calls them

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)
        request = self._protocol.connect()
        for name, value in self._headers.items():
            request.headers[name] = value
        self._protocol.send_request(request)
        self._flush()

    def get_buffer(self, sizehint: int) -> memoryview:  # noqa: ARG002 - asyncio's signature
        return self._read

    def buffer_updated(self, nbytes: int) -> None:
        self._protocol.receive_data(bytes(self._read[:nbytes]))
        self._take_events()

    def eof_received(self) -> None:
        self._protocol.receive_eof()
        self._take_events()

    def connection_lost(self, error: Exception | None) -> None:
        if not self._is_open.done():
            self._is_open.set_exception(error or ConnectionResetError("closed within the handshake"))
        self.closed.set()
        self._lost(self)

    # What the library's protocol makes of it

    def _take_events(self) -> None:
        if not self._is_open.done():
            self._shake_hands()
        for event in self._protocol.events_received():
            if isinstance(event, Frame) and event.opcode in DATA_OPCODES:
                self._take_piece(event)
        self._flush()
        if self._protocol.close_expected():
            self._loop.call_later(_CLOSE_SECONDS, self._abort)

    def _shake_hands(self) -> None:
        if refusal := self._protocol.handshake_exc:
            self._is_open.set_exception(refusal)
        elif self._protocol.state is State.OPEN:
            self._is_open.set_result(None)

    def _take_piece(self, frame: Frame) -> None:
        self._pieces.append(bytes(frame.data))
        if frame.fin:
            message, self._pieces = b"".join(self._pieces), []
            self.heard_at = self._loop.time()
            self._heard(self, message)

    def _flush(self) -> None:
        # An empty one among them is the library's sign for the end, which close() and the other side bring about.
        pieces = [data for data in self._protocol.data_to_send() if data]
        if self._transport and pieces:
            self._transport.writelines(pieces)

    def _abort(self) -> None:
        if self._transport:
            self._transport.abort()
