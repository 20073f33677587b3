"""What an agent's messages cause. Each answer tells the agent to stop a task that is over, or not its own.

A task's id contains its session's, so a message about another session's task is seen without a read. Nothing here
imports pydantic or FastAPI: the agents function must start fast and stay small.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from filepath import clock, events, ids
from filepath.aws import credits, executions, logs, sessions, sockets, stdin, tasks
from filepath.aws.connections import AgentConnection
from filepath.background import Report, after
from filepath.errors import SessionClosed, Unavailable
from filepath.lifecycle import task_stdin, task_steps
from filepath.output import until
from filepath.protocol import (
    INVALID_PARAMS,
    METHOD_NOT_FOUND,
    Chunk,
    End,
    Params,
    ProtocolError,
    chunk_of,
    notification,
)
from filepath.session import Session, WaitState
from filepath.settings import settings
from filepath.task import GRACE_SECONDS, Task

HEARTBEAT_SECONDS = 30
_MESSAGE_CHARS = 1000
_TRIES = 5
"""Each time credits or the session may have changed between what was read and the write."""

_STOP: Params = {"stop": True}


def handle(connection: AgentConnection, method: str, params: Params) -> Params:
    """The result to answer with. Raises ProtocolError for a message that is none, SessionClosed once the session's
    sandbox was declared gone.
    """
    try:
        handler = _HANDLERS[method]
    except KeyError:
        raise ProtocolError(f"agents have no message {method!r}", METHOD_NOT_FOUND) from None
    return handler(connection, params)


def hello(connection: AgentConnection, params: Params) -> Params:
    """The agent is there, now on this connection: it gets all that is open and that it does not know."""
    now, known = clock.now_ms(), _known(params)
    before = sessions.get(connection.session_id)
    session = sessions.connected(connection.session_id, connection.instance, connection.address, now)
    if before is None or session is None:
        raise SessionClosed("This session has ended. End the sandbox.")
    if before.connection_id not in {None, connection.address}:
        sockets.post_to_agent(session.session_id, str(before.connection_id), notification("superseded", {}))
    became_ready = sessions.ready(connection.session_id, now)
    if became_ready or session.wake_state is WaitState.LAUNCH:  # also where the first hello's wake-up was lost
        executions.wake((became_ready or session).wake_token)
    if became_ready:
        _tell_session(connection.session_id)
    tasks_open = _brought_up_to_date(session, known)
    return {
        "sessionId": session.session_id,
        "env": sessions.environment(session.session_id),
        "heartbeatSeconds": HEARTBEAT_SECONDS,
        "graceSeconds": GRACE_SECONDS,
        "backgroundSeconds": session.background_seconds,
        "outputLimitBytes": settings().output_limit_bytes,
        "stop": sorted(known - session.open_tasks),
        "tasks": _signals(tasks_open),
        "stdin": _stdin(tasks_open),
    }


def heartbeat(connection: AgentConnection, params: Params) -> Params:
    now, known = clock.now_ms(), _known(params)
    session = sessions.heard(connection.session_id, connection.address, now)
    if session is None:
        raise SessionClosed("This session has ended. End the sandbox.")
    if session.open_tasks and sessions.active(session, now):
        executions.beat(session.wake_token)
    tasks_open = _brought_up_to_date(session, known)
    stop = sorted(known - session.open_tasks)
    return {"stop": stop, "signals": _signals(tasks_open), "stdin": _stdin(tasks_open)}


def _brought_up_to_date(session: Session, known: set[str]) -> list[Task]:
    """Sends the agent every open task it does not know, and returns all."""
    found = tasks.get_many(sorted(session.open_tasks))
    for task in found:
        unknown = task.workflow_id not in known and not task.exited
        if unknown and session.takes_tasks and session.connection_id:
            task_steps.dispatch(task, session.connection_id)
    return found


def _signals(found: list[Task]) -> list[Params]:
    """That are asked for, of tasks that the agent was given."""
    return [
        {"workflowId": task.workflow_id, "signal": task.cancel_signal}
        for task in found
        if task.cancel_signal and task.dispatched
    ]


def _stdin(found: list[Task]) -> list[Params]:
    """How much was written to each command that can be written to: what was posted may be lost."""
    waiting = {task.workflow_id: stdin.get(task.workflow_id) for task in found if task.stdin_open}
    return [
        {"workflowId": workflow_id, "length": written.length, "closed": written.closed}
        for workflow_id, written in waiting.items()
    ]


def started(connection: AgentConnection, params: Params) -> Params:
    workflow_id, now = _workflow(connection, params), clock.now_ms()
    return _told(tasks.started(workflow_id, now) if workflow_id else None, now)


def ended(connection: AgentConnection, params: Params) -> Params:
    """Nothing is told to clients yet: what they wait for is the end with all its output."""
    workflow_id, end, now = _workflow(connection, params), End.of(params.get("end")), clock.now_ms()
    sessions.heard(connection.session_id, connection.address, now)
    task = tasks.ended(workflow_id, end, now) if workflow_id else None
    return _STOP if task is None else {"stop": False}


def progress(connection: AgentConnection, params: Params) -> Params:
    workflow_id, now = _workflow(connection, params), clock.now_ms()
    percent, message = params.get("percent"), params.get("message")
    if isinstance(percent, bool) or not isinstance(percent, int) or not 0 <= percent <= 100:
        raise ProtocolError("percent must be a whole number from 0 to 100", INVALID_PARAMS)
    said = str(message)[:_MESSAGE_CHARS] if message is not None else None
    return _told(tasks.progressed(workflow_id, percent, said) if workflow_id else None, now)


def _told(task: Task | None, now: int) -> Params:
    """The answer about a task that changed, once its clients know; one that is over is to be stopped."""
    if task is None:
        return _STOP
    sockets.tell(task.user_id, task.session_id, task.workflow_id, [events.task_changed(task, now)])
    return {"stop": False}


def output(connection: AgentConnection, params: Params) -> Params:
    """Stored first, then sent to clients. The answer is the log's own length: the agent goes on from there."""
    workflow_id, now = _workflow(connection, params), clock.now_ms()
    if workflow_id is None:
        return {**_STOP, "stored": 0, "watched": False}
    sent = chunk_of(params)
    chunk = until(sent, settings().output_limit_bytes)
    log = logs.append(workflow_id, chunk, now) if chunk.data else logs.get(workflow_id)
    watched = False
    if log.stored >= chunk.end and chunk.data and not log.sealed:
        told = events.output((workflow_id, connection.session_id), chunk, now)
        watched = sockets.tell(connection.user_id, connection.session_id, workflow_id, told)
    return {"stored": log.stored, "stop": log.sealed or _overran(workflow_id, sent, chunk), "watched": watched}


