from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from filepath import output
from filepath.access import Scope
from filepath.aws import logs
from filepath.errors import NotFound
from filepath.operations.fields import WorkflowId
from filepath.operations.registry import Context, Model, operation
from filepath.operations.views import own_task
from filepath.protocol import Stream, text_or_base64


class GetOutput(Model):
    workflow_id: WorkflowId
    after: Annotated[int, Field(ge=0)] = 0
    """A byte offset: what was read before is not sent again."""
    limit: Annotated[int, Field(ge=1, le=output.MAX_READ)] = output.DEFAULT_READ
    stream: Stream | None = None


class Piece(Model):
    offset: int
    stream: Stream
    data: str
    encoding: Literal["utf-8", "base64"]


class Output(Model):
    chunks: list[Piece]
    next_offset: int
    complete: bool
    """The task is over and this reads to the end of its output."""


@operation("GET", "/api/workflow/{workflowId}/output", scope=Scope.TASKS_READ, errors=(NotFound,))
def get_output(context: Context, request: GetOutput) -> Output:
    """A task's output from any byte offset on, while it runs and for the retention time afterwards.

    Offsets count both streams together, in the order written; `limit` is in bytes.
    """
    task = own_task(context.caller, request.workflow_id)
    stored = logs.get(task.workflow_id).stored
    end = min(stored, request.after + request.limit)
    chunks = output.window(logs.read(task.workflow_id, request.after, end), request.after, request.limit)
    shown = [
        Piece(offset=offset, stream=stream, data=data, encoding=encoding)
        for offset, stream, raw in output.pieces(chunks, request.stream)
        for data, encoding in [text_or_base64(raw)]
    ]
    return Output(
        chunks=shown,
        next_offset=max(end, min(request.after, stored)),
        complete=task.is_over and end >= stored,
    )
