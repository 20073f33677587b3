"""The account's feed of events: one WebSocket to the clients' API, kept up by a worker of its own.

It carries events and says when it was away; what to make of them is `stream`'s. API Gateway sets the terms:
no message for ten minutes, or an age of two hours, ends a connection, and an event posted in between is gone.
"""

from __future__ import annotations

import contextlib
import logging
import random
import threading
import time
import uuid
from collections import deque
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from typing import Any
from weakref import WeakSet

from websockets.exceptions import ConnectionClosed, InvalidStatus, InvalidURI, WebSocketException

from filepath_sdk import protocol
from filepath_sdk.calls import Reply, error_of
from filepath_sdk.core.backend import Address, Backend, Connection, Flag, Worker
from filepath_sdk.errors import ClientClosed, FilepathError, NotConfigured, Unavailable
from filepath_sdk.retry import backoff

log = logging.getLogger("filepath_sdk")
_chance = random.SystemRandom()

QUEUE_LIMIT = 8 * 1024 * 1024
"""Characters of data that may wait for a reader. Beyond, they are dropped, and the reader is told so."""
REFUSALS_TAKEN = 2
"""In a row, before they are believed, where the same credential was let in before: a deployment may be restarting."""


@dataclass(frozen=True)
class Pace:
    """In seconds. Ranges, so that clients that started together do not all come at once."""

    keep_alive: tuple[float, float] = (300, 540)
    renewal: tuple[float, float] = (6000, 6600)
    longest_backoff: float = 10.0
    open_timeout: float = 15.0


@dataclass(frozen=True)
class Event:
    params: Mapping[str, Any]


@dataclass(frozen=True)
class Missed:
    """The feed was away, or its reader: what it would have told until now is unknown."""


@dataclass(frozen=True)
class Failed:
    """The feed was refused and will not come back."""

    error: FilepathError


Message = Event | Missed | Failed


class Subscription:
    """The events of one task, or of all until its id is known: an event may come before the id does."""

    def __init__(self, arrived: Flag, workflow_id: str | None = None) -> None:
        self._workflow_id = workflow_id
        self._messages: deque[Message] = deque()
        self._size = 0
        self._arrived = arrived
        self._lock = threading.Lock()

    def narrow(self, workflow_id: str) -> None:
        with self._lock:
            self._workflow_id = workflow_id
            self._messages = deque(message for message in self._messages if self._concerns(message))

    def _concerns(self, message: Message) -> bool:
        return not isinstance(message, Event) or self._workflow_id in (None, message.params.get("workflowId"))

    def put(self, message: Message) -> None:
        with self._lock:
            if not self._concerns(message):
                return
            if isinstance(message, Event):
                self._size += len(message.params.get("data") or "") + 200
            if self._size > QUEUE_LIMIT:
                self._messages.clear()
                self._size, message = 0, Missed()
            self._messages.append(message)
            self._arrived.set()

    def wake(self) -> None:
        """End the wait in `get`; also from a signal handler, which may have struck while the lock was held."""
        self._arrived.set()

    async def get(self, timeout: float) -> list[Message]:
        """All that has come, waiting for some up to `timeout` seconds, or less."""
        if timeout > 0:
            await self._arrived.wait(timeout)
        with self._lock:
            self._arrived.clear()
            messages, self._messages, self._size = list(self._messages), deque(), 0
        return messages


