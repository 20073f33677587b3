"""The backend of asyncio: an event loop's sockets, waits and tasks. None of them outlives the client."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable, Generator
from types import TracebackType
from typing import Any, Generic, TypeVar

import httpx
from websockets.asyncio.client import ClientConnection, connect

from filepath_sdk.core.backend import PARTING_SECONDS, TIMEOUT, Address, Doing, Flag, Request
from filepath_sdk.errors import FilepathError

T = TypeVar("T")


class Asyncio:
    """For one event loop."""

    interruptions: tuple[type[BaseException], ...] = (asyncio.CancelledError, KeyboardInterrupt)

    def __init__(self) -> None:
        self._http = httpx.AsyncClient(timeout=TIMEOUT)

    async def request(self, request: Request) -> httpx.Response:
        return await self._http.request(**request.arguments())

    async def connect(self, address: Address, open_timeout: float) -> AsyncioConnection:
        return AsyncioConnection(await connect(**address.arguments(open_timeout)))

    async def sleep(self, seconds: float) -> None:
        await asyncio.sleep(seconds)

    def flag(self) -> Flag:
        return LoopFlag()

    def work(self, what: Callable[[], Doing[None]]) -> WorkerTask:
        return WorkerTask(what)

    async def undoable(self, doing: Doing[T], undo: Callable[[T], Doing[object]]) -> T:
        task = asyncio.create_task(doing)
        try:
            return await asyncio.shield(task)
        except asyncio.CancelledError:
            await self.part(_undone(task, undo))
            raise
        finally:
            await _ended(task)

    async def part(self, doing: Doing[None]) -> None:
        with contextlib.suppress(FilepathError, TimeoutError):
            async with asyncio.timeout(PARTING_SECONDS):
                await doing

    async def close(self) -> None:
        await self._http.aclose()


async def _undone(task: asyncio.Task[T], undo: Callable[[T], Doing[object]]) -> None:
    await undo(await task)


async def _ended(task: asyncio.Task[Any]) -> None:
    """Cancels it where it is not over. What it came to was for its caller, who is served or gone."""
    task.cancel()
    await asyncio.wait([task])
    if not task.cancelled():
        task.exception()


class AsyncioConnection:
    def __init__(self, connection: ClientConnection) -> None:
        self._connection = connection

    async def send(self, text: str) -> None:
        await self._connection.send(text)

    async def recv(self, timeout: float) -> str | bytes:
        async with asyncio.timeout(timeout):
            return await self._connection.recv()

    async def close(self) -> None:
        await self._connection.close()


class LoopFlag:
    def __init__(self) -> None:
        self._event = asyncio.Event()

    def is_set(self) -> bool:
        return self._event.is_set()

    def set(self) -> None:
        self._event.set()

    def clear(self) -> None:
        self._event.clear()

    async def wait(self, timeout: float | None = None) -> None:
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(timeout):
                await self._event.wait()


class WorkerTask:
    def __init__(self, what: Callable[[], Doing[None]]) -> None:
        self._task = asyncio.create_task(what(), name="filepath-feed")

    async def end(self) -> None:
        await _ended(self._task)


class Opening(Generic[T]):
    """What makes something that is to be closed: `thing = await opening`, or `async with opening as thing:`."""

    def __init__(self, make: Callable[[], Doing[T]]) -> None:
        self._make = make
        self._made: Any = None

    def __await__(self) -> Generator[Any, None, T]:
        return self._make().__await__()

    async def __aenter__(self) -> T:
        self._made = await self
        entered: T = await self._made.__aenter__()
        return entered

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        await self._made.__aexit__(kind, error, traceback)
