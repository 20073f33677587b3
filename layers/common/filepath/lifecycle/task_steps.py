"""The steps of the task machine, run command → settle, and how a task is given to its sandbox."""

from __future__ import annotations

from collections.abc import Iterable

from filepath import clock, events
from filepath.aws import executions, objects, sessions, sockets, tasks
from filepath.errors import Unavailable
from filepath.log import logger
from filepath.protocol import Exec, Signal, notification
from filepath.session import Session
from filepath.task import Task, is_decidable, is_settled_by_facts, outcome

_SETTLE_TRIES = 5
"""Each time the log may have grown by a chunk that was just being stored."""


def run_command(workflow_id: str, token: str, entered: int) -> None:
    """Gives the command to the sandbox if one is connected, else leaves that to its hello; its exit wakes the state."""
    task = tasks.awaits(workflow_id, token, entered)
    if task is None:
        executions.wake(token)
        return
    session = sessions.get(task.session_id)
    if session is None or is_settled_by_facts(task, session):
        executions.wake(token)
    elif session.takes_tasks and session.connection_id:
        dispatch(task, session.connection_id)


def dispatch(task: Task, address: str) -> None:
    """Marks the task as given to its sandbox and sends it there. Sent twice, it is run once: the agent remembers."""
    given = tasks.dispatch(task.workflow_id)
    if given is None:
        wake([task.workflow_id])  # cancelled a moment ago
        return
    sockets.post_to_agent(given.session_id, address, notification("exec", _exec(given).params()))


def _exec(task: Task) -> Exec:
    if task.inputs_key:
        address = objects.address(task.inputs_key)
        return Exec(task.workflow_id, task.timeout_seconds, stdin_open=task.stdin_open, inputs_url=address)
    inputs = tasks.inputs(task)
    return Exec(
        task.workflow_id,
        task.timeout_seconds,
        command=inputs["command"],
        env=inputs.get("env") or {},
        cwd=inputs.get("cwd"),
        stdin=inputs.get("stdin"),
        stdin_encoding=inputs.get("stdinEncoding", "utf-8"),
        stdin_open=task.stdin_open,
    )


def cancel(workflow_id: str, signal: str) -> Task | None:
    """Writes that the task is to end, then tells whoever can end it: its sandbox, or its machine while no sandbox
    has it. None where it is over.
    """
    task = tasks.cancel(workflow_id, signal)
    if task is None:
        return None
    if not task.dispatched:
        executions.wake(task.wake_token)
        return task
    session = sessions.get(task.session_id)
    if session and session.connection_id:
        signalled = notification("signal", Signal(workflow_id, signal).params())
        sockets.post_to_agent(session.session_id, session.connection_id, signalled)
    return task


def wake(workflow_ids: Iterable[str]) -> None:
    for task in tasks.get_many(sorted(workflow_ids)):
        executions.wake(task.wake_token)


def settle(workflow_id: str) -> None:
    """Decides what became of the task, from the table, and ends it and its hold in one write. Once: whoever comes
    second finds it over.
    """
    for _ in range(_SETTLE_TRIES):
        task, log = tasks.with_log(workflow_id)
        if task is None or task.is_over:
            return
        # After the task: why a session ends is written before its sandbox is told to, and so before a report of that.
        session = sessions.get(task.session_id)
        if session is None:
            raise LookupError(f"{task.session_id} is not in the table")
        if _settled(task, session, log.stored):
            return
    raise Unavailable(f"{workflow_id} could not be settled: its records kept changing.")


def _settled(task: Task, session: Session, stored: int) -> bool:
    now = clock.now_ms()
    if not is_decidable(task, session, now):
        logger.warning("a task's machine ended before the task; reconcile will settle it")
        return True
    became = outcome(task, session)
    over = tasks.settle(task, session, became, stored, now)
    if over is None:
        return False
    logger.info("task settled", extra={"status": over.status, "reason": over.reason, "charged": over.charged})
    sockets.tell(over.user_id, over.session_id, over.workflow_id, [events.task_changed(over, now)])
    return True
