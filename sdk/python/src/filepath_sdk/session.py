"""A handle on one session: a sandbox with a filesystem that stays from task to task."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Mapping
from types import TracebackType
from typing import TYPE_CHECKING, Self

from filepath_sdk import calls
from filepath_sdk.errors import CommandFailed, FilepathError, InvalidRequest
from filepath_sdk.models import OutputEvent, ProgressEvent, Result, SessionInfo, TaskEvent
from filepath_sdk.task import Task

if TYPE_CHECKING:
    from filepath_sdk.client import Filepath

OnText = Callable[[str], object]
OnProgress = Callable[[float | None, str | None], object]


class Session:
    """`info` is what was known when last asked; `refresh()` asks. As a context manager, closes at the end."""

    def __init__(self, fp: Filepath, info: SessionInfo) -> None:
        self._fp = fp
        self.info = info

    def __repr__(self) -> str:
        return f"Session({self.id!r}, status={self.status!r})"

    @property
    def id(self) -> str:
        return self.info.id

    @property
    def status(self) -> str:
        return self.info.status

    def refresh(self) -> SessionInfo:
        self.info = self._fp.send(calls.get_session(self.id))
        return self.info

    def start(
        self,
        cmd: str,
        *,
        timeout: int | None = None,
        env: Mapping[str, str] | None = None,
        cwd: str | None = None,
        stdin: str | bytes | None = None,
        metadata: Mapping[str, str] | None = None,
    ) -> Task:
        """Submit a command and return. `timeout` (seconds, 300 unless given) decides the credits held."""
        text = _text(stdin)
        # Listening comes first: a short command may be over before its id is known here.
        self._fp.feed.open()
        subscription = self._fp.feed.subscribe()
        queued = self._fp.send(calls.execute_task(self.id, cmd, timeout, env, cwd, text, metadata))
        subscription.narrow(queued.workflow_id)
        return Task(self._fp, queued.workflow_id, self.id, subscription)

    def run(  # noqa: PLR0913 -- by name only, and each is optional
        self,
        cmd: str,
        *,
        timeout: int | None = None,
        env: Mapping[str, str] | None = None,
        cwd: str | None = None,
        stdin: str | bytes | None = None,
        on_stdout: OnText | None = None,
        on_stderr: OnText | None = None,
        on_progress: OnProgress | None = None,
        check: bool = False,
    ) -> Result:
        """Run a command to its end. The callbacks get text as it is written, cut as it arrives, but never
        inside a character. A non-zero exit is a result, unless `check`: then it raises CommandFailed.
        An interrupt (Ctrl-C) cancels the command.
        """
        task = self.start(cmd, timeout=timeout, env=env, cwd=cwd, stdin=stdin)
        try:
            for event in task.events():
                task.observe(event)
                _call_back(event, on_stdout, on_stderr, on_progress)
        except KeyboardInterrupt:
            with contextlib.suppress(FilepathError):
                task.cancel()
            raise
        result = task.wait()
        if check and not result.ok:
            raise CommandFailed(result)
        return result

    def keep_alive(self) -> str | None:
        """Put off the idle timeout; when it is now."""
        return self._fp.send(calls.keep_alive(self.id))

    def close(self) -> None:
        """End the session and what still runs in it. Closing twice is fine."""
        self._fp.send(calls.close_session(self.id))

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        if error is None:
            self.close()
        else:  # what went wrong first is what the caller needs to see
            with contextlib.suppress(FilepathError):
                self.close()


def _text(stdin: str | bytes | None) -> str | None:
    try:
        return stdin.decode() if isinstance(stdin, bytes) else stdin
    except UnicodeDecodeError as error:
        raise InvalidRequest("stdin is no UTF-8 text; let the command fetch or make other bytes itself") from error


def _call_back(
    event: TaskEvent, on_stdout: OnText | None, on_stderr: OnText | None, on_progress: OnProgress | None
) -> None:
    if isinstance(event, OutputEvent):
        call = on_stdout if event.stream == "stdout" else on_stderr
        if call is not None and event.text:
            call(event.text)
    elif isinstance(event, ProgressEvent) and on_progress is not None:
        on_progress(event.percent, event.message)