class Feed:
    """Opened by the first `open()`, kept up until `close()`."""

    def __init__(self, backend: Backend, address: Callable[[], Awaitable[Address]], pace: Pace | None = None) -> None:
        self._backend = backend
        self._address = address
        self._pace = pace or Pace()
        self._subscriptions: WeakSet[Subscription] = WeakSet()
        self._lock = threading.Lock()
        self._worker: Worker | None = None
        self._connection: Connection | None = None
        self._tried = backend.flag()
        self._closed = backend.flag()
        self._failure: FilepathError | None = None

    async def open(self) -> None:
        """Returns when the socket is up, or the first try to open it has failed: the feed goes on trying, and
        who subscribed reads meanwhile. Raises when it was refused for good.
        """
        with self._lock:
            if self._worker is None and self._failure is None:
                self._worker = self._backend.work(self._keep_up)
        if self._failure is None:
            await self._tried.wait()
        if self._failure is not None:
            raise self._failure

    def subscribe(self, workflow_id: str | None = None) -> Subscription:
        subscription = Subscription(self._backend.flag(), workflow_id)
        with self._lock:
            self._subscriptions.add(subscription)
            if self._failure is not None:
                subscription.put(Failed(self._failure))
        return subscription

    async def close(self) -> None:
        """Who still waits for events is told."""
        self._closed.set()
        self._give_up(ClientClosed("this client is closed; what it started runs on"))
        with self._lock:
            connection, worker = self._connection, self._worker
        try:
            if connection is not None:
                await connection.close()
        finally:
            if worker is not None:
                await worker.end()

    def _tell(self, message: Message) -> None:
        with self._lock:
            subscriptions = list(self._subscriptions)
        for subscription in subscriptions:
            subscription.put(message)

    # The worker

    async def _keep_up(self) -> None:
        try:
            await self._reconnect_for_ever()
        except Exception as error:
            log.exception("The filepath feed broke")
            self._give_up(FilepathError(f"the feed of events broke: {error!r}"))

    async def _reconnect_for_ever(self) -> None:
        failures, refusals_taken = 0, 0
        while not self._closed.is_set():
            connected_at = time.monotonic()
            try:
                connection = await self._connect()
            except FilepathError as error:
                if not error.retryable and refusals_taken == 0:
                    self._give_up(error)
                    return
                log.info("The filepath socket cannot be opened: %s", error)
                failures, refusals_taken = failures + 1, refusals_taken - (not error.retryable)
                self._now_tried()
            else:
                self._now_tried()
                await self._listen(connection)
                failures = 0 if time.monotonic() - connected_at > 5 else failures + 1
                refusals_taken = REFUSALS_TAKEN
            await self._closed.wait(backoff(failures, _chance.random(), self._pace.longest_backoff))

    def _now_tried(self) -> None:
        self._tell(Missed())
        self._tried.set()

    def _give_up(self, error: FilepathError) -> None:
        with self._lock:
            self._failure = self._failure or error
        self._tell(Failed(error))
        self._tried.set()

    async def _connect(self) -> Connection:
        """Raises FilepathError, retryable or not."""
        address = await self._address()
        try:
            return await self._backend.connect(address, self._pace.open_timeout)
        except InvalidStatus as refused:
            response = refused.response
            headers = {name.lower(): value for name, value in response.headers.raw_items()}
            error = error_of(Reply(response.status_code, headers, bytes(response.body or b"")))
            error.message = f"the socket at {_shown(address.url)} was refused: {error.message}"
            error.retryable = error.retryable or response.status_code >= 500
            raise error from refused
        except InvalidURI as wrong:
            raise NotConfigured(f"FILEPATH_SOCKET_URL is no ws:// or wss:// URL: {_shown(address.url)}") from wrong
        except (OSError, WebSocketException) as failed:
            raise Unavailable(f"the socket at {_shown(address.url)}: {failed}", retryable=True) from failed

    async def _listen(self, connection: Connection) -> None:
        """Until the connection is gone. An ageing one is replaced by opening the next before closing it."""
        now = time.monotonic()
        renew_at = now + _chance.uniform(*self._pace.renewal)
        keep_alive_at = now + _chance.uniform(*self._pace.keep_alive)
        async with contextlib.AsyncExitStack() as stack:
            stack.enter_context(contextlib.suppress(ConnectionClosed))
            stack.push_async_callback(connection.close)
            while self._holds(connection):
                now = time.monotonic()
                if now >= renew_at:
                    connection = await self._renewed(connection, stack)
                    renew_at = now + _chance.uniform(*self._pace.renewal)
                if now >= keep_alive_at:
                    await connection.send(protocol.request(uuid.uuid4().hex, "getHealth", {}))
                    keep_alive_at = now + _chance.uniform(*self._pace.keep_alive)
                with contextlib.suppress(TimeoutError):
                    self._heard(await connection.recv(max(0.0, min(renew_at, keep_alive_at) - now)))

    def _holds(self, connection: Connection) -> bool:
        with self._lock:
            self._connection = connection
            return not self._closed.is_set()

    async def _renewed(self, connection: Connection, stack: contextlib.AsyncExitStack) -> Connection:
        try:
            replacement = await self._connect()
        except FilepathError as error:
            log.info("The filepath socket cannot be renewed yet: %s", error)
            return connection
        stack.push_async_callback(replacement.close)
        await connection.close()
        self._tell(Missed())  # what was under way on the old one
        return replacement

    def _heard(self, text: str | bytes) -> None:
        try:
            message = protocol.parse(text if isinstance(text, str) else text.decode(errors="replace"))
        except protocol.ProtocolError:
            return  # API Gateway's own words, in answer to a keep-alive
        if isinstance(message, protocol.Request) and message.method == "progress":
            self._tell(Event(message.params))


def _shown(url: str) -> str:
    """Without its query: a ticket is a credential."""
    return url.partition("?")[0]