def _overran(workflow_id: str, sent: Chunk, kept: Chunk) -> bool:
    """Whether more was sent than is kept of a task. Agents keep the limit that hello told them: one that does not, or
    was told another, reports this task no more, and so it is settled without its word."""
    if kept == sent:
        return False
    task = tasks.overran(workflow_id)
    executions.wake(task.wake_token if task else None)
    return True


def exit_(connection: AgentConnection, params: Params) -> Params:
    """Taken only when every byte is stored; then the task's machine goes on to settle."""
    workflow_id, end, total = (
        _workflow(connection, params),
        End.of(params.get("end")),
        params.get("outputBytes"),
    )
    if workflow_id is None:
        return {**_STOP, "stored": 0, "accepted": True}
    log = logs.get(workflow_id)
    if log.stored != total and not log.sealed:
        return {"stored": log.stored, "stop": False, "accepted": False}
    task = tasks.exited(workflow_id, end, clock.now_ms())
    if task is not None:
        executions.wake(task.wake_token)
    return {**_STOP, "stored": log.stored, "accepted": True}


def read_stdin(connection: AgentConnection, params: Params) -> Params:
    """What was written to a command's standard input from the offset on that its agent has."""
    workflow_id, offset = _workflow(connection, params), params.get("offset")
    if isinstance(offset, bool) or not isinstance(offset, int) or offset < 0:
        raise ProtocolError("offset must be a count", INVALID_PARAMS)
    task = tasks.get(workflow_id) if workflow_id else None
    if task is None or task.is_over:
        return _STOP
    piece = task_stdin.piece_at(task, offset)
    if piece is None:
        raise ProtocolError("nothing that was written begins at this offset", INVALID_PARAMS)
    return {"stop": False, **piece.params()}


def background(connection: AgentConnection, params: Params) -> Params:
    """What finished tasks left running is kept and charged; the answer says whether it is to end. No activity."""
    report = Report.of(params)
    for _ in range(_TRIES):
        session = sessions.get(connection.session_id)
        if session is None or session.gone is not None:
            raise SessionClosed("This session has ended. End the sandbox.")
        known = session.background
        if report.number > known.report and session.takes_tasks:
            now, available = clock.now_ms(), credits.account(session.user_id).available
            known = after(known, report, available, session.background_seconds, now)
            if not sessions.left_running(session, known, now):
                continue
            _tell_session(session.session_id)
        return {"stop": known.must_stop, "reason": known.stopped}
    raise Unavailable("Too many changes to this account at once. Send the same message again in a moment.")


_HANDLERS: Mapping[str, Callable[[AgentConnection, Params], Params]] = {
    "hello": hello,
    "heartbeat": heartbeat,
    "started": started,
    "output": output,
    "ended": ended,
    "exit": exit_,
    "progress": progress,
    "background": background,
    "readStdin": read_stdin,
}


def _workflow(connection: AgentConnection, params: Mapping[str, Any]) -> str | None:
    """The task the message is about; None where it is not one of this agent's session."""
    workflow_id = params.get("workflowId")
    if not isinstance(workflow_id, str) or not ids.WORKFLOW_ID.fullmatch(workflow_id):
        raise ProtocolError("workflowId is missing or none", INVALID_PARAMS)
    mine = ids.is_task(workflow_id) and ids.session_of(workflow_id) == connection.session_id
    return workflow_id if mine else None


def _known(params: Mapping[str, Any]) -> set[str]:
    known = params.get("tasks", [])
    if not isinstance(known, list) or not all(isinstance(workflow_id, str) for workflow_id in known):
        raise ProtocolError("tasks must be a list of workflow ids", INVALID_PARAMS)
    return set(known)


def _tell_session(session_id: str) -> None:
    session = sessions.get(session_id)
    if session is not None:
        event = events.session_changed(session, clock.now_ms())
        sockets.tell(session.user_id, session_id, ids.session_workflow_id(session_id), [event])
