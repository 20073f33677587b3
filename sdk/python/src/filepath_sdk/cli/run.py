"""`filepath run`: a command in a sandbox, as if it ran here.

It exits as the command did (128+n for a signal), with 124 where the command ran into its timeout, and with 1 where
it never came to run or was lost.
"""

from __future__ import annotations

import contextlib
import os
import shlex
import signal
import sys
import time
from collections.abc import Iterator
from typing import TYPE_CHECKING, Annotated, Any

import typer

from filepath_sdk.cli.app import AsJson, Pairs, Url, app, environment
from filepath_sdk.cli.deployment import connect
from filepath_sdk.cli.interrupts import GentleInterrupts, Interrupted
from filepath_sdk.cli.printing import print_json
from filepath_sdk.errors import FilepathError

if TYPE_CHECKING:
    from filepath_sdk.client import Filepath
    from filepath_sdk.models import Result, TaskEvent
    from filepath_sdk.session import Session
    from filepath_sdk.task import Task, Watch

TIMED_OUT = 124
"""As `timeout(1)` exits."""
CANCEL_PATIENCE = 30.0
"""Seconds in which a cancelled command is expected to be over: a grace, a kill, and a report."""


@app.command(context_settings={"ignore_unknown_options": False, "allow_interspersed_args": False})
def run(
    command: Annotated[list[str], typer.Argument(metavar="-- CMD...", help="One word is shell text as it is.")],
    session: Annotated[
        str | None, typer.Option("--session", "-s", metavar="SESSION", help="Else one is opened, and closed.")
    ] = None,
    timeout: Annotated[int | None, typer.Option(metavar="SECONDS", help="It decides the credits held.")] = None,
    env: Pairs = None,
    cwd: Annotated[str | None, typer.Option(metavar="DIR", help="/workspace unless given.")] = None,
    stdin: Annotated[bool, typer.Option("--stdin", "-i", help="Send the standard input.")] = False,
    url: Url = None,
    as_json: AsJson = False,
) -> None:
    """Run a command, show its output as it is written, exit as it does. Ctrl-C cancels it."""
    cmd = command[0] if len(command) == 1 else shlex.join(command)
    text = sys.stdin.buffer.read() if stdin else None
    with connect(url) as fp, _session(fp, session) as opened:
        task = opened.start(cmd, timeout=timeout, env=environment(env), cwd=cwd, stdin=text)
        result = _follow(task, shown=not as_json)
    if as_json:
        print_json(_result_json(result))
    raise typer.Exit(_exit_code(result, quiet=as_json))


@contextlib.contextmanager
def _session(fp: Filepath, session_id: str | None) -> Iterator[Session]:
    if session_id is not None:
        yield fp.sessions.handle(session_id)
        return
    with fp.sessions.create("filepath run") as session:
        yield session


def _follow(task: Task, *, shown: bool) -> Result:
    """To the end of the task. Interrupted, or with nobody reading, it is cancelled."""
    from filepath_sdk.core.watch import WatchInterrupted

    watch = task.events()
    interrupts = GentleInterrupts(watch)
    try:
        with interrupts:
            for event in watch:
                _take(task, event, shown=shown)
    except BrokenPipeError as gone:
        # Python would complain about the same again while it exits.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        _cancel(task, watch, shown=False)
        raise Interrupted(signal.SIGPIPE) from gone
    except (WatchInterrupted, Interrupted) as interruption:
        _say_what_became_of(task, _cancel(task, watch, shown=shown))
        raise Interrupted(interrupts.number or signal.SIGINT) from interruption
    return task.wait()


def _cancel(task: Task, watch: Watch, *, shown: bool) -> FilepathError | None:
    """Cancel the task and see it end: what it says while it ends is still shown. What kept it from that is returned."""
    deadline = time.monotonic() + CANCEL_PATIENCE
    try:
        task.cancel()
        while (event := watch.next_event(deadline)) is not None:
            with contextlib.suppress(BrokenPipeError):
                _take(task, event, shown=shown)
    except FilepathError as error:
        return error
    return None


def _say_what_became_of(task: Task, error: FilepathError | None) -> None:
    if error is None:
        print(f"filepath: cancelled, {task.id}", file=sys.stderr)
    else:
        print(f"filepath: {task.id} may still run: {error}", file=sys.stderr)


def _take(task: Task, event: TaskEvent, *, shown: bool) -> None:
    from filepath_sdk.models import OutputEvent

    if not shown and isinstance(event, OutputEvent):
        task.observe(event)
    elif isinstance(event, OutputEvent):
        out = sys.stdout if event.stream == "stdout" else sys.stderr
        out.buffer.write(event.data)
        out.buffer.flush()
    else:
        task.observe(event)


def _result_json(result: Result) -> dict[str, Any]:
    return {
        "workflowId": result.workflow_id,
        "sessionId": result.session_id,
        "status": result.status,
        "exitCode": result.exit_code,
        "signal": result.signal,
        "reason": result.reason,
        "message": result.message,
        "creditsCharged": result.credits_charged,
        "outputBytes": result.output_bytes,
        "stdout": result.stdout,
        "stderr": result.stderr,
    }


def _exit_code(result: Result, *, quiet: bool) -> int:
    if result.status != "completed" and not quiet:
        output = f"; {result.workflow_id} has its output" if result.output_bytes else f" ({result.workflow_id})"
        print(f"filepath: the command {result.outcome}{output}", file=sys.stderr)
    if result.status == "timed_out":
        return TIMED_OUT
    if result.signal is not None:
        return 128 + _signal_number(result.signal)
    if result.status == "completed":
        return 1 if result.exit_code is None else result.exit_code
    return result.exit_code or 1


def _signal_number(name: str) -> int:
    try:
        return signal.Signals[f"SIG{name.removeprefix('SIG')}"].value
    except KeyError:
        return 0
