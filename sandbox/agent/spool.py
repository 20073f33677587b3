"""A task's output between the command that writes it and the platform that stores it.

Sans-I/O: who reads pipes and who sends messages is not known here."""

from __future__ import annotations

from collections import deque
from itertools import islice

from agent.protocol import CHUNK_LIMIT, RUNS_LIMIT, TEXT_CHUNK_LIMIT, Chunk, Run, Stream

SPOOL_LIMIT = 256 * 1024
"""Bytes that wait in memory before reading stops, and so the command that writes them."""

_WAITING_RUNS_LIMIT = 16 * RUNS_LIMIT
"""Of runs that wait: with a change of stream at each byte, each takes a hundred bytes of memory, and a message holds no
more than RUNS_LIMIT of them."""
_WORTHWHILE = 16 * 1024
"""Bytes that make a chunk worth its price where the number of runs, not the size, fills it."""


class Spool:
    """What is not acknowledged yet: at most one chunk in flight, frozen, and what has gathered behind it, of which a
    full chunk may be frozen too."""

    def __init__(self, limit: int = SPOOL_LIMIT) -> None:
        self.written = 0
        self._limit = limit
        self._in_flight: Chunk | None = None
        self._next: Chunk | None = None
        self._gathered = bytearray()
        self._runs: deque[Run] = deque()

    def append(self, stream: Stream, data: bytes) -> None:
        self.written += len(data)
        self._gathered += data
        if self._runs and self._runs[-1].stream == stream:
            self._runs[-1] = Run(stream, self._runs[-1].length + len(data))
        else:
            self._runs.append(Run(stream, len(data)))

    @property
    def has_room(self) -> bool:
        return len(self._gathered) < self._limit and len(self._runs) < _WAITING_RUNS_LIMIT

    @property
    def is_empty(self) -> bool:
        """Whether all that was written is acknowledged."""
        return self._in_flight is None and self._next is None and not self._gathered

    @property
    def fills_a_chunk(self) -> bool:
        """Whether waiting longer could not make the next chunk better."""
        return self._next is not None or self._gathers_a_chunk

    @property
    def _gathers_a_chunk(self) -> bool:
        """Of whatever bytes; what is text takes some more."""
        size = len(self._gathered)
        return size >= CHUNK_LIMIT or (len(self._runs) >= RUNS_LIMIT and size >= _WORTHWHILE)

    def chunk(self) -> Chunk | None:
        """What to send now: the chunk in flight, byte for byte as it was, until all of it is acknowledged; only then
        the next. Gathering again for a resend would lose what had grown: its offset may be stored already."""
        if self._in_flight is None and (self._next or self._gathered):
            self._in_flight, self._next = self._next or self._gather(), None
        return self._in_flight

    def freeze_next(self) -> Chunk | None:
        """The chunk that is to follow the one in flight, if it is full and this was not said of it before."""
        if self._in_flight is None or self._next or len(self._gathered) < TEXT_CHUNK_LIMIT:
            return None
        self._next = self._gather()
        return self._next

    def acknowledge(self, stored: int) -> bool:
        """Takes the length of the platform's log, and says whether that is progress."""
        if self._in_flight is None or stored <= self._in_flight.offset:
            return False
        rest = self._in_flight.from_offset(min(stored, self._in_flight.end))
        self._in_flight = rest if rest.data else None
        return True

    def forget(self) -> None:
        """Drops what is not acknowledged, as if it had never been written."""
        self.written -= len(self._gathered) + sum(len(chunk.data) for chunk in (self._in_flight, self._next) if chunk)
        self._in_flight = self._next = None
        self._gathered.clear()
        self._runs.clear()

    def _gather(self) -> Chunk:
        chunk = self._cut(TEXT_CHUNK_LIMIT)
        if not chunk.fits_in_a_message:
            chunk = self._cut(CHUNK_LIMIT)
        del self._gathered[: len(chunk.data)]
        for run in chunk.runs:
            rest = self._runs[0].length - run.length
            if rest:
                self._runs[0] = Run(run.stream, rest)
            else:
                self._runs.popleft()
        return chunk

    def _cut(self, limit: int) -> Chunk:
        """What a chunk of at most `limit` bytes would be."""
        runs: list[Run] = []
        room = self._end_of_character(limit)
        for run in islice(self._runs, RUNS_LIMIT):
            taken = min(run.length, room)
            if not taken:
                break
            runs.append(Run(run.stream, taken))
            room -= taken
        with memoryview(self._gathered) as gathered:
            data = bytes(gathered[: sum(run.length for run in runs)])
        return Chunk(self.written - len(self._gathered), tuple(runs), data)

    def _end_of_character(self, limit: int) -> int:
        """`limit`, or less where that would cut a character in two, so that text stays text."""
        for end in range(limit, limit - 4, -1):
            if end >= len(self._gathered) or self._gathered[end] & 0xC0 != 0x80:
                return end
        return limit
