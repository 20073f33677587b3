"""Sessions and tasks as callers see them, and how a caller's own are found.

What belongs to someone else is not found: whether it exists is not told.
"""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from filepath import clock, ids
from filepath.access import Caller
from filepath.aws import sessions, tasks
from filepath.clock import iso
from filepath.errors import NotFound
from filepath.operations.fields import Metadata, Moment, Name, SessionId, SessionWorkflowId, WorkflowId
from filepath.operations.registry import Model
from filepath.session import Session, SessionStatus
from filepath.task import Task, TaskStatus


class BackgroundView(Model):
    """What finished tasks left running in the sandbox."""

    processes: Annotated[int, Field(examples=[0])]
    """As the sandbox told last, which it does each minute while no task runs."""
    since: Moment | None = None
    """When that began to be counted; null while a task runs, or when nothing is left."""
    credits_charged: Annotated[int, Field(examples=[0])]
    """One for each started minute of such times, added up over the session."""
    stopped_reason: str | None = None
    """Why it was ended: `background_limit` or `insufficient_credits`."""


class SessionView(Model):
    session_id: SessionId
    workflow_id: SessionWorkflowId
    status: Annotated[SessionStatus, Field(examples=["ready"])]
    reason: str | None = None
    """Why it ends, or ended."""
    name: Name | None = None
    cpu: Annotated[int, Field(examples=[1024])]
    memory: Annotated[int, Field(examples=[2048])]
    idle_timeout_seconds: Annotated[int, Field(examples=[86_400])]
    max_age_seconds: Annotated[int, Field(examples=[604_800])]
    background_seconds: Annotated[int, Field(examples=[300])]
    metadata: Metadata
    background: BackgroundView
    open_tasks: list[WorkflowId]
    idle_deadline: Moment | None = None
    created_at: Moment
    ready_at: Moment | None = None
    closed_at: Moment | None = None


class TaskStatusView(Model):
    workflow_id: WorkflowId
    session_id: SessionId
    kind: Literal["task", "session"] = "task"
    status: Annotated[TaskStatus | SessionStatus, Field(examples=["completed"])]
    progress: Annotated[int, Field(ge=0, le=100, examples=[100])] | None = None
    """0 to 100, as the command told with `progress`; null until it did."""
    message: str | None = None
    exit_code: Annotated[int, Field(examples=[0])] | None = None
    signal: str | None = None
    """The name of the signal that ended it, without SIG; exactly one of this and `exitCode` is set when it ran."""
    reason: str | None = None
    """Why it did not run to its own end."""
    credits_charged: Annotated[int, Field(examples=[1])] | None = None
    output_bytes: Annotated[int, Field(examples=[6])] | None = None
    started_at: Moment | None = None
    finished_at: Moment | None = None


class TaskView(TaskStatusView):
    task: Annotated[str, Field(examples=["make test"])] | None = None
    """The command; in lists, its beginning."""
    timeout_seconds: Annotated[int, Field(examples=[300])] | None = None
    credits_held: Annotated[int, Field(examples=[0])] | None = None
    metadata: Metadata | None = None
    created_at: Moment


def session_view(session: Session) -> SessionView:
    return SessionView(
        session_id=session.session_id,
        workflow_id=ids.session_workflow_id(session.session_id),
        status=session.status,
        reason=session.reason,
        name=session.name,
        cpu=session.cpu,
        memory=session.memory,
        idle_timeout_seconds=session.idle_seconds,
        max_age_seconds=session.max_age_seconds,
        background_seconds=session.background_seconds,
        metadata=dict(session.metadata),
        background=_background(session),
        open_tasks=sorted(session.open_tasks),
        idle_deadline=_moment(session.idle_deadline()),
        created_at=iso(session.created_at),
        ready_at=_moment(session.ready_at),
        closed_at=_moment(session.closed_at),
    )


def _background(session: Session) -> BackgroundView:
    told, lives = session.background, session.gone is None and not session.is_over
    return BackgroundView(
        processes=told.processes if lives else 0,
        since=_moment(told.since) if session.takes_tasks else None,
        credits_charged=told.charged,
        stopped_reason=told.stopped,
    )


def task_status(task: Task, stored: int | None = None) -> TaskStatusView:
    """`stored`: how much output there is so far, for a task that is not over."""
    return TaskStatusView(
        workflow_id=task.workflow_id,
        session_id=task.session_id,
        status=task.status,
        progress=task.progress,
        message=task.message,
        exit_code=task.exit_code,
        signal=task.signal,
        reason=task.reason,
        credits_charged=task.charged,
        output_bytes=task.output_bytes if task.is_over else stored,
        started_at=_moment(task.started_at),
        finished_at=_moment(task.finished_at),
    )


def task_view(task: Task, command: str | None = None, stored: int | None = None) -> TaskView:
    return TaskView(
        **task_status(task, stored).model_dump(by_alias=False),
        task=command if command is not None else task.command,
        timeout_seconds=task.timeout_seconds,
        credits_held=0 if task.is_over else task.held,
        metadata=dict(task.metadata),
        created_at=iso(task.created_at),
    )


def session_status(session: Session) -> TaskStatusView:
    """The session's own workflow."""
    return TaskStatusView(
        workflow_id=ids.session_workflow_id(session.session_id),
        session_id=session.session_id,
        kind="session",
        status=session.status,
        reason=session.reason,
        started_at=_moment(session.ready_at),
        finished_at=_moment(session.closed_at),
    )


def own_session(caller: Caller, session_id: str) -> Session:
    """Raises NotFound."""
    session = sessions.get(session_id)
    if session is None or session.user_id != caller.user_id:
        raise NotFound("There is no such session. List the sessions to see which there are.")
    return session


def own_task(caller: Caller, workflow_id: str) -> Task:
    """Raises NotFound."""
    task = tasks.get(workflow_id) if ids.is_task(workflow_id) else None
    if task is None or task.has_expired(clock.now_ms()) or task.user_id != caller.user_id:
        raise NotFound("There is no such workflow. List the workflows to see which there are.")
    return task


def _moment(milliseconds: int | None) -> str | None:
    return None if milliseconds is None else iso(milliseconds)
