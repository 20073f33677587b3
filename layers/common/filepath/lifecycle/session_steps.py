"""The steps of the session machine: launch sandbox → live → close session → stop sandbox → end session."""

from __future__ import annotations

from typing import Any

from filepath import clock, events, ids
from filepath.aws import executions, fargate, sessions, sockets
from filepath.lifecycle import task_steps
from filepath.log import logger
from filepath.session import Reason, Session, SessionStatus, WaitState, alarm, closing_reason, final_status
from filepath.settings import settings


class NoCapacity(Exception):
    """AWS has no room for a sandbox now. Its name is what the state machine retries and catches."""


def launch_sandbox(session_id: str, token: str, entered: int) -> None:
    """Starts the sandbox; its agent's hello wakes the state. Raises NoCapacity or LaunchRefused."""
    session = sessions.awaits(session_id, WaitState.LAUNCH, token, entered)
    if session is None:
        return
    launchable = sessions.launch(session_id, ids.api_key(clock.entropy()))
    if launchable is not None:
        _launch(launchable)
    elif session.status is not SessionStatus.STARTING:
        executions.wake(token)  # else an agent is there already, and says hello


def _launch(session: Session) -> None:
    try:
        task_arn = fargate.launch(session, _agents_url())
    except fargate.LaunchRefused as error:
        if error.no_capacity:
            raise NoCapacity(str(error)) from error
        raise
    logger.info("sandbox launched", extra={"taskArn": task_arn})
    launched = sessions.launched(session.session_id, task_arn)
    if launched is None or not launched.takes_tasks:  # closed meanwhile, perhaps by somebody who found nothing to stop
        fargate.stop(launched or session, "filepath: closed while it was launched")


def live(session_id: str, token: str, entered: int) -> None:
    """Waits, as an alarm clock does, for activity to wind it up or for an end."""
    session = sessions.awaits(session_id, WaitState.LIVE, token, entered)
    if session is not None and (not session.takes_tasks or session.gone is not None):
        executions.wake(token)


def close(session_id: str, reason: Reason) -> Session | None:
    """Has a session end, whoever wants it to; the session as it is then. None where there is none."""
    session = sessions.close(session_id, reason, clock.now_ms()) or sessions.get(session_id)
    if session is not None and session.wake_state is not WaitState.STOP:
        executions.wake(session.wake_token)
    return session


def close_session(session_id: str, cause: str) -> dict[str, Any]:
    """Decides whether the session ends: `{"decision": "stop"}`, or `"live"` with a newly set clock."""
    now = clock.now_ms()
    session = _known(session_id)
    reason = closing_reason(session, cause, now)
    if reason is None or not _closed(session, reason, now):
        return {"decision": "live", "clock": alarm(session, now).document()}
    logger.info("session closing", extra={"reason": reason})
    return {"decision": "stop"}


def _closed(session: Session, reason: Reason, now: int) -> bool:
    """Whether the session is to end, now that it was asked."""
    if not session.takes_tasks:
        return True
    if reason is Reason.IDLE:
        return sessions.close_if_idle(session, now) is not None
    sessions.close(session.session_id, reason, now)
    return True


def stop_sandbox(session_id: str, token: str, entered: int) -> None:
    """Has ECS stop the sandbox, whose agent ends its commands and reports them; that it stopped wakes the state."""
    session = sessions.awaits(session_id, WaitState.STOP, token, entered)
    if session is None:
        return
    _tell(session)
    if session.gone is not None:
        executions.wake(token)
    elif not fargate.stop(session, f"filepath: {session.reason}"):
        sandbox_gone(session_id, Reason.SANDBOX_STOPPED)


def end_session(session_id: str) -> None:
    """The end, whatever led here: no sandbox, no open task, nothing counted, clients told. Raises while the sandbox
    cannot be stopped: what runs must not be forgotten."""
    session = _known(session_id)
    if session.is_over:
        return
    if session.gone is None:
        fargate.stop(session, f"filepath: {session.reason}")
        sandbox_gone(session_id, Reason.SANDBOX_STOPPED)
        session = _known(session_id)
    for workflow_id in sorted(session.open_tasks):
        task_steps.settle(workflow_id)
    if sessions.finish(session, final_status(session), clock.now_ms()):
        _tell(_known(session_id))


def sandbox_gone(session_id: str, reason: Reason) -> None:
    """The one place that declares a sandbox gone, and with it its running tasks. Called by the ECS event, after
    StopTask, and by reconcile; never for a broken connection alone.
    """
    session = sessions.gone(session_id, reason) or sessions.get(session_id)
    if session is None or session.is_over:
        return
    sessions.close(session_id, reason, clock.now_ms())
    logger.info("sandbox gone", extra={"reason": reason, "openTasks": sorted(session.open_tasks)})
    task_steps.wake(session.open_tasks)
    latest = sessions.get(session_id)
    executions.wake(latest.wake_token if latest else None)


def _known(session_id: str) -> Session:
    session = sessions.get(session_id)
    if session is None:
        raise LookupError(f"{session_id} is not in the table")
    return session


def _tell(session: Session) -> None:
    workflow_id = ids.session_workflow_id(session.session_id)
    event = events.session_changed(session, clock.now_ms())
    sockets.tell(session.user_id, session.session_id, workflow_id, [event])


def _agents_url() -> str:
    form = settings().agents_url
    return form.format(apiId=settings().agents_api_id, stage=settings().stage, region=settings().region)
