from __future__ import annotations

from itertools import islice
from typing import Annotated, Literal

from pydantic import Field

from filepath import clock, output
from filepath.access import Scope
from filepath.aws import logs
from filepath.aws.logs import Log
from filepath.errors import NotFound
from filepath.operations.fields import WorkflowId
from filepath.operations.registry import Context, Model, operation
from filepath.operations.views import own_task
from filepath.output import Piece
from filepath.protocol import Stream, text_or_base64
from filepath.task import Task

_ENCODED_A_BYTE = 4
"""At most: three for text with escapes, and room for the rest."""
_ENCODED_A_PIECE = 300
"""Of which its own names and numbers take some 70; a command that writes to both streams in turn makes many."""


class GetOutput(Model):
    workflow_id: WorkflowId
    after: Annotated[int, Field(ge=0, le=10**14 - 1)] = 0
    """A byte offset: what was read before is not sent again."""
    limit: Annotated[int, Field(ge=1, le=output.MAX_READ)] = output.DEFAULT_READ
    stream: Stream | None = None
    wait: Annotated[int, Field(ge=0, le=output.LONGEST_WAIT)] = 0
    """Seconds to wait for more, where nothing is there behind `after` and the task is not over. For one command to
    follow; many are followed on the socket, which costs nothing while nothing happens."""


class OutputPiece(Model):
    offset: Annotated[int, Field(examples=[0])]
    stream: Stream
    data: Annotated[str, Field(examples=["hello\n"])]
    encoding: Literal["utf-8", "base64"]


class Output(Model):
    chunks: list[OutputPiece]
    next_offset: Annotated[int, Field(examples=[6])]
    complete: Annotated[bool, Field(examples=[True])]
    """The task is over and this reads to the end of its output."""


@operation("GET", "/api/workflow/{workflowId}/output", scope=Scope.TASKS_READ, errors=(NotFound,))
def get_output(context: Context, request: GetOutput) -> Output:
    """A task's output from any byte offset on, while it runs and for the retention time afterwards.

    Offsets count both streams together, in the order written; `limit` is in bytes.
    """
    task = own_task(context.caller, request.workflow_id)
    log = _awaited(task, request)
    stored = log.stored
    limit = min(request.limit, context.largest_answer // _ENCODED_A_BYTE)
    end = min(stored, request.after + limit)
    chunks = output.window(logs.read(task.workflow_id, request.after, end), request.after, limit)
    pieces = list(islice(output.pieces(chunks), context.largest_answer // _ENCODED_A_PIECE))
    if pieces:
        end = pieces[-1].end
    shown = [_shown(piece) for piece in pieces if request.stream in {None, piece.stream}]
    return Output(
        chunks=shown,
        next_offset=max(end, min(request.after, stored)),
        complete=(task.is_over or log.sealed) and end >= stored,
    )


def _awaited(task: Task, request: GetOutput) -> Log:
    """The log once there is something to answer. One small read a look: a log is sealed when its task is over."""
    log = logs.get(task.workflow_id)
    for pause in output.pauses(request.wait):
        if log.stored > request.after or log.sealed or task.is_over:
            break
        clock.sleep(pause)
        log = logs.get(task.workflow_id)
    return log


def _shown(piece: Piece) -> OutputPiece:
    data, encoding = text_or_base64(piece.data)
    return OutputPiece(offset=piece.offset, stream=piece.stream, data=data, encoding=encoding)
