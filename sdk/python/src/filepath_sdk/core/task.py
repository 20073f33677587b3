"""A submitted command as both clients hold it: submitting, following and waiting, and what its events come to."""

from __future__ import annotations

import contextlib
import inspect
import time
from collections.abc import AsyncIterator, Callable, Mapping
from dataclasses import dataclass

from filepath_sdk import calls
from filepath_sdk.core.deployment import Deployment
from filepath_sdk.core.feed import Subscription
from filepath_sdk.core.watch import TaskWatch
from filepath_sdk.errors import CommandFailed, InvalidRequest
from filepath_sdk.models import OutputEvent, OutputPage, ProgressEvent, Result, StatusEvent, TaskEvent

OnText = Callable[[str], object]
_WRITE_BYTES = 64 * 1024
"""The most that one request takes."""
OnProgress = Callable[[float | None, str | None], object]


@dataclass(frozen=True)
class Callbacks:
    """What a caller wants to be told of while a command runs. Each may be a coroutine function."""

    on_stdout: OnText | None = None
    on_stderr: OnText | None = None
    on_progress: OnProgress | None = None

    async def tell(self, event: TaskEvent) -> None:
        answer = self._call(event)
        if inspect.isawaitable(answer):
            await answer

    def _call(self, event: TaskEvent) -> object:
        if isinstance(event, ProgressEvent) and self.on_progress is not None:
            return self.on_progress(event.percent, event.message)
        if isinstance(event, OutputEvent) and event.text:
            call = self.on_stdout if event.stream == "stdout" else self.on_stderr
            return None if call is None else call(event.text)
        return None


class Story:
    """What the events of a task come to."""

    def __init__(self) -> None:
        self.result: Result | None = None
        self._output: dict[str, bytearray] = {"stdout": bytearray(), "stderr": bytearray()}

    def observe(self, event: TaskEvent) -> None:
        if isinstance(event, OutputEvent):
            self._output[event.stream] += event.data
        elif isinstance(event, StatusEvent) and event.status.over:
            stdout, stderr = bytes(self._output["stdout"]), bytes(self._output["stderr"])
            self.result = Result.of(event.status, stdout, stderr)


