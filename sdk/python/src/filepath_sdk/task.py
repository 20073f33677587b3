"""A handle on one task, and its events as an iterator."""

from __future__ import annotations

from collections.abc import Iterator

from filepath_sdk import calls
from filepath_sdk.blocking import complete, each
from filepath_sdk.core.task import TaskHandle
from filepath_sdk.core.watch import TaskWatch
from filepath_sdk.models import OutputPage, Result, TaskEvent, TaskStatus


class Watch(Iterator[TaskEvent]):
    """The events of one task, in order, each once. After an interrupt it can be iterated on."""

    def __init__(self, core: TaskWatch) -> None:
        self._core = core

    def interrupt(self) -> None:
        """For signal handlers: has `next_event` raise WatchInterrupted, once, where no event is half taken in. An
        exception that a handler raises by itself may strike between two steps, and what was on its way is gone.
        """
        self._core.interrupt()

    def __next__(self) -> TaskEvent:
        event = self.next_event()
        if event is None:
            raise StopIteration
        return event

    def next_event(self, deadline: float | None = None) -> TaskEvent | None:
        """The next event, None after the last. Raises WaitTimeout when `deadline` (monotonic) comes first."""
        return complete(self._core.next_event(deadline))


class Task(TaskHandle):
    """A submitted command. It runs whether or not anyone watches it."""

    def events(self, after: int = 0) -> Watch:
        """What the task does, as it does it, until it is over; output from byte `after` on. The last is a
        StatusEvent with the terminal status, after all output.
        """
        return Watch(self._core.watch(after))

    def wait(self, timeout: float | None = None) -> Result:
        """The result, once the task is over and every byte of its output is here. Raises WaitTimeout after
        `timeout` seconds; the task runs on, and a later wait goes on from there.
        """
        return complete(self._core.wait(timeout))

    def status(self) -> TaskStatus:
        """How the task stands."""
        return complete(self._core.deployment.send(calls.get_task_status(self.id)))

    def cancel(self, signal: str | None = None) -> None:
        """Ask for the task's end: `signal` (TERM unless given), a grace, then KILL. Does not wait for it."""
        complete(self._core.deployment.send(calls.cancel_task(self.id, signal)))

    def write(self, data: str | bytes) -> None:
        """Write to the stdin of a task that was started with `stdin_open`. The command reads it when it wants to."""
        complete(self._core.write(data))

    def close_stdin(self) -> None:
        """End its stdin: the command reads what was written, and then the end. Closing twice is fine."""
        complete(self._core.deployment.send(calls.close_stdin(self.id)))

    def output(self, after: int = 0) -> bytes:
        """The bytes stored until now, both streams in the order in which they were written."""
        return complete(self._core.output(after))

    def output_pages(self, after: int = 0) -> Iterator[OutputPage]:
        """The same, page by page, each piece with its stream."""
        return each(self._core.pages(after))
