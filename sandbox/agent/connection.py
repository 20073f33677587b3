"""The way to the platform: one WebSocket at a time, replaced as often as needed, and the requests that outlive it.

What the requests say is not known here, but for `hello`, which every connection begins with."""

from __future__ import annotations

import asyncio
import logging
import random
from collections.abc import Callable, Coroutine
from contextlib import suppress
from dataclasses import dataclass

from websockets.exceptions import InvalidStatus, WebSocketException

from agent import VERSION, protocol
from agent.line import Line
from agent.protocol import Params, ProtocolError, Request, Response
from agent.settings import Settings

_FIRST_BACKOFF_SECONDS = 0.5
_LAST_BACKOFF_SECONDS = 30.0
_REFUSALS = 4
"""Handshakes refused in a row before it counts as final: an authorizer may fail now and then."""
_HELLO_TRIES = 3
_SETTLED_SECONDS = 3.0
"""A connection that lasted for less counts as failed, so that the next one is not opened at once."""

log = logging.getLogger(__name__)


class RefusedError(Exception):
    """The platform does not want this agent, and says so for good."""


class PlatformGoneError(Exception):
    """Nothing was heard from the platform for too long."""


class CallFailedError(Exception):
    """The platform answered with an error that trying again does not mend."""


class SessionClosedError(Exception):
    """The platform answered that the session has ended: there is nobody left to report to."""


def backoff(tries: int, first: float = _FIRST_BACKOFF_SECONDS) -> float:
    """Seconds, with jitter: all agents of a platform lose their connections at the same moment."""
    return min(_LAST_BACKOFF_SECONDS, first * 2.0 ** min(tries, 10)) * random.uniform(0.5, 1)  # noqa: S311


@dataclass
class _Pending:
    """A request without its reply. It is encoded once: a resend is the same to the byte."""

    message: bytes
    answer: asyncio.Future[Params]
    line: Line | None = None
    """The only line this may go over; None for whichever is the newest."""
    tries: int = 0
    timer: asyncio.TimerHandle | None = None


