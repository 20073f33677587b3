"""What the platform answers, as typed values. Each reads itself from the JSON of the contract with `of`.

No I/O and no behaviour beyond reading; `raw` keeps the JSON, since the platform may add fields at any time.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import date, datetime
from typing import Any, Literal

from filepath_sdk.protocol import Stream, bytes_of

Json = Mapping[str, Any]
TaskState = Literal[
    "queued",
    "awaiting_approval",
    "running",
    "completed",
    "timed_out",
    "cancelled",
    "lost",
    "rejected",
    "failed",
]
UsageGroup = Literal["day", "session", "key"]
TERMINAL = frozenset({"completed", "timed_out", "cancelled", "lost", "rejected", "failed"})


def _time(value: Any) -> datetime | None:
    return datetime.fromisoformat(value) if isinstance(value, str) else None


@dataclass(frozen=True)
class User:
    id: str
    email: str
    name: str | None = None
    created_at: datetime | None = None

    @classmethod
    def of(cls, data: Json) -> User:
        return cls(data["id"], data["email"], data.get("name"), _time(data.get("createdAt")))


@dataclass(frozen=True)
class SignedIn:
    """A person's token, good for what an API key is good for and for making keys."""

    token: str = field(repr=False)
    user: User

    @classmethod
    def of(cls, data: Json) -> SignedIn:
        return cls(data["token"], User.of(data["user"]))


@dataclass(frozen=True)
class ApiKey:
    """An API key. `key` is the secret itself: only the answer to `create` has it."""

    id: str
    name: str | None
    start: str | None
    scopes: tuple[str, ...]
    expires_at: datetime | None
    created_at: datetime | None
    key: str | None = field(default=None, repr=False)
    raw: Json = field(default_factory=dict, repr=False, compare=False)

    @classmethod
    def of(cls, data: Json) -> ApiKey:
        return cls(
            id=data["id"],
            name=data.get("name"),
            start=data.get("start"),
            scopes=tuple(data.get("scopes") or ()),
            expires_at=_time(data.get("expiresAt")),
            created_at=_time(data.get("createdAt")),
            key=data.get("key"),
            raw=data,
        )


@dataclass(frozen=True)
class SessionInfo:
    id: str
    status: str
    workflow_id: str | None = None
    name: str | None = None
    reason: str | None = None
    idle_deadline: datetime | None = None
    created_at: datetime | None = None
    metadata: Mapping[str, Any] = field(default_factory=dict)
    raw: Json = field(default_factory=dict, repr=False, compare=False)

    @classmethod
    def of(cls, data: Json) -> SessionInfo:
        return cls(
            id=data["sessionId"],
            status=data["status"],
            workflow_id=data.get("workflowId"),
            name=data.get("name"),
            reason=data.get("reason"),
            idle_deadline=_time(data.get("idleDeadline")),
            created_at=_time(data.get("createdAt")),
            metadata=data.get("metadata") or {},
            raw=data,
        )


@dataclass(frozen=True)
class TaskStatus:
    """How a task stands. `status` is one of `TaskState`; a later platform may know more."""

    workflow_id: str
    session_id: str | None
    status: str
    progress: float | None = None
    message: str | None = None
    exit_code: int | None = None
    signal: str | None = None
    reason: str | None = None
    credits_charged: int | None = None
    output_bytes: int | None = None
    started_at: datetime | None = None
    finished_at: datetime | None = None
    raw: Json = field(default_factory=dict, repr=False, compare=False)

    @property
    def over(self) -> bool:
        return self.status in TERMINAL

    @classmethod
    def of(cls, data: Json) -> TaskStatus:
        return cls(
            workflow_id=data["workflowId"],
            session_id=data.get("sessionId"),
            status=data["status"],
            progress=data.get("progress"),
            message=data.get("message"),
            exit_code=data.get("exitCode"),
            signal=data.get("signal"),
            reason=data.get("reason"),
            credits_charged=data.get("creditsCharged"),
            output_bytes=data.get("outputBytes"),
            started_at=_time(data.get("startedAt")),
            finished_at=_time(data.get("finishedAt")),
            raw=data,
        )


@dataclass(frozen=True)
class TaskInfo(TaskStatus):
    """All that is known of a task; `raw` has what is not named here."""

    task: str | None = None
    created_at: datetime | None = None
    metadata: Mapping[str, Any] = field(default_factory=dict)

    @classmethod
    def of(cls, data: Json) -> TaskInfo:
        status = TaskStatus.of(data)
        known = {name: getattr(status, name) for name in TaskStatus.__dataclass_fields__}
        return cls(
            **known,
            task=data.get("task"),
            created_at=_time(data.get("createdAt")),
            metadata=data.get("metadata") or {},
        )


