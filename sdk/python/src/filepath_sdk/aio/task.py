"""A handle on one task, and its events as an iterator."""

from __future__ import annotations

from collections.abc import AsyncIterator

from filepath_sdk import calls
from filepath_sdk.core.task import TaskHandle
from filepath_sdk.core.watch import TaskWatch
from filepath_sdk.models import OutputPage, Result, TaskEvent, TaskStatus


class AsyncWatch(AsyncIterator[TaskEvent]):
    """The events of one task, in order, each once. After a cancellation it can be iterated on."""

    def __init__(self, core: TaskWatch) -> None:
        self._core = core

    async def __anext__(self) -> TaskEvent:
        event = await self.next_event()
        if event is None:
            raise StopAsyncIteration
        return event

    async def next_event(self, deadline: float | None = None) -> TaskEvent | None:
        """The next event, None after the last. Raises WaitTimeout when `deadline` (monotonic) comes first."""
        return await self._core.next_event(deadline)


class AsyncTask(TaskHandle):
    """A submitted command. It runs whether or not anyone watches it."""

    def events(self, after: int = 0) -> AsyncWatch:
        """What the task does, as it does it, until it is over; output from byte `after` on. The last is a
        StatusEvent with the terminal status, after all output.
        """
        return AsyncWatch(self._core.watch(after))

    async def wait(self, timeout: float | None = None) -> Result:
        """The result, once the task is over and every byte of its output is here. Raises WaitTimeout after
        `timeout` seconds; the task runs on, and a later wait goes on from there.
        """
        return await self._core.wait(timeout)

    async def status(self) -> TaskStatus:
        """How the task stands."""
        return await self._core.deployment.send(calls.get_task_status(self.id))

    async def cancel(self, signal: str | None = None) -> None:
        """Ask for the task's end: `signal` (TERM unless given), a grace, then KILL. Does not wait for it."""
        await self._core.deployment.send(calls.cancel_task(self.id, signal))

    async def write(self, data: str | bytes) -> None:
        """Write to the stdin of a task that was started with `stdin_open`. The command reads it when it wants to."""
        await self._core.write(data)

    async def close_stdin(self) -> None:
        """End its stdin: the command reads what was written, and then the end. Closing twice is fine."""
        await self._core.deployment.send(calls.close_stdin(self.id))

    async def output(self, after: int = 0) -> bytes:
        """The bytes stored until now, both streams in the order in which they were written."""
        return await self._core.output(after)

    def output_pages(self, after: int = 0) -> AsyncIterator[OutputPage]:
        """The same, page by page, each piece with its stream."""
        return self._core.pages(after)