class TaskCore:
    def __init__(
        self,
        deployment: Deployment,
        workflow_id: str,
        session_id: str | None = None,
        subscription: Subscription | None = None,
    ) -> None:
        self.deployment = deployment
        self.workflow_id = workflow_id
        self.session_id = session_id
        self._subscriptions = [] if subscription is None else [subscription]
        """For the first who watches from the beginning; lists are safe to take from where several threads do."""
        self._story = Story()
        self._given_up: list[tuple[TaskWatch, Story]] = []
        """Of waits that were over before the task was."""
        self._written: int | None = None
        """Bytes of stdin; None where others may write too."""

    def watch(self, after: int = 0) -> TaskWatch:
        with contextlib.suppress(IndexError):
            subscription = self._subscriptions.pop()
            if after == 0:
                return TaskWatch(self.deployment, self.workflow_id, subscription)
        return TaskWatch.attach(self.deployment, self.workflow_id, after)

    async def wait(self, timeout: float | None = None) -> Result:
        """Each that waits at one time has a watch of its own: an event that one took would be missing to the other."""
        deadline = None if timeout is None else time.monotonic() + timeout
        if self._story.result is not None:
            return self._story.result
        watch, story = self._begin_or_go_on()
        try:
            while story.result is None:
                event = await watch.next_event(deadline)
                if event is None:
                    raise RuntimeError("the events ended without a terminal status")
                story.observe(event)
        except BaseException:
            self._given_up.append((watch, story))
            raise
        self._story = story
        return story.result

    def _begin_or_go_on(self) -> tuple[TaskWatch, Story]:
        with contextlib.suppress(IndexError):
            return self._given_up.pop()
        return self.watch(), Story()

    def observe(self, event: TaskEvent) -> None:
        self._story.observe(event)

    async def run(self, callbacks: Callbacks, *, check: bool) -> Result:
        """To its end. It is the caller's alone: when that is interrupted, or a callback raises, the command is
        cancelled, for nobody would have a handle on it."""
        try:
            watch = self.watch()
            while (event := await watch.next_event()) is not None:
                self.observe(event)
                await self._tell(callbacks, event)
        except self.deployment.backend.interruptions:
            await self._leave()
            raise
        result = await self.wait()
        if check and not result.ok:
            raise CommandFailed(result)
        return result

    async def _tell(self, callbacks: Callbacks, event: TaskEvent) -> None:
        try:
            await callbacks.tell(event)
        except Exception:
            await self._leave()
            raise

    async def _leave(self) -> None:
        cancel = calls.cancel_task(self.workflow_id, None)
        await self.deployment.backend.part(self.deployment.send(cancel))

    def opens_stdin(self) -> None:
        """It is this one's to write to, from the beginning."""
        self._written = 0

    async def write(self, data: str | bytes) -> None:
        whole = data.encode() if isinstance(data, str) else data
        for start in range(0, len(whole), _WRITE_BYTES):
            part = calls.write_stdin(self.workflow_id, whole[start : start + _WRITE_BYTES], self._written)
            length = await self.deployment.send(part)
            self._written = None if self._written is None else length

    async def pages(self, after: int) -> AsyncIterator[OutputPage]:
        """Not for ever: how much there is now is asked for once, since what goes on writing adds to it meanwhile."""
        stored: int | None = None
        while True:
            page = await self.deployment.send(calls.get_output(self.workflow_id, after, calls.MAX_PAGE_BYTES))
            yield page
            if page.complete or page.next_offset <= after:
                return
            after = page.next_offset
            if stored is None:
                stored = (await self.deployment.send(calls.get_task_status(self.workflow_id))).output_bytes
            if stored is not None and after >= stored:
                return

    async def output(self, after: int) -> bytes:
        return b"".join([piece.data async for page in self.pages(after) for piece in page.pieces])


async def submit(  # noqa: PLR0913 -- each is a part of one request
    deployment: Deployment,
    session_id: str,
    cmd: str,
    timeout: int | None,
    env: Mapping[str, str] | None,
    cwd: str | None,
    stdin: str | bytes | None,
    metadata: Mapping[str, str] | None = None,
    *,
    stdin_open: bool = False,
) -> TaskCore:
    execute = calls.execute_task(session_id, cmd, timeout, env, cwd, _text(stdin), metadata, stdin_open=stdin_open)
    # Listening comes first: a short command may be over before its id is known here.
    await deployment.feed.open()
    subscription = deployment.feed.subscribe()
    queued = await deployment.send(execute, undo=lambda made: calls.cancel_task(made.workflow_id, None))
    subscription.narrow(queued.workflow_id)
    core = TaskCore(deployment, queued.workflow_id, session_id, subscription)
    if stdin_open:
        core.opens_stdin()
    return core


def _text(stdin: str | bytes | None) -> str | None:
    try:
        return stdin.decode() if isinstance(stdin, bytes) else stdin
    except UnicodeDecodeError as error:
        raise InvalidRequest("stdin is no UTF-8 text; let the command fetch or make other bytes itself") from error


class TaskHandle:
    """What a handle on a task says without asking."""

    def __init__(self, core: TaskCore) -> None:
        self._core = core

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self.id!r})"

    @property
    def id(self) -> str:
        return self._core.workflow_id

    @property
    def workflow_id(self) -> str:
        return self._core.workflow_id

    @property
    def session_id(self) -> str | None:
        """None where the handle was made with `tasks.attach`."""
        return self._core.session_id

    def observe(self, event: TaskEvent) -> None:
        """Count an event towards the result. `wait` does it with what it sees."""
        self._core.observe(event)
