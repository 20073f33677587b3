from __future__ import annotations

from typing import Annotated, Literal, Self

from pydantic import Field, StringConstraints, model_validator

from filepath import stdin
from filepath.access import Scope
from filepath.errors import Conflict, NotFound, TooLarge
from filepath.lifecycle import task_stdin
from filepath.operations.fields import OpenWorkflowId
from filepath.operations.registry import Context, Model, operation
from filepath.operations.views import own_task

_WRITE_LIMIT = 64 * 1024
"""Bytes: with them a message to the sandbox stays under API Gateway's 128 KB."""


class WriteStdin(Model):
    workflow_id: OpenWorkflowId
    data: Annotated[str, StringConstraints(min_length=1), Field(examples=["yes\n"])]
    """At most 64 KB of bytes, and 5 MB in all."""
    encoding: Literal["utf-8", "base64"] = "utf-8"
    offset: Annotated[int, Field(ge=0)] | None = None
    """Where it begins, counted in what was written before. With it, to send the same again does no harm."""

    @model_validator(mode="after")
    def _can_be_decoded(self) -> Self:
        size = len(self.content())
        if not size:
            raise ValueError("data has no bytes")
        if size > _WRITE_LIMIT:
            raise TooLarge(f"data has more than {_WRITE_LIMIT} bytes. Write it in several requests.")
        return self

    def content(self) -> bytes:
        return stdin.decoded(self.data, self.encoding)


class StdinWritten(Model):
    offset: Annotated[int, Field(examples=[4])]
    """How much was written until now: where the next begins."""


@operation("POST", "/api/workflow/{workflowId}/stdin", scope=Scope.TASKS_WRITE, errors=(NotFound, Conflict, TooLarge))
def write_stdin(context: Context, request: WriteStdin) -> StdinWritten:
    """Write to the standard input of a task that was submitted with `stdinOpen`.

    A command gets it in order, after `stdin`, however slowly it reads, and also where it has not started yet.
    """
    task = own_task(context.caller, request.workflow_id)
    return StdinWritten(offset=task_stdin.write(task, request.content(), request.offset, context.now))
