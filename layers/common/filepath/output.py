"""A task's output as callers read it: stretches of a stored log, cut to what was asked for. Pure.

The log itself is in `protocol` (what a chunk is) and in `aws.logs` (where it is stored).
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from filepath.protocol import Chunk, Run, Stream

INLINE_LIMIT = 8 * 1024
"""Bytes of a chunk that are kept in the table; larger ones go to S3, which costs a quarter per GB."""
DEFAULT_READ = 256 * 1024
MAX_READ = 1024 * 1024
MAX_RAW_READ = 4 * 1024 * 1024
"""Bytes of an answer that is bytes: 5.6 MB as base64, which is how they leave Lambda, and Lambda takes 6 MB."""

LONGEST_WAIT = 20
"""Seconds; API Gateway gives a call 29."""


def pauses(seconds: int) -> Iterator[float]:
    """Between looks at a log for whoever waits for more of it: short at first, for what comes at once, and then a
    second, since each is a read that costs; all together as long as said."""
    left, pause = float(seconds), 0.1
    while left > 0:
        yield min(pause, left)
        left, pause = left - pause, min(2 * pause, 1.0)


def of_stream(chunk: Chunk, stream: Stream | None) -> bytes:
    """The bytes that were written to `stream`, or to either."""
    if stream is None:
        return chunk.data
    return b"".join(data for _, written_to, data in chunk.pieces() if written_to == stream)


def until(chunk: Chunk, end: int) -> Chunk:
    """The part of `chunk` before the log's offset `end`."""
    length = max(0, end - chunk.offset)
    if length >= len(chunk.data):
        return chunk
    runs, passed = [], 0
    for run in chunk.runs:
        kept = min(run.length, length - passed)
        if kept > 0:
            runs.append(Run(run.stream, kept))
        passed += run.length
    return Chunk(chunk.offset, tuple(runs), chunk.data[:length])


def window(chunks: Iterable[Chunk], after: int, limit: int) -> Iterator[Chunk]:
    """At most `limit` bytes of the log from offset `after` on, out of consecutive chunks."""
    for chunk in chunks:
        part = until(chunk.from_offset(after), after + limit)
        if part.data:
            yield part


@dataclass(frozen=True)
class Piece:
    """Consecutive bytes of one stream."""

    offset: int
    stream: Stream
    data: bytes

    @property
    def end(self) -> int:
        return self.offset + len(self.data)


def pieces(chunks: Iterable[Chunk]) -> Iterator[Piece]:
    """The chunks' bytes in order; neighbours of one stream are joined."""
    held: list[Piece] = []
    for piece in (Piece(*run) for chunk in chunks for run in chunk.pieces()):
        if held and (held[-1].stream, held[-1].end) != (piece.stream, piece.offset):
            yield _joined(held)
            held = []
        held.append(piece)
    if held:
        yield _joined(held)


def _joined(neighbours: list[Piece]) -> Piece:
    """At once: to add them one by one copies all that is there each time, and there may be tens of thousands."""
    return Piece(neighbours[0].offset, neighbours[0].stream, b"".join(each.data for each in neighbours))
