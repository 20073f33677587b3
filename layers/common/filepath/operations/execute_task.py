from __future__ import annotations

from typing import Annotated, Self

from pydantic import AfterValidator, Field, StringConstraints, model_validator

from filepath import clock, ids, stdin
from filepath.access import Caller, Scope
from filepath.aws import accounts, executions, sessions, tasks
from filepath.aws.table import TransactionRefused
from filepath.credit import hold_for
from filepath.errors import InsufficientCredits, NotFound, QuotaExceeded, SessionClosed, TooLarge, Unauthenticated
from filepath.failures import left_to_reconcile
from filepath.operations.fields import Environment, Metadata, SessionId, WorkflowId, without_nul
from filepath.operations.registry import Context, Model, answered_before, first_of_two, idempotency, operation
from filepath.operations.views import own_session
from filepath.stdin import Encoding
from filepath.task import Task, TaskStatus

COMMAND_LIMIT = 1024 * 1024
_SHOWN_CHARS = 200


def _command(text: str) -> str:
    if len(text.encode()) > COMMAND_LIMIT:
        raise TooLarge(f"task has more than {COMMAND_LIMIT} bytes. Write a script with one task, run it with the next.")
    return without_nul(text)


class ExecuteTask(Model):
    session_id: SessionId
    task: Annotated[str, StringConstraints(min_length=1), AfterValidator(_command), Field(examples=["make test"])]
    """Run as `/bin/bash -c`, in a fresh shell without login or rc files."""
    timeout_seconds: Annotated[int, Field(ge=1, le=86_400)] = 300
    """Counted from when it starts. Decides how many credits are held: one for each started minute."""
    env: Environment = {}
    cwd: (
        Annotated[
            str,
            StringConstraints(min_length=1, max_length=4096),
            AfterValidator(without_nul),
            Field(examples=["/workspace"]),
        ]
        | None
    ) = None
    """Where it starts; `/workspace` unless given."""
    stdin: Annotated[str, Field(examples=["yes\n"])] | None = None
    """What it reads, to the end; nothing unless given. At most 5 MB of it."""
    stdin_encoding: Encoding = "utf-8"
    """`base64` for bytes that are no text; `gzip`, for base64 of a gzip file, where text is too much for a request: its
    6 MB are counted as JSON within JSON, in which a quote or a line end takes three bytes."""
    stdin_open: bool = False
    """Leave stdin open after that, for writeStdin, until closeStdin."""
    metadata: Metadata = {}

    @model_validator(mode="after")
    def _stdin_can_be_decoded(self) -> Self:
        self.stdin_bytes()
        return self

    def stdin_bytes(self) -> bytes | None:
        return None if self.stdin is None else stdin.decoded(self.stdin, self.stdin_encoding)


class TaskQueued(Model):
    workflow_id: WorkflowId
    session_id: SessionId
    status: TaskStatus


@operation(
    "POST",
    "/api/orchestrator",
    status=202,
    scope=Scope.TASKS_WRITE,
    creates=True,
    errors=(InsufficientCredits, NotFound, SessionClosed, TooLarge, QuotaExceeded),
)
def execute_task(context: Context, request: ExecuteTask) -> TaskQueued:
    """Run a command in a session's sandbox. Its credits are held now and settled when it is over."""
    session = own_session(context.caller, request.session_id)
    key = idempotency(context, "execute_task", request)
    answer = answered_before(key, TaskQueued, context.now)
    if answer is None:
        new = _new(context, request)
        answer = TaskQueued(workflow_id=new.workflow_id, session_id=new.session_id, status=new.status)
        try:
            tasks.submit(new, _inputs(request), answer.model_dump(), key)
        except TransactionRefused as refused:
            answer = first_of_two(key, TaskQueued, context.now, refused)
    with left_to_reconcile():
        executions.start_task(answer.workflow_id, request.timeout_seconds)
        if sessions.active(session, context.now):
            executions.beat(session.wake_token)
    return answer


def _new(context: Context, request: ExecuteTask) -> Task:
    return Task(
        workflow_id=ids.task_id(request.session_id, context.now, clock.entropy()),
        session_id=request.session_id,
        user_id=context.caller.user_id,
        status=TaskStatus.QUEUED,
        created_at=context.now,
        timeout_seconds=request.timeout_seconds,
        held=hold_for(request.timeout_seconds),
        command=request.task[:_SHOWN_CHARS],
        key_id=context.caller.key_id,
        limited=_is_limited(context.caller),
        stdin_open=request.stdin_open,
        metadata=request.metadata,
    )


def _is_limited(caller: Caller) -> bool:
    """Whether the key has a limit of its own, which the transaction holds it to."""
    if caller.key_id is None:
        return False
    key = accounts.api_key(caller.user_id, caller.key_id)
    if key is None:
        raise Unauthenticated("This key was revoked. Create another, or sign in again.")
    return key.credit_limit is not None


def _inputs(request: ExecuteTask) -> dict[str, object]:
    inputs: dict[str, object] = {"command": request.task, "env": request.env, "cwd": request.cwd, "stdin": None}
    content = request.stdin_bytes()
    if content is None:
        return inputs
    text, encoding = stdin.carried(content)
    return inputs | {"stdin": text} | ({"stdinEncoding": encoding} if encoding != "utf-8" else {})
