from __future__ import annotations

from typing import Annotated

from pydantic import Field

from filepath import clock, ids
from filepath.access import Scope
from filepath.aws import executions, sessions
from filepath.aws.table import TransactionRefused
from filepath.errors import InsufficientCredits, InvalidRequest, QuotaExceeded, TooLarge
from filepath.failures import left_to_reconcile
from filepath.operations.fields import Environment, Metadata, Name, SessionId, SessionWorkflowId
from filepath.operations.registry import Context, Model, answered_before, first_of_two, idempotency, operation
from filepath.session import FARGATE_MEMORY_MB, Session, SessionStatus, alarm
from filepath.settings import settings


class CreateSession(Model):
    name: Name | None = None
    cpu: int = 1024
    """CPU units, 1024 to a vCPU: 256, 512, 1024, 2048, 4096, 8192 or 16384."""
    memory: int = 2048
    """MB, one of those that Fargate offers for the CPU."""
    env: Environment = {}
    """Set for every task of the session."""
    idle_timeout_seconds: Annotated[int, Field(ge=1, le=604_800)] = 86_400
    """After so long without a task, or a keep-alive, it closes by itself."""
    max_age_seconds: Annotated[int, Field(ge=60, le=2_592_000)] = 604_800
    """After so long it closes whatever runs in it."""
    background_seconds: Annotated[int, Field(ge=0, le=2_592_000, examples=[300])] | None = None
    """For so long what finished tasks leave running may go on while no task runs, for a credit each started minute; 0
    ends it at once. 300, unless the stack's owner says otherwise; never past the session's own end."""
    metadata: Metadata = {}


class SessionCreated(Model):
    session_id: SessionId
    workflow_id: SessionWorkflowId
    status: SessionStatus


@operation(
    "POST",
    "/api/orchestrator/session",
    status=202,
    scope=Scope.SESSIONS_WRITE,
    creates=True,
    errors=(InsufficientCredits, TooLarge, QuotaExceeded),
)
def create_session(context: Context, request: CreateSession) -> SessionCreated:
    """Start a sandbox with a filesystem that stays until the session is closed.

    Tasks can be submitted at once: they wait until it is ready. A session that nothing happens in closes by itself.
    """
    _check_size(request)
    key = idempotency(context, "create_session", request)
    answer = answered_before(key, SessionCreated, context.now)
    if answer is None:
        new = _new(context, request)
        answer = SessionCreated(
            session_id=new.session_id, workflow_id=ids.session_workflow_id(new.session_id), status=new.status
        )
        try:
            sessions.create(new, request.env, answer.model_dump(), key)
        except TransactionRefused as refused:
            answer = first_of_two(key, SessionCreated, context.now, refused)
    with left_to_reconcile():
        _start(answer.session_id, context.now)
    return answer


def _check_size(request: CreateSession) -> None:
    memories = FARGATE_MEMORY_MB.get(request.cpu)
    if memories is None:
        raise InvalidRequest(f"cpu must be one of {sorted(FARGATE_MEMORY_MB)}.", details={"field": "cpu"})
    if request.memory not in memories:
        raise InvalidRequest(
            f"With cpu {request.cpu}, memory must be one of {', '.join(map(str, memories))} MB.",
            details={"field": "memory"},
        )


def _new(context: Context, request: CreateSession) -> Session:
    background = request.background_seconds
    return Session(
        session_id=ids.session_id(context.now, clock.entropy()),
        user_id=context.caller.user_id,
        status=SessionStatus.STARTING,
        created_at=context.now,
        last_active=context.now,
        cpu=request.cpu,
        memory=request.memory,
        idle_seconds=request.idle_timeout_seconds,
        max_age_seconds=request.max_age_seconds,
        background_seconds=settings().background_seconds if background is None else background,
        name=request.name,
        metadata=request.metadata,
    )


def _start(session_id: str, now: int) -> None:
    """After the write, and again for a repeated request: the name makes it once."""
    session = sessions.get(session_id)
    if session is not None and session.status is SessionStatus.STARTING:
        executions.start_session(session_id, alarm(session, now), settings().start_timeout_seconds)
