"""A handle on one session: a sandbox with a filesystem that stays from task to task."""

from __future__ import annotations

from collections.abc import Mapping
from types import TracebackType
from typing import Self

from filepath_sdk import calls
from filepath_sdk.blocking import complete
from filepath_sdk.core.session import SessionHandle
from filepath_sdk.core.task import Callbacks, OnProgress, OnText, submit
from filepath_sdk.models import Result, SessionInfo
from filepath_sdk.task import Task


class Session(SessionHandle):
    """`info` is what was known when last asked; `refresh()` asks. As a context manager, closes at the end."""

    def refresh(self) -> SessionInfo:
        """Ask how the session stands."""
        self.info = complete(self._deployment.send(calls.get_session(self.id)))
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
        stdin_open: bool = False,
    ) -> Task:
        """Submit a command and return. `timeout` (seconds, 300 unless given) decides the credits held.
        `stdin_open`: write to it later, with the task's `write` and `close_stdin`.
        """
        submitting = submit(self._deployment, self.id, cmd, timeout, env, cwd, stdin, metadata, stdin_open=stdin_open)
        return Task(complete(submitting))

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
        An interrupt (Ctrl-C) cancels the command, and so does a callback that raises.
        """
        task = complete(submit(self._deployment, self.id, cmd, timeout, env, cwd, stdin))
        return complete(task.run(Callbacks(on_stdout, on_stderr, on_progress), check=check))

    def keep_alive(self) -> str | None:
        """Put off the idle timeout; when it is now."""
        return complete(self._deployment.send(calls.keep_alive(self.id)))

    def close(self) -> None:
        """End the session and what still runs in it. Closing twice is fine."""
        complete(self._deployment.send(calls.close_session(self.id)))

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        complete(self._leave(error))
