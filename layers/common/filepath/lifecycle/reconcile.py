"""Every minute: what fell between. A machine that was aborted, an event that never came, a start that was lost.

Nothing here is needed while all goes well, and everything here is safe to do twice: each act rests on a condition in
the table. Time limits are those of the ordinary path with a minute or two on top, so that it goes first.
"""

from __future__ import annotations

from filepath import clock
from filepath.aws import executions, fargate, sessions, tasks
from filepath.lifecycle import session_steps, task_steps
from filepath.log import logger
from filepath.session import Reason, Session, SessionStatus, alarm, closing_reason, overdue, silent
from filepath.settings import settings
from filepath.task import Task, backstop_seconds, is_settled_by_facts

_UNSTARTED_MS = 60_000
_CLOSING_MS = 120_000


def reconcile() -> int:
    """Looks at every session that is not over; returns how many there are."""
    count = 0
    for session in sessions.live():
        count += 1
        with logger.append_context_keys(session_id=session.session_id):
            try:
                _reconcile_session(session, clock.now_ms())
            except Exception:  # noqa: BLE001 - the sessions behind it must not wait for it
                logger.exception("a session could not be reconciled")
    return count


def _reconcile_session(session: Session, now: int) -> None:
    for task in tasks.get_many(sorted(session.open_tasks)):
        _reconcile_task(task, session, now)
    if session.status is SessionStatus.CLOSING:
        if session.closing_at is not None and session.closing_at < now - _CLOSING_MS:
            logger.warning("a closing session was left by its machine")
            session_steps.end_session(session.session_id)
    elif silent(session, now):
        logger.warning("an agent was not heard of; its sandbox is stopped")
        fargate.stop(session, "filepath: silent")
        session_steps.sandbox_gone(session.session_id, Reason.SILENT)
    elif cause := overdue(session, now, settings().start_timeout_seconds):
        _end_overdue(session, cause, now)
    elif session.status is SessionStatus.STARTING and session.created_at < now - _UNSTARTED_MS:
        executions.start_session(session.session_id, alarm(session, now), settings().start_timeout_seconds)


def _end_overdue(session: Session, cause: str, now: int) -> None:
    """Its alarm should have rung: asked as the machine would ask, and left to it if it still lives."""
    reason = closing_reason(session, cause, now)
    if reason is None:
        return
    logger.warning("a session outlived its clock", extra={"cause": cause})
    if reason is Reason.IDLE:
        closing = sessions.close_if_idle(session, now)
        executions.wake(closing.wake_token if closing else None)
    else:
        session_steps.close(session.session_id, reason)


def _reconcile_task(task: Task, session: Session, now: int) -> None:
    age = now - task.created_at
    if age < _UNSTARTED_MS:
        return
    if is_settled_by_facts(task, session):
        if not executions.wake(task.wake_token):
            logger.warning("a task was left by its machine", extra={"workflow_id": task.workflow_id})
            task_steps.settle(task.workflow_id)
    elif age > (backstop_seconds(task.timeout_seconds) + 120) * 1000:
        logger.warning("a task outlived its backstop", extra={"workflow_id": task.workflow_id})
        task_steps.settle(task.workflow_id)
    elif task.wake_token is None:
        executions.start_task(task.workflow_id, task.timeout_seconds)
