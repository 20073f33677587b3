"""The account's feed of events: one WebSocket to the clients' API, kept up by a thread of its own.

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
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any
from weakref import WeakSet

from websockets.exceptions import ConnectionClosed, InvalidStatus, InvalidURI, WebSocketException
from websockets.sync.client import ClientConnection, connect

from filepath_sdk import protocol
from filepath_sdk.calls import Reply, error_of
from filepath_sdk.errors import FilepathError, NotConfigured, Unavailable
from filepath_sdk.retry import backoff
from filepath_sdk.transport import USER_AGENT

log = logging.getLogger("filepath_sdk")
_chance = random.SystemRandom()

QUEUE_LIMIT = 8 * 1024 * 1024
"""Characters of data that may wait for a reader. Beyond, they are dropped, and the reader is told so."""
LONGEST_WAIT = 1.0
"""A signal handler that runs just before the wait wakes nobody: the wait is repeated instead."""
MAX_MESSAGE = 256 * 1024
REFUSALS_TAKEN = 2
"""In a row, before they are believed, where the same credential was let in before: a deployment may be restarting."""


@dataclass(frozen=True)
class Address:
    url: str
    headers: Mapping[str, str]


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

    def __init__(self, workflow_id: str | None = None) -> None:
        self._workflow_id = workflow_id
        self._messages: deque[Message] = deque()
        self._size = 0
        self._changed = threading.Condition()

    def narrow(self, workflow_id: str) -> None:
        with self._changed:
            self._workflow_id = workflow_id
            self._messages = deque(message for message in self._messages if self._concerns(message))

    def _concerns(self, message: Message) -> bool:
        return not isinstance(message, Event) or self._workflow_id in (None, message.params.get("workflowId"))

    def put(self, message: Message) -> None:
        if not self._concerns(message):
            return
        with self._changed:
            if isinstance(message, Event):
                self._size += len(message.params.get("data") or "") + 200
            if self._size > QUEUE_LIMIT:
                self._messages.clear()
                self._size, message = 0, Missed()
            self._messages.append(message)
            self._changed.notify_all()

    def wake(self) -> None:
        """End the wait in `get`; also from a signal handler: the lock is reentrant."""
        with self._changed:
            self._changed.notify_all()

    def get(self, timeout: float) -> list[Message]:
        """All that has come, waiting for some up to `timeout` seconds, or less."""
        with self._changed:
            if not self._messages and timeout > 0:
                self._changed.wait(min(timeout, LONGEST_WAIT))
            messages, self._messages, self._size = list(self._messages), deque(), 0
        return messages


class Feed:
    """Opened by the first `open()`, kept up until `close()`."""

    def __init__(self, address: Callable[[], Address], pace: Pace | None = None) -> None:
        self._address = address
        self._pace = pace or Pace()
        self._subscriptions: WeakSet[Subscription] = WeakSet()
        self._lock = threading.Lock()
        self._thread: threading.Thread | None = None
        self._connection: ClientConnection | None = None
        self._tried = threading.Event()
        self._closed = threading.Event()
        self._failure: FilepathError | None = None

    def open(self) -> None:
        """Returns when the socket is up, or the first try to open it has failed: the feed goes on trying, and
        who subscribed reads meanwhile. Raises when it was refused for good.
        """
        with self._lock:
            if self._closed.is_set():
                raise RuntimeError("this Filepath is closed")
            if self._thread is None:
                self._thread = threading.Thread(target=self._keep_up, name="filepath-feed", daemon=True)
                self._thread.start()
        self._tried.wait()
        if self._failure is not None:
            raise self._failure

    def subscribe(self, workflow_id: str | None = None) -> Subscription:
        subscription = Subscription(workflow_id)
        with self._lock:
            self._subscriptions.add(subscription)
            if self._failure is not None:
                subscription.put(Failed(self._failure))
        return subscription

    def close(self) -> None:
        with self._lock:
            self._closed.set()
            connection, thread = self._connection, self._thread
        if connection is not None:
            connection.close()
        if thread is not None and thread is not threading.current_thread():
            thread.join()

    def _tell(self, message: Message) -> None:
        with self._lock:
            subscriptions = list(self._subscriptions)
        for subscription in subscriptions:
            subscription.put(message)

    # The thread

    def _keep_up(self) -> None:
        try:
            self._reconnect_for_ever()
        except Exception as error:
            log.exception("The filepath feed broke")
            self._give_up(FilepathError(f"the feed of events broke: {error!r}"))

    def _reconnect_for_ever(self) -> None:
        failures, refusals_taken = 0, 0
        while not self._closed.is_set():
            connected_at = time.monotonic()
            try:
                connection = self._connect()
            except FilepathError as error:
                if not error.retryable and refusals_taken == 0:
                    self._give_up(error)
                    return
                log.info("The filepath socket cannot be opened: %s", error)
                failures, refusals_taken = failures + 1, refusals_taken - (not error.retryable)
                self._now_tried()
            else:
                self._now_tried()
                self._listen(connection)
                failures = 0 if time.monotonic() - connected_at > 5 else failures + 1
                refusals_taken = REFUSALS_TAKEN
            self._closed.wait(backoff(failures, _chance.random(), self._pace.longest_backoff))

    def _now_tried(self) -> None:
        self._tell(Missed())
        self._tried.set()

    def _give_up(self, error: FilepathError) -> None:
        with self._lock:
            self._failure = error
        self._tell(Failed(error))
        self._tried.set()

    def _connect(self) -> ClientConnection:
        """Raises FilepathError, retryable or not."""
        address = self._address()
        try:
            # Entering it tells the library that this side closes the connection itself.
            return connect(
                address.url,
                additional_headers=dict(address.headers),
                user_agent_header=USER_AGENT,
                compression=None,
                open_timeout=self._pace.open_timeout,
                close_timeout=1,
                max_size=MAX_MESSAGE,
            ).__enter__()
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

    def _listen(self, connection: ClientConnection) -> None:
        """Until the connection is gone. An ageing one is replaced by opening the next before closing it."""
        now = time.monotonic()
        renew_at = now + _chance.uniform(*self._pace.renewal)
        keep_alive_at = now + _chance.uniform(*self._pace.keep_alive)
        with contextlib.suppress(ConnectionClosed), contextlib.ExitStack() as stack:
            stack.callback(connection.close)
            while self._holds(connection):
                now = time.monotonic()
                if now >= renew_at:
                    connection = self._renewed(connection)
                    stack.callback(connection.close)
                    renew_at = now + _chance.uniform(*self._pace.renewal)
                if now >= keep_alive_at:
                    connection.send(protocol.request(uuid.uuid4().hex, "getHealth", {}))
                    keep_alive_at = now + _chance.uniform(*self._pace.keep_alive)
                with contextlib.suppress(TimeoutError):
                    self._heard(connection.recv(max(0.0, min(renew_at, keep_alive_at) - now)))

    def _holds(self, connection: ClientConnection) -> bool:
        with self._lock:
            self._connection = connection
            return not self._closed.is_set()

    def _renewed(self, connection: ClientConnection) -> ClientConnection:
        try:
            replacement = self._connect()
        except FilepathError as error:
            log.info("The filepath socket cannot be renewed yet: %s", error)
            return connection
        connection.close()
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