@dataclass(frozen=True)
class Piece:
    """Bytes of a task's log that went to one stream, from byte `offset` on."""

    offset: int
    stream: Stream
    data: bytes

    @classmethod
    def of(cls, data: Json) -> Piece:
        return cls(data["offset"], data["stream"], bytes_of(data["data"], data.get("encoding", "utf-8")))


@dataclass(frozen=True)
class OutputPage:
    """A stretch of a task's log. `complete`: the task is over and this is its end."""

    pieces: tuple[Piece, ...]
    next_offset: int
    complete: bool

    @classmethod
    def of(cls, data: Json) -> OutputPage:
        return cls(tuple(Piece.of(chunk) for chunk in data["chunks"]), data["nextOffset"], data["complete"])


@dataclass(frozen=True)
class Credits:
    balance: int
    held: int
    available: int

    @classmethod
    def of(cls, data: Json) -> Credits:
        return cls(data["balance"], data["held"], data["available"])


@dataclass(frozen=True)
class UsageRow:
    """What one day, session or key came to; the one by which it is grouped is set. What was submitted after signing
    in has no key.
    """

    credits: int
    tasks: int
    day: date | None = None
    session_id: str | None = None
    key_id: str | None = None

    @classmethod
    def of(cls, data: Json) -> UsageRow:
        day = data.get("day")
        return cls(
            credits=data["credits"],
            tasks=data["tasks"],
            day=date.fromisoformat(day) if day else None,
            session_id=data.get("sessionId"),
            key_id=data.get("keyId"),
        )


@dataclass(frozen=True)
class Usage:
    """Credits charged in a period. `total` is that of all rows."""

    rows: tuple[UsageRow, ...]
    total: int
    raw: Json = field(default_factory=dict, repr=False, compare=False)

    @classmethod
    def of(cls, data: Json) -> Usage:
        return cls(tuple(UsageRow.of(row) for row in data["rows"]), data["total"], data)


@dataclass(frozen=True)
class SocketTicket:
    """A way into the clients' socket: `ticket` opens it once, within a minute."""

    url: str
    ticket: str = field(repr=False)

    @classmethod
    def of(cls, data: Json) -> SocketTicket:
        return cls(data["url"], data["ticket"])


# What a watched task tells, in the order in which it happened


@dataclass(frozen=True)
class OutputEvent:
    """`data` is byte-exact. `text` is the same decoded: a character that was cut comes with its last byte."""

    offset: int
    stream: Stream
    data: bytes
    text: str


@dataclass(frozen=True)
class ProgressEvent:
    percent: float | None
    message: str | None


@dataclass(frozen=True)
class StatusEvent:
    """The last event of a task has `status.over`, and comes after its last byte of output."""

    status: TaskStatus


TaskEvent = OutputEvent | ProgressEvent | StatusEvent


@dataclass(frozen=True)
class Result:
    """How a task ended, with its output. Exactly one of `exit_code` and `signal` is set when it ran."""

    workflow_id: str
    session_id: str | None
    status: str
    exit_code: int | None
    signal: str | None
    reason: str | None
    message: str | None
    credits_charged: int | None
    output_bytes: int
    stdout_bytes: bytes = field(repr=False)
    stderr_bytes: bytes = field(repr=False)
    started_at: datetime | None = None
    finished_at: datetime | None = None

    @property
    def stdout(self) -> str:
        return self.stdout_bytes.decode(errors="replace")

    @property
    def stderr(self) -> str:
        return self.stderr_bytes.decode(errors="replace")

    @property
    def ok(self) -> bool:
        """Whether the command ran to its own end with exit code 0."""
        return self.status == "completed" and self.exit_code == 0

    @property
    def outcome(self) -> str:
        """How it ended, as the end of a sentence that starts with "the command"."""
        how = f"exit code {self.exit_code}" if self.exit_code is not None else f"signal {self.signal}"
        if self.status == "completed":
            return f"ended with {how}"
        why = f" ({self.reason})" if self.reason else ""
        said = f": {self.message}" if self.message and self.status in ("failed", "lost") else ""
        return f"did not run to its end: {self.status}{why}{said}"

    @classmethod
    def of(cls, end: TaskStatus, stdout: bytes, stderr: bytes) -> Result:
        return cls(
            workflow_id=end.workflow_id,
            session_id=end.session_id,
            status=end.status,
            exit_code=end.exit_code,
            signal=end.signal,
            reason=end.reason,
            message=end.message,
            credits_charged=end.credits_charged,
            output_bytes=len(stdout) + len(stderr) if end.output_bytes is None else end.output_bytes,
            stdout_bytes=stdout,
            stderr_bytes=stderr,
            started_at=end.started_at,
            finished_at=end.finished_at,
        )
