"""Writing to a task's standard input: kept first, then posted to its sandbox, which asks for what it missed."""

from __future__ import annotations

from filepath.aws import executions, sessions, sockets, stdin
from filepath.aws.stdin import Written
from filepath.errors import Conflict, TooLarge, Unavailable
from filepath.protocol import StdinPiece, notification
from filepath.stdin import LIMIT
from filepath.task import Task

_TRIES = 5


def write(task: Task, data: bytes, offset: int | None, now: int) -> int:
    """How long it is then. With an offset, what is there already is not written again, which is so too where the
    command has ended since. Raises Conflict, TooLarge."""
    _check_opened(task)
    for _ in range(_TRIES):
        before = stdin.get(task.workflow_id)
        if offset is not None and offset + len(data) <= before.length:
            return before.length
        _check_running(task)
        if offset not in {None, before.length}:
            raise Conflict(
                f"This task's stdin has {before.length} bytes. Write from there on.", details={"offset": before.length}
            )
        if before.closed:
            raise Conflict("This task's stdin was closed. Nothing more can be written to it.")
        if before.length + len(data) > LIMIT:
            raise TooLarge(f"More than {LIMIT} bytes would be written. Let the command fetch what it is to read.")
        if written := stdin.append(task.workflow_id, before.length, data, now):
            _post(task, StdinPiece(task.workflow_id, before.length, data, written.length, written.closed), now)
            return written.length
    raise Unavailable("Too many write to this task at once. Send the same request again in a moment.")


def close(task: Task, now: int) -> int:
    """A command often ends with its input: who asks again, since the answer was lost, is told what came of it."""
    _check_opened(task)
    if task.is_over and (known := stdin.get(task.workflow_id)).closed:
        return known.length
    _check_running(task)
    written = stdin.close(task.workflow_id, now)
    _post(task, StdinPiece(task.workflow_id, written.length, b"", written.length, closed=True), now)
    return written.length


def _check_opened(task: Task) -> None:
    if not task.stdin_open:
        raise Conflict("This task's stdin was not left open. Submit it with stdinOpen to write to it later.")


def _check_running(task: Task) -> None:
    if task.is_over:
        raise Conflict("This task is over. Nothing can be written to it any more.")


def _post(task: Task, piece: StdinPiece, now: int) -> None:
    session = sessions.get(task.session_id)
    if session is None:
        return
    if session.connection_id:
        sockets.post_to_agent(session.session_id, session.connection_id, notification("stdin", piece.params()))
    if sessions.active(session, now):
        executions.beat(session.wake_token)


def piece_at(task: Task, offset: int) -> StdinPiece | None:
    """What an agent that has `offset` bytes is to get next. None where no piece begins there."""
    written: Written = stdin.get(task.workflow_id)
    data = stdin.read(task.workflow_id, offset) if offset < written.length else b""
    return None if data is None else StdinPiece(task.workflow_id, offset, data, written.length, written.closed)
