"""A session: its states, its clocks, and what may happen to it when. Pure; the clock is an argument.

    starting ──hello──▶ ready
        │                 │   close · idle · max_age · sandbox gone
        └───────▶ closing ◀┘
                     │ sandbox stopped, tasks settled
                     ▼
             closed · failed (it was never ready, and nobody asked for its end)

Two facts move it besides its status: `closing_reason`, written once when somebody wants it to end, and `gone`, written
once when its sandbox is known not to run any more. Times are milliseconds since the epoch, lengths are seconds.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any

from filepath.background import Background


class SessionStatus(StrEnum):
    STARTING = "starting"
    READY = "ready"
    CLOSING = "closing"
    CLOSED = "closed"
    FAILED = "failed"


TRANSITIONS: Mapping[SessionStatus, frozenset[SessionStatus]] = {
    SessionStatus.STARTING: frozenset({SessionStatus.READY, SessionStatus.CLOSING}),
    SessionStatus.READY: frozenset({SessionStatus.CLOSING}),
    SessionStatus.CLOSING: frozenset({SessionStatus.CLOSED, SessionStatus.FAILED}),
    SessionStatus.CLOSED: frozenset(),
    SessionStatus.FAILED: frozenset(),
}
OPEN = frozenset({SessionStatus.STARTING, SessionStatus.READY})
"""Takes tasks."""


class Reason(StrEnum):
    """Why a session ended."""

    USER = "user"
    IDLE = "idle"
    MAX_AGE = "max_age"
    SHUTDOWN = "shutdown"
    START_TIMEOUT = "start_timeout"
    LAUNCH_FAILED = "launch_failed"
    NO_CAPACITY = "no_capacity"
    SANDBOX_STOPPED = "sandbox_stopped"
    OOM = "oom"
    SILENT = "silent"


ASKED_FOR = frozenset({Reason.USER, Reason.IDLE, Reason.MAX_AGE, Reason.SHUTDOWN})
"""Ends that somebody, or a rule the caller chose, wanted: no failure, even before the sandbox was ready."""

_OF_LAUNCH = frozenset({Reason.START_TIMEOUT, Reason.LAUNCH_FAILED, Reason.NO_CAPACITY})


class WaitState(StrEnum):
    """The state of its machine that a session's wake-up token belongs to. One that stops its sandbox waits for
    nothing but the sandbox's end: who closes a session once more must not wake it."""

    LAUNCH = "launch"
    LIVE = "live"
    STOP = "stop"


MAX_OPEN_TASKS = 16

FARGATE_MEMORY_MB: Mapping[int, range | tuple[int, ...]] = {
    256: (512, 1024, 2048),
    512: range(1024, 4097, 1024),
    1024: range(2048, 8193, 1024),
    2048: range(4096, 16385, 1024),
    4096: range(8192, 30721, 1024),
    8192: range(16384, 61441, 4096),
    16384: range(32768, 122881, 8192),
}
"""MB of memory that Fargate offers for each number of CPU units (1024 to a vCPU), from AWS's table."""


@dataclass(frozen=True)
class Session:
    session_id: str
    user_id: str
    status: SessionStatus
    created_at: int
    last_active: int
    cpu: int
    memory: int
    idle_seconds: int
    max_age_seconds: int
    background_seconds: int = 300
    background: Background = field(default_factory=Background)
    name: str | None = None
    metadata: Mapping[str, str] = field(default_factory=dict)
    open_tasks: frozenset[str] = frozenset()
    reason: Reason | None = None
    ready_at: int | None = None
    closing_at: int | None = None
    closed_at: int | None = None
    gone: Reason | None = None
    last_heard: int | None = None
    connection_id: str | None = None
    instance: str | None = None
    token: str | None = field(default=None, repr=False)
    task_arn: str | None = None
    wake_token: str | None = field(default=None, repr=False)
    wake_state: WaitState | None = None

    @property
    def takes_tasks(self) -> bool:
        return self.status in OPEN

    @property
    def is_over(self) -> bool:
        return not TRANSITIONS[self.status]

    def idle_deadline(self) -> int | None:
        """When it ends unless something happens; None while tasks keep it, or when it is ending anyway."""
        if self.open_tasks or not self.takes_tasks:
            return None
        return self.last_active + seconds(self.idle_seconds + debounce(self.idle_seconds))