class Connection:
    """Dials, says hello, and keeps every request until it is answered."""

    def __init__(
        self,
        settings: Settings,
        instance: str,
        hello: Callable[[], Params],
        greeted: Callable[[Params], None],
        notified: Callable[[Request], None],
    ) -> None:
        self._settings = settings
        self._timing = settings.timing
        self._instance = instance
        self._hello = hello
        self._greeted = greeted
        self._notified = notified
        self._loop = asyncio.get_running_loop()
        self._pending: dict[int, _Pending] = {}
        self._line: Line | None = None
        self._heard_at = self._loop.time()
        self._last_id = 0
        self._failures = 0
        self._background: set[asyncio.Task[None]] = set()

    async def run(self) -> None:
        """Keeps a connection for as long as it is let. Raises RefusedError, PlatformGoneError or SessionClosedError."""
        while True:
            await self._until_due(await self._open())

    async def call(self, method: str, params: Params | bytes) -> Params:
        """The platform's reply, however many connections it takes. Parameters may be JSON already. Raises
        CallFailedError or SessionClosedError."""
        return await self._ask(method, params, None)

    async def close(self) -> None:
        for pending in self._pending.values():
            self._stop_timer(pending)
        if self._line is not None:
            await self._line.close()
        for task in self._background:
            task.cancel()
        await asyncio.gather(*self._background, return_exceptions=True)

    # Opening and replacing

    async def _open(self) -> Line:
        refusals = 0
        while True:
            if self._failures:
                await asyncio.sleep(backoff(self._failures - 1))
            try:
                return await self._dial()
            except InvalidStatus as error:
                status = error.response.status_code
                log.warning("the platform refused the handshake with %d", status)
                refusals = refusals + 1 if status in (401, 403) else 0
            except CallFailedError as error:
                log.warning("the platform refused hello: %s", error)
                refusals += 1
            except (OSError, WebSocketException) as error:
                log.warning("no connection: %s", error)
            self._failures += 1
            if refusals >= _REFUSALS:
                raise RefusedError("the platform refuses this sandbox")
            if self._loop.time() - self._heard_at > self._timing.gone_seconds:
                raise PlatformGoneError(f"no word from the platform for {self._timing.gone_seconds:.0f} s")

    async def _dial(self) -> Line:
        line = Line(self._settings.agents_url, self._headers(), self._heard, self._lost)
        await line.open()
        try:
            await self._greet(line)
        except BaseException:
            self._hang_up(line)
            raise
        return line

    def _headers(self) -> dict[str, str]:
        return {
            "Authorization": f"Bearer {self._settings.token}",
            "X-Filepath-Session": self._settings.session_id,
            "X-Filepath-Instance": self._instance,
            "User-Agent": f"filepath-agent/{VERSION}",
        }

    async def _greet(self, line: Line) -> None:
        """Nothing else goes out before hello is answered; then all that is unanswered goes out again."""
        reply = await self._ask("hello", self._hello(), line)
        old, self._line = self._line, line
        if old is not None:
            self._hang_up(old)
        self._greeted(reply)
        for pending in list(self._pending.values()):
            if pending.line is None:
                pending.tries = 0
                self._send(pending)

    async def _until_due(self, line: Line) -> None:
        """Until the line is closed, or so old that API Gateway will close it soon."""
        with suppress(TimeoutError):
            async with asyncio.timeout(self._timing.renew_seconds * random.uniform(1, 1.1)):  # noqa: S311
                await line.closed.wait()
        settled = self._loop.time() - line.opened_at >= _SETTLED_SECONDS
        self._failures = 0 if settled or not line.closed.is_set() else self._failures + 1

    def _hang_up(self, line: Line) -> None:
        self._in_background(line.close())

    # Asking

    async def _ask(self, method: str, params: Params | bytes, line: Line | None) -> Params:
        self._last_id += 1
        message_id = self._last_id
        encoded = params if isinstance(params, bytes) else protocol.encode(params).encode()
        message = protocol.encoded_request(message_id, method, encoded)
        pending = self._pending[message_id] = _Pending(message, self._loop.create_future(), line)
        try:
            self._send(pending)
            return await pending.answer
        finally:
            self._stop_timer(pending)
            del self._pending[message_id]

    def _send(self, pending: _Pending) -> None:
        """Sends, or sends again. Without a connection it waits for the next hello."""
        self._stop_timer(pending)
        line = pending.line or self._line
        if line is None or line.closed.is_set():
            return
        line.write(pending.message)
        patience = self._timing.silence_seconds * 2.0 ** min(pending.tries, 2)
        pending.timer = self._loop.call_later(patience, self._miss, pending, line)
        pending.tries += 1

    def _miss(self, pending: _Pending, line: Line) -> None:
        """No reply. If nothing at all comes over this line, another one may do better."""
        silent = self._loop.time() - line.heard_at >= 2 * self._timing.silence_seconds
        if silent or (pending.line and pending.tries >= _HELLO_TRIES):
            log.warning("silence: giving this connection up")
            self._hang_up(line)
        else:
            self._send(pending)

    def _send_later(self, pending: _Pending) -> None:
        self._stop_timer(pending)
        pending.timer = self._loop.call_later(backoff(pending.tries - 1), self._send, pending)

    @staticmethod
    def _stop_timer(pending: _Pending) -> None:
        if pending.timer:
            pending.timer.cancel()
            pending.timer = None

    # Listening

    def _heard(self, line: Line, message: bytes) -> None:
        self._heard_at = line.heard_at
        self._receive(line, message.decode(errors="replace"))

    def _lost(self, line: Line) -> None:
        for pending in self._pending.values():
            if pending.line is line and not pending.answer.done():
                pending.answer.set_exception(ConnectionResetError("closed before hello was answered"))

    def _receive(self, line: Line, text: str) -> None:
        try:
            message = protocol.parse(text)
        except ProtocolError as error:
            log.warning("not a message of the platform's, so what is in flight may be lost: %s", error)
            self._refuse_all(line)
            return
        if isinstance(message, Response):
            self._settle(message)
        elif message.method == "superseded":
            self._hang_up(line)
        else:
            self._notified(message)

    def _refuse_all(self, line: Line) -> None:
        """API Gateway answers in words of its own, without our id, where a function failed: whose it was is unknown."""
        for pending in self._pending.values():
            if (pending.line or self._line) is line:
                self._send_later(pending)

    def _settle(self, response: Response) -> None:
        pending = self._pending.get(response.id) if isinstance(response.id, int) else None
        if pending is None or pending.answer.done():
            return  # the second answer to a request that was sent twice
        if response.error is None:
            pending.answer.set_result(response.result)
        elif _reason(response.error).get("retryable") is True:
            self._send_later(pending)
        else:
            closed = _reason(response.error).get("code") == "session_closed"
            failure = SessionClosedError if closed else CallFailedError
            pending.answer.set_exception(failure(str(response.error.get("message"))))

    # Tasks of the event loop

    def _in_background(self, work: Coroutine[None, None, None]) -> None:
        task = self._loop.create_task(work)
        self._background.add(task)
        task.add_done_callback(self._background.discard)


def _reason(error: Params) -> Params:
    """The platform's own words within a JSON-RPC error; empty where there are none."""
    data = error.get("data")
    reason = data.get("error") if isinstance(data, dict) else None
    return reason if isinstance(reason, dict) else {}
