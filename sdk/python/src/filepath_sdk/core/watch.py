"""The watch that follows one task: the feed's events, and reads where they left a gap."""

from __future__ import annotations

import time

from filepath_sdk import calls
from filepath_sdk.core.deployment import Deployment
from filepath_sdk.core.feed import Event, Failed, Message, Missed, Subscription
from filepath_sdk.errors import FilepathError, WaitTimeout
from filepath_sdk.models import TaskEvent
from filepath_sdk.stream import TaskStream, Want

PATIENCE = 120.0
"""Seconds for which a watch goes on although every read fails: a deployment may be restarting."""


class WatchInterrupted(Exception):
    """`interrupt` was called. Nothing is lost: the watch goes on where it was."""


class TaskWatch:
    """The events of one task, in order, each once. After an interruption it goes on where it was."""

    def __init__(self, deployment: Deployment, workflow_id: str, subscription: Subscription, after: int = 0) -> None:
        self._deployment = deployment
        self._workflow_id = workflow_id
        self._subscription = subscription
        self._stream = TaskStream(time.monotonic(), after)
        self._events: list[TaskEvent] = []
        self._failing_since: float | None = None
        self._interrupted = False
        self._feed_is_open = True
        self._failure: FilepathError | None = None
        """Why there will be no more events. Said once by the feed, and to whoever asks from then on."""

    @classmethod
    def attach(cls, deployment: Deployment, workflow_id: str, after: int) -> TaskWatch:
        """Of a task that may have begun, or ended, before anyone listened."""
        watch = cls(deployment, workflow_id, deployment.feed.subscribe(workflow_id), after)
        watch._feed_is_open = False
        watch._stream.missed()
        return watch

    def interrupt(self) -> None:
        """For signal handlers: has `next_event` raise WatchInterrupted, once, where no event is half taken in. An
        exception that a handler raises by itself may strike between two steps, and what was on its way is gone.
        """
        self._interrupted = True
        self._subscription.wake()

    async def next_event(self, deadline: float | None = None) -> TaskEvent | None:
        """The next event, None after the last. Raises WaitTimeout when `deadline` (monotonic) comes first."""
        if not self._feed_is_open:
            await self._deployment.feed.open()
            self._feed_is_open = True
        while not self._events:
            if self._failure is not None:
                raise self._failure
            self._take_in(await self._subscription.get(0))
            # After the call that forgets a wake-up and before the one that waits for the next.
            if self._interrupted:
                self._interrupted = False
                raise WatchInterrupted
            self._events = self._stream.take()
            if self._events or self._stream.done:
                break
            await self._advance(deadline)
        return self._events.pop(0) if self._events else None

    async def _advance(self, deadline: float | None) -> None:
        now = time.monotonic()
        if deadline is not None and now >= deadline:
            raise WaitTimeout(f"task {self._workflow_id} is not over yet")
        if want := self._stream.wants(now):
            await self._read(want)
            return
        pause = self._stream.wait(now)
        if deadline is not None:
            pause = min(pause, deadline - now)
        self._take_in(await self._subscription.get(pause))

    def _take_in(self, messages: list[Message]) -> None:
        for message in messages:
            match message:
                case Event(params):
                    self._stream.receive(params, time.monotonic())
                case Missed():
                    self._stream.missed()
                case Failed(error):
                    self._failure = error
                    raise error

    async def _read(self, want: Want) -> None:
        try:
            if want == "status":
                status = await self._deployment.send(calls.get_task_status(self._workflow_id))
                self._stream.read_status(status, time.monotonic())
            else:
                call = calls.get_output(self._workflow_id, self._stream.position, calls.MAX_PAGE_BYTES)
                self._stream.read_output(await self._deployment.send(call), time.monotonic())
            self._failing_since = None
        except FilepathError as error:
            now = time.monotonic()
            self._failing_since = self._failing_since or now
            if not error.retryable or now - self._failing_since > PATIENCE:
                raise
            self._stream.read_failed(now)
