"""AsyncFilepath behind the surface of Filepath, so that one test of behaviour is a test of both."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import AsyncIterator, Awaitable, Iterator
from typing import Any, Self

from filepath_sdk import AsyncFilepath


async def other_tasks() -> list[str]:
    """The names of all that the running loop does, beside its caller."""
    return [task.get_name() for task in asyncio.all_tasks() if task is not asyncio.current_task()]


class Loop:
    """An event loop that runs in a thread of its own."""

    def __enter__(self) -> Self:
        self.loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self.loop.run_forever)
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.loop.call_soon_threadsafe(self.loop.stop)
        self._thread.join()
        self.loop.close()

    def run(self, awaitable: Awaitable[Any]) -> Any:
        async def awaited() -> Any:
            return await awaitable

        return asyncio.run_coroutine_threadsafe(awaited(), self.loop).result(30)

    def call(self, function: Any, *arguments: Any, **options: Any) -> Any:
        async def called() -> Any:
            return function(*arguments, **options)

        return self.run(called())

    def tasks_left(self) -> set[str]:
        return set(self.run(other_tasks()))

    def client(self, *arguments: Any, **options: Any) -> Any:
        return Driven(self, self.call(AsyncFilepath, *arguments, **options))


class Driven:
    """What is to be awaited is awaited on the loop, while the caller waits."""

    def __init__(self, loop: Loop, thing: Any) -> None:
        self._loop = loop
        self._thing = thing

    def __getattr__(self, name: str) -> Any:
        value = getattr(self._thing, name)
        if not callable(value):
            return self._shown(value)
        return lambda *arguments, **options: self._answer(self._loop.call(value, *arguments, **options))

    def _answer(self, answer: Any) -> Any:
        if isinstance(answer, Awaitable):
            answer = self._loop.run(answer)
        return self._iterated(answer) if isinstance(answer, AsyncIterator) else self._shown(answer)

    def _shown(self, value: Any) -> Any:
        return Driven(self._loop, value) if type(value).__module__.startswith("filepath_sdk.aio") else value

    def _iterated(self, items: AsyncIterator[Any]) -> Iterator[Any]:
        while True:
            try:
                item = self._loop.run(anext(items))
            except StopAsyncIteration:
                return
            yield self._shown(item)

    def __enter__(self) -> Any:
        return self._shown(self._loop.run(self._thing.__aenter__()))

    def __exit__(self, *how: object) -> None:
        self._loop.run(self._thing.__aexit__(*how))
