"""A task: its states, and how it is decided what became of it. Pure; the clock is an argument.

    queued ──started──▶ running ──┐
      └──────────────────────────┴──▶ completed · timed_out · cancelled · lost · failed

A terminal state comes from what the agent observed (`end`, a wait status) once every byte of output is stored
(`exited`), or from the certain knowledge that nothing more will be observed: `lost`. Whoever gets there first, it is
decided here, from the record alone, and never from the path that led to the decision.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum

from filepath.protocol import End
from filepath.session import ASKED_FOR, Reason, Session


class TaskStatus(StrEnum):
    QUEUED = "queued"
    RUNNING = "running"
    COMPLETED = "completed"
    TIMED_OUT = "timed_out"
    CANCELLED = "cancelled"
    LOST = "lost"
    FAILED = "failed"


TERMINAL = frozenset(TaskStatus) - {TaskStatus.QUEUED, TaskStatus.RUNNING}

START_ALLOWANCE_SECONDS = 300
GRACE_SECONDS = 5
DRAIN_SECONDS = 600
"""How long after its end a task's output may take to arrive, before Step Functions gives it up."""


@dataclass(frozen=True)
class Task:
    workflow_id: str
    session_id: str
    user_id: str
    status: TaskStatus
    created_at: int
    timeout_seconds: int
    held: int
    command: str
    """The first bytes of it, for lists; the whole is in `inputs`."""
    key_id: str | None = None
    """The API key it was submitted with; None for a sign-in token."""
    limited: bool = False
    """That key has a limit of its own, to which what is not charged is given back."""
    metadata: Mapping[str, str] = field(default_factory=dict)
    inputs: Mapping[str, object] | None = None
    inputs_key: str | None = None
    stdin_open: bool = False
    """Whether more can be written to its standard input while it runs."""
    dispatched: bool = False
    started_at: int | None = None
    cancel_signal: str | None = None
    end: End | None = None
    exited: bool = False
    overran: bool = False
    """Its agent sent more output than is kept of a task, and was told to stop it."""
    progress: int | None = None
    message: str | None = None
    reason: str | None = None
    exit_code: int | None = None
    signal: str | None = None
    charged: int | None = None
    output_bytes: int | None = None
    finished_at: int | None = None
    wake_token: str | None = field(default=None, repr=False)
    expires_at: int | None = None
    """In seconds, as DynamoDB's TTL wants it, which lags by days: from then on the task counts as gone."""

    @property
    def is_over(self) -> bool:
        return self.status in TERMINAL

    def has_expired(self, now: int) -> bool:
        return self.expires_at is not None and self.expires_at * 1000 <= now


@dataclass(frozen=True)
class Outcome:
    """What became of a task. `run_ms` is None when it never ran."""

    status: TaskStatus
    reason: str | None = None
    exit_code: int | None = None
    signal: str | None = None
    run_ms: int | None = None
    message: str | None = None


def backstop_seconds(timeout_seconds: int) -> int:
    """After which Step Functions stops waiting for a report. The agent keeps the real deadline, from `started`: a
    slow start of the sandbox would eat a short one.
    """
    return START_ALLOWANCE_SECONDS + timeout_seconds + GRACE_SECONDS + DRAIN_SECONDS


def is_settled_by_facts(task: Task, session: Session) -> bool:
    """Whether nothing more needs to be waited for: the question asked after a token was stored."""
    cancelled_early = task.cancel_signal is not None and not task.dispatched
    return task.exited or task.overran or cancelled_early or session.gone is not None


def is_decidable(task: Task, session: Session, now: int) -> bool:
    """Whether it can be said what became of the task. Not while its sandbox lives, has not reported, and has time to:
    a step that failed is no reason to call a task lost."""
    outlived = now > task.created_at + backstop_seconds(task.timeout_seconds) * 1000
    return outlived or is_settled_by_facts(task, session)


def outcome(task: Task, session: Session) -> Outcome:
    if task.exited and task.end is not None:
        return _observed(task.end, task, session)
    if task.cancel_signal is not None and not task.dispatched:
        return Outcome(TaskStatus.CANCELLED, "cancelled")
    if task.overran:
        return Outcome(TaskStatus.CANCELLED, "output_limit", run_ms=_heard_for(task, session))
    return _unobserved(task, session)


def _observed(end: End, task: Task, session: Session) -> Outcome:
    if end.cause == "not_started":
        if task.cancel_signal is not None:
            return Outcome(TaskStatus.CANCELLED, "cancelled")
        return Outcome(TaskStatus.FAILED, "not_started", message=end.message)
    status, reason = {
        "exited": (TaskStatus.COMPLETED, str(Reason.OOM) if end.out_of_memory else None),
        "timed_out": (TaskStatus.TIMED_OUT, "timeout"),
        "cancelled": (TaskStatus.CANCELLED, "cancelled"),
        "output_limit": (TaskStatus.CANCELLED, "output_limit"),
        "shutdown": _shut_down(session),
        "failed": (TaskStatus.FAILED, "agent_failed"),
    }[end.cause]
    return Outcome(status, reason, end.exit_code, end.signal, end.run_ms, end.message)


def _shut_down(session: Session) -> tuple[TaskStatus, str]:
    """An agent that was told to end: by us, or by its host."""
    if session.reason in ASKED_FOR:
        return TaskStatus.CANCELLED, "session_closed"
    return TaskStatus.LOST, str(session.gone or session.reason or Reason.SANDBOX_STOPPED)


def _unobserved(task: Task, session: Session) -> Outcome:
    run_ms = _heard_for(task, session)
    if session.gone is None:
        return Outcome(TaskStatus.LOST, "no_report", run_ms=run_ms)
    if session.reason in ASKED_FOR:
        return Outcome(TaskStatus.CANCELLED, "session_closed", run_ms=run_ms)
    if session.ready_at is None:
        return Outcome(TaskStatus.FAILED, str(session.reason or session.gone), run_ms=run_ms)
    return Outcome(TaskStatus.LOST, str(session.gone), run_ms=run_ms)


def _heard_for(task: Task, session: Session) -> int | None:
    """How long a task ran that nobody saw end: until the last thing heard from its sandbox."""
    if task.end is not None:
        return task.end.run_ms
    if task.started_at is None:
        return None
    return max(0, (session.last_heard or task.started_at) - task.started_at)
