"""A handle on one task, and the watch that follows it: the feed's events, and reads where they left a gap."""

from __future__ import annotations

import time
from collections.abc import Iterator
from typing import TYPE_CHECKING

from filepath_sdk import calls
from filepath_sdk.errors import FilepathError, WaitTimeout
from filepath_sdk.feed import Event, Failed, Message, Missed, Subscription
from filepath_sdk.models import OutputEvent, OutputPage, Result, StatusEvent, TaskEvent, TaskStatus
from filepath_sdk.stream import TaskStream

if TYPE_CHECKING:
    from filepath_sdk.client import Filepath

PATIENCE = 120.0
"""Seconds for which a watch goes on although every read fails: a deployment may be restarting."""


class WatchInterrupted(Exception):
    """`Watch.interrupt` was called. Nothing is lost: the watch goes on where it was."""


class Watch(Iterator[TaskEvent]):
    """The events of one task, in order, each once. After an interrupt it can be iterated on."""

    def __init__(self, fp: Filepath, workflow_id: str, subscription: Subscription, after: int = 0) -> None:
        self._fp = fp
        self._workflow_id = workflow_id
        self._subscription = subscription
        self._stream = TaskStream(time.monotonic(), after)
        self._events: list[TaskEvent] = []
        self._failing_since: float | None = None
        self._interrupted = False

    @classmethod
    def attach(cls, fp: Filepath, workflow_id: str, after: int) -> Watch:
        """Of a task that may have begun, or ended, before anyone listened."""
        fp.feed.open()
        watch = cls(fp, workflow_id, fp.feed.subscribe(workflow_id), after)
        watch._stream.missed()
        return watch

    def interrupt(self) -> None:
        """For signal handlers: has `next_event` raise WatchInterrupted, once, where no event is half taken in. An
        exception that a handler raises by itself may strike between two steps, and what was on its way is gone.
        """
        self._interrupted = True
        self._subscription.wake()

    def __next__(self) -> TaskEvent:
        event = self.next_event(None)
        if event is None:
            raise StopIteration
        return event

    def next_event(self, deadline: float | None) -> TaskEvent | None:
        """The next event, None after the last. Raises WaitTimeout when `deadline` (monotonic) comes first."""
        while not self._events:
            if self._interrupted:
                self._interrupted = False
                raise WatchInterrupted
            self._take_in(self._subscription.get(0))
            self._events = self._stream.take()
            if self._events or self._stream.done:
                break
            self._advance(deadline)
        return self._events.pop(0) if self._events else None

    def _advance(self, deadline: float | None) -> None:
        now = time.monotonic()
        if deadline is not None and now >= deadline:
            raise WaitTimeout(f"task {self._workflow_id} is not over yet")
        if want := self._stream.wants(now):
            self._read(want)
            return
        pause = self._stream.wait(now)
        if deadline is not None:
            pause = min(pause, deadline - now)
        self._take_in(self._subscription.get(pause))

    def _take_in(self, messages: list[Message]) -> None:
        for message in messages:
            match message:
                case Event(params):
                    self._stream.receive(params, time.monotonic())
                case Missed():
                    self._stream.missed()
                case Failed(error):
                    raise error

    def _read(self, want: str) -> None:
        try:
            if want == "status":
                status = self._fp.send(calls.get_task_status(self._workflow_id))
                self._stream.read_status(status, time.monotonic())
            else:
                page = self._fp.send(calls.get_output(self._workflow_id, self._stream.position, calls.MAX_PAGE_BYTES))
                self._stream.read_output(page, time.monotonic())
            self._failing_since = None
        except FilepathError as error:
            now = time.monotonic()
            self._failing_since = self._failing_since or now
            if not error.retryable or now - self._failing_since > PATIENCE:
                raise
            self._stream.read_failed(now)


class Task:
    """A submitted command. It runs whether or not anyone watches it."""

    def __init__(
        self, fp: Filepath, workflow_id: str, session_id: str | None, subscription: Subscription | None = None
    ) -> None:
        self._fp = fp
        self.id = workflow_id
        self.session_id = session_id
        self._subscription = subscription
        self._waited: Watch | None = None
        self._output: dict[str, bytearray] = {"stdout": bytearray(), "stderr": bytearray()}
        self._result: Result | None = None

    def __repr__(self) -> str:
        return f"Task({self.id!r})"

    @property
    def workflow_id(self) -> str:
        return self.id

    def events(self, after: int = 0) -> Iterator[TaskEvent]:
        """What the task does, as it does it, until it is over; output from byte `after` on. The last is a
        StatusEvent with the terminal status, after all output.
        """
        return self.watch(after)

    def watch(self, after: int = 0) -> Watch:
        subscription, self._subscription = self._subscription, None
        if subscription is not None and after == 0:
            return Watch(self._fp, self.id, subscription)
        return Watch.attach(self._fp, self.id, after)

    def wait(self, timeout: float | None = None) -> Result:
        """The result, once the task is over and every byte of its output is here. Raises WaitTimeout after
        `timeout` seconds; the task runs on, and a later wait goes on from there.
        """
        deadline = None if timeout is None else time.monotonic() + timeout
        while self._result is None:
            if self._waited is None:
                self._waited = self.watch()
            event = self._waited.next_event(deadline)
            if event is None:
                raise RuntimeError("the events ended without a terminal status")
            self.observe(event)
        return self._result

    def observe(self, event: TaskEvent) -> None:
        """Count an event towards the result. `wait` does it with what it sees."""
        if isinstance(event, OutputEvent):
            self._output[event.stream] += event.data
        elif isinstance(event, StatusEvent) and event.status.over:
            stdout, stderr = bytes(self._output["stdout"]), bytes(self._output["stderr"])
            self._result = Result.of(event.status, stdout, stderr)

    def status(self) -> TaskStatus:
        return self._fp.send(calls.get_task_status(self.id))

    def cancel(self, signal: str | None = None) -> None:
        """Ask for the task's end: `signal` (TERM unless given), a grace, then KILL. Does not wait for it."""
        self._fp.send(calls.cancel_task(self.id, signal))

    def output(self, after: int = 0) -> bytes:
        """The bytes stored until now, both streams in the order in which they were written."""
        return b"".join(piece.data for page in self.output_pages(after) for piece in page.pieces)

    def output_pages(self, after: int = 0) -> Iterator[OutputPage]:
        """The same, page by page, each piece with its stream."""
        while True:
            page = self._fp.send(calls.get_output(self.id, after, calls.MAX_PAGE_BYTES))
            yield page
            if page.complete or page.next_offset <= after:
                return
            after = page.next_offset
