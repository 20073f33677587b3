"""The blocking client's backend: threads, and coroutines that never suspend."""

from __future__ import annotations

import contextlib
import threading
import time
from collections.abc import AsyncIterator, Callable, Iterator
from typing import TypeVar

import httpx
from websockets.sync.client import ClientConnection, connect

from filepath_sdk.core.backend import TIMEOUT, Address, Doing, Flag, Request
from filepath_sdk.errors import FilepathError

T = TypeVar("T")
LONGEST_WAIT = 1.0
"""A signal handler that runs just before the wait wakes nobody: the wait is repeated instead."""


def complete(doing: Doing[T]) -> T:
    """Run a coroutine of the core to its end: over this backend nothing in it suspends."""
    try:
        doing.send(None)
    except StopIteration as end:
        result: T = end.value
        return result
    doing.close()
    raise RuntimeError("a callback awaits something, which only AsyncFilepath can do")


def each(items: AsyncIterator[T]) -> Iterator[T]:
    async def following() -> T:
        return await anext(items)

    while True:
        try:
            item = complete(following())
        except StopAsyncIteration:
            return
        yield item


class Blocking:
    """Safe to use from several threads."""

    interruptions: tuple[type[BaseException], ...] = (KeyboardInterrupt,)

    def __init__(self) -> None:
        self._http = httpx.Client(timeout=TIMEOUT)

    async def request(self, request: Request) -> httpx.Response:
        return self._http.request(**request.arguments())

    async def connect(self, address: Address, open_timeout: float) -> BlockingConnection:
        # Entering it tells the library that this side closes the connection itself.
        return BlockingConnection(connect(**address.arguments(open_timeout)).__enter__())

    async def sleep(self, seconds: float) -> None:
        time.sleep(seconds)  # noqa: ASYNC251 -- no event loop is there to be blocked

    def flag(self) -> Flag:
        return ThreadFlag()

    def work(self, what: Callable[[], Doing[None]]) -> WorkerThread:
        return WorkerThread(what)

    async def undoable(self, doing: Doing[T], undo: Callable[[T], Doing[object]]) -> T:
        del undo  # an interrupt strikes anywhere, also where nothing can be undone
        return await doing

    async def part(self, doing: Doing[None]) -> None:
        with contextlib.suppress(FilepathError):
            await doing

    async def close(self) -> None:
        self._http.close()


class BlockingConnection:
    def __init__(self, connection: ClientConnection) -> None:
        self._connection = connection

    async def send(self, text: str) -> None:
        self._connection.send(text)

    async def recv(self, timeout: float) -> str | bytes:
        return self._connection.recv(timeout)

    async def close(self) -> None:
        self._connection.close()


class ThreadFlag:
    """As threading.Event, but it can be set by a signal handler of the thread that waits: its lock is reentrant."""

    def __init__(self) -> None:
        self._changed = threading.Condition(threading.RLock())
        self._set = False

    def is_set(self) -> bool:
        return self._set

    def set(self) -> None:
        with self._changed:
            self._set = True
            self._changed.notify_all()

    def clear(self) -> None:
        self._set = False

    async def wait(self, timeout: float | None = None) -> None:
        deadline = None if timeout is None else time.monotonic() + timeout
        with self._changed:
            while not self._set:
                left = LONGEST_WAIT if deadline is None else min(LONGEST_WAIT, deadline - time.monotonic())
                if left <= 0:
                    return
                self._changed.wait(left)


class WorkerThread:
    def __init__(self, what: Callable[[], Doing[None]]) -> None:
        self._thread = threading.Thread(target=lambda: complete(what()), name="filepath-feed", daemon=True)
        self._thread.start()

    async def end(self) -> None:
        if self._thread is not threading.current_thread():
            self._thread.join()