_BUSY_RING_SECONDS = 60


@dataclass(frozen=True)
class Alarm:
    """The two clocks of the state *Live*, in seconds. Step Functions wants the first below the second."""

    heartbeat_seconds: int
    timeout_seconds: int

    def document(self) -> dict[str, Any]:
        return {"heartbeatSeconds": self.heartbeat_seconds, "timeoutSeconds": self.timeout_seconds}


def seconds(length: int) -> int:
    return length * 1000


def debounce(idle_seconds: int) -> int:
    """Seconds within which activity is noted once. Each beat is a call to Step Functions and a write, so a busy
    session must not send one for each thing that happens in it.
    """
    return min(idle_seconds, max(15, idle_seconds // 10))


def age_left(session: Session, now: int) -> int:
    """Seconds until the maximum age, counted from when the sandbox was ready."""
    since = session.ready_at if session.ready_at is not None else now
    return session.max_age_seconds - (now - since) // 1000


def alarm(session: Session, now: int) -> Alarm:
    """While tasks are open a short idle time rings less often: each ring that finds the session busy costs three
    transitions, and an execution has 25,000 events to spend."""
    timeout = max(2, age_left(session, now))
    idle = session.idle_seconds + debounce(session.idle_seconds)
    if session.open_tasks:
        idle = max(idle, _BUSY_RING_SECONDS)
    return Alarm(min(idle, timeout - 1), timeout)


def active_since(session: Session, now: int) -> int:
    """The bound that `last_active` must not be over for the session to count as idle at `now`."""
    return now - seconds(session.idle_seconds)


def closing_reason(session: Session, cause: str, now: int) -> Reason | None:
    """Why a session that was woken with `cause` ends; None when it is to live on.

    Idle is a question, not an order: a task submitted while the alarm rang keeps the session.
    """
    if not session.takes_tasks:
        return session.reason
    if session.gone is not None:  # whoever wrote that did not come to write that it closes
        return session.gone
    if cause == "idle":
        if age_left(session, now) <= 1:
            return Reason.MAX_AGE
        idle = not session.open_tasks and session.last_active <= active_since(session, now)
        return Reason.IDLE if idle else None
    reason = None if cause == "woken" else Reason(cause)
    if reason in _OF_LAUNCH and session.ready_at is not None:
        return None  # its agent said hello after all
    return reason


def final_status(session: Session) -> SessionStatus:
    """What a closing session becomes."""
    never_ready = session.ready_at is None
    if never_ready and session.reason not in ASKED_FOR:
        return SessionStatus.FAILED
    return SessionStatus.CLOSED


SILENCE_SECONDS = 120
"""Four heartbeats. Only while tasks are open: who is charged must know soon."""
LONG_SILENCE_SECONDS = 900
"""Longer than the ten minutes after which an agent without a platform ends itself."""
OVERDUE_SECONDS = 120


def silent(session: Session, now: int) -> bool:
    """Whether its agent was not heard of for so long that the sandbox is to be stopped."""
    if session.status is not SessionStatus.READY:
        return False
    limit = SILENCE_SECONDS if session.open_tasks else LONG_SILENCE_SECONDS
    heard = max(session.last_heard or 0, session.ready_at or 0)
    return heard < now - seconds(limit)


def overdue(session: Session, now: int, start_timeout_seconds: int) -> str | None:
    """Which of a session's clocks ran out without its machine having noticed, as the cause to close it with."""
    late = now - seconds(OVERDUE_SECONDS)
    if session.status is SessionStatus.STARTING:
        return "start_timeout" if session.created_at + seconds(start_timeout_seconds) < late else None
    if age_left(session, late) < 0:
        return "max_age"
    deadline = session.idle_deadline()
    return "idle" if deadline is not None and deadline < late else None


def stop_reason(containers: Sequence[Mapping[str, Any]]) -> Reason:
    """Why a sandbox stopped, from what ECS tells of its containers. It has no code for an OOM kill, only words."""
    told = " ".join(str(container.get("reason", "")) for container in containers)
    return Reason.OOM if "OutOfMemory" in told else Reason.SANDBOX_STOPPED
