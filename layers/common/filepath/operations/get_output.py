from __future__ import annotations

from collections.abc import Iterable, Iterator
from itertools import islice
from typing import Annotated, Literal

from pydantic import Field, ValidationInfo, field_validator

from filepath import clock, output
from filepath.access import Scope
from filepath.aws import logs
from filepath.aws.logs import Log
from filepath.errors import InvalidRequest, NotFound
from filepath.operations.fields import WorkflowId
from filepath.operations.registry import Bytes, Context, Model, operation
from filepath.operations.views import own_task
from filepath.output import Piece
from filepath.protocol import Chunk, Stream, text_or_base64
from filepath.task import Task

_ENCODED_A_BYTE = 4
"""At most: three for text with escapes, and room for the rest."""
_ENCODED_A_PIECE = 300
"""Of which its own names and numbers take some 70; a command that writes to both streams in turn makes many."""
_READING_MS = 24_000
"""Of a call's 29 s, waiting included: many small chunks are more reads than fit, and the next answer goes on."""


class GetOutput(Model):
    workflow_id: WorkflowId
    after: Annotated[int, Field(ge=0, le=10**14 - 1)] = 0
    """A byte offset: what was read before is not sent again."""
    format: Literal["json", "raw"] = "json"
    """`raw`: the bytes as they were written, with where to go on in headers. Over REST, for a request with the header
    `Accept: application/octet-stream`."""
    limit: Annotated[int | None, Field(ge=1, le=output.MAX_RAW_READ)] = None
    """In bytes. `json`: at most 1 MiB, and 256 KiB unless given; `raw`: at most 4 MiB, and as much unless given."""
    stream: Stream | None = None
    wait: Annotated[int, Field(ge=0, le=output.LONGEST_WAIT)] = 0
    """Seconds to wait for more, where nothing is there behind `after` and the task is not over. For one command to
    follow; many are followed on the socket, which costs nothing while nothing happens."""

    @field_validator("limit")
    @classmethod
    def _fits_the_format(cls, limit: int | None, info: ValidationInfo) -> int | None:
        if limit is not None and limit > output.MAX_READ and info.data.get("format") != "raw":
            raise ValueError(f"Input should be less than or equal to {output.MAX_READ}, or format raw")
        return limit


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


class OutputAsBytes(Bytes):
    next_offset: int
    """Where to go on: the next request's `after`."""
    complete: bool
    """The task is over and this reads to the end of its output."""


@operation("GET", "/api/workflow/{workflowId}/output", scope=Scope.TASKS_READ, errors=(NotFound,))
def get_output(context: Context, request: GetOutput) -> Output | OutputAsBytes:
    """A task's output from any byte offset on, while it runs and for the retention time afterwards.

    Offsets count both streams together, in the order written; `limit` is in bytes. An answer may have less than it, and
    with `stream` nothing at all: `nextOffset` is where to go on, until it is `complete`.
    """
    if request.format == "raw" and not context.takes_bytes:
        raise InvalidRequest(
            "format: raw is for REST, and there with the header Accept: application/octet-stream. Send it so, or leave "
            "format out.",
            details={"field": "format"},
        )
    task = own_task(context.caller, request.workflow_id)
    log = _awaited(task, request)
    limit = _limit(context, request)
    end = min(log.stored, request.after + limit)
    stored = logs.read(task.workflow_id, request.after, end)
    chunks = _in_time(output.window(stored, request.after, limit), context.now)
    if request.format == "raw":
        read = list(chunks)
        next_offset, complete = _reached(task, log, request, read[-1].end if read else end)
        data = b"".join(output.of_stream(chunk, request.stream) for chunk in read)
        return OutputAsBytes(data=data, next_offset=next_offset, complete=complete)
    pieces = list(islice(output.pieces(chunks), context.largest_answer // _ENCODED_A_PIECE))
    next_offset, complete = _reached(task, log, request, pieces[-1].end if pieces else end)
    shown = [_shown(piece) for piece in pieces if request.stream in {None, piece.stream}]
    return Output(chunks=shown, next_offset=next_offset, complete=complete)


def _awaited(task: Task, request: GetOutput) -> Log:
    """The log once there is something to answer. One small read a look: a log is sealed when its task is over."""
    log = logs.get(task.workflow_id)
    for pause in output.pauses(request.wait):
        if log.stored > request.after or log.sealed or task.is_over:
            break
        clock.sleep(pause)
        log = logs.get(task.workflow_id)
    return log


def _limit(context: Context, request: GetOutput) -> int:
    if request.format == "raw":
        return request.limit or output.MAX_RAW_READ
    return min(request.limit or output.DEFAULT_READ, context.largest_answer // _ENCODED_A_BYTE)


def _in_time(chunks: Iterable[Chunk], began: int) -> Iterator[Chunk]:
    """One at least, and those that are read while there is time."""
    for chunk in chunks:
        yield chunk
        if clock.now_ms() - began > _READING_MS:
            return


def _reached(task: Task, log: Log, request: GetOutput, end: int) -> tuple[int, bool]:
    """Where to go on, and whether nothing more will be there."""
    return max(end, min(request.after, log.stored)), (task.is_over or log.sealed) and end >= log.stored


def _shown(piece: Piece) -> OutputPiece:
    data, encoding = text_or_base64(piece.data)
    return OutputPiece(offset=piece.offset, stream=piece.stream, data=data, encoding=encoding)
