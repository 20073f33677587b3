"""A task's output as callers read it: stretches of a stored log, cut to what was asked for. Pure.

The log itself is in `protocol` (what a chunk is) and in `aws.logs` (where it is stored).
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from filepath.protocol import Chunk, Run, Stream

INLINE_LIMIT = 8 * 1024
"""Bytes of a chunk that are kept in the table; larger ones go to S3, which costs a quarter per GB."""
DEFAULT_READ = 256 * 1024
MAX_READ = 1024 * 1024


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


def pieces(chunks: Iterable[Chunk], stream: Stream | None) -> Iterator[tuple[int, Stream, bytes]]:
    """(offset, stream, bytes) in order, of one stream or of both; neighbours of one stream are joined."""
    held: tuple[int, Stream, bytes] | None = None
    for chunk in chunks:
        for offset, name, data in chunk.pieces():
            if stream is not None and name != stream:
                continue
            if held and held[1] == name and held[0] + len(held[2]) == offset:
                held = (held[0], name, held[2] + data)
            else:
                if held:
                    yield held
                held = (offset, name, data)
    if held:
        yield held
