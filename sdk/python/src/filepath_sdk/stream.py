"""A task's story put in order: what the socket told, in whatever order, and what was read to fill the gaps.

Sans-I/O. The socket promises nothing: events overtake each other, come twice, or never. A task's output is
one log of bytes, so order comes from offsets: what is already there is dropped, what lies ahead is held until
the bytes before it are in, and bytes that stay away are read by offset. The clock is an argument, in seconds.

    stream.receive(event, now)      what the socket told
    stream.missed()                 the socket was away: what it would have told is unknown
    stream.wants(now)               "status" or "output" when a read is due, then:
    stream.read_status(status, now) / stream.read_output(page, now) / stream.read_failed(now)
    stream.wait(now)                for how long nothing is due, if nothing is received
    stream.take()                   the events that are in order now
"""

from __future__ import annotations

import codecs
from collections.abc import Mapping
from typing import Any, Literal

from filepath_sdk.models import (
    OutputEvent,
    OutputPage,
    Piece,
    ProgressEvent,
    StatusEvent,
    TaskEvent,
    TaskStatus,
)
from filepath_sdk.protocol import Stream

Want = Literal["status", "output"]

GAP_GRACE = 0.15
"""Messages that overtook each other are some milliseconds apart; what is missing after this is read."""
FIRST_QUIET, LONGEST_QUIET = 60.0, 480.0
"""Events are posted once, without a retry, so even the last one may be lost on a socket that is up. After
this long without one the task's status is asked for, then after twice as long, and so on."""
FIRST_PUT_OFF, LONGEST_PUT_OFF = 0.25, 5.0
HELD_LIMIT = 4 * 1024 * 1024
"""Bytes held ahead of a gap. What is beyond is dropped, and read when its turn comes."""

_RANKS = {"queued": 0, "awaiting_approval": 0, "running": 1}
_LAST_RANK = 2


class TaskStream:
    """One reader of one task, from byte `after` of its output on."""

    def __init__(self, now: float, after: int = 0) -> None:
        self.position = after
        self.end: TaskStatus | None = None
        self._ready: list[TaskEvent] = []
        self._ahead: dict[int, Piece] = {}
        self._decoders: dict[Stream, codecs.IncrementalDecoder] = {}
        self._rank, self._sequence = -1, -1
        self._progress: tuple[float | None, str | None] = (None, None)
        self._known_bytes = after
        """The log is known to reach at least this far."""
        self._log_is_read = False
        self._last_was_taken = False
        self._status_due = False
        self._output_due = False
        self._gap_since: float | None = None
        self._quiet = FIRST_QUIET
        self._heard = now
        self._put_off = 0.0
        self._not_before = now

    # Being told

    def receive(self, params: Mapping[str, Any], now: float) -> None:
        """Take the params of a `progress` notification about this task."""
        self._heard, self._quiet = now, FIRST_QUIET
        kind = params.get("type")
        if kind == "output":
            self._receive_output(params, now)
        elif kind == "status":
            self._receive_status(params)
        self._mind_the_gap(now)

    def _receive_output(self, params: Mapping[str, Any], now: float) -> None:
        if "data" in params:
            self._accept(Piece.of(params))
            return
        # Too much for a message: it tells only where its bytes are.
        end = params["offset"] + params.get("bytes", 1)
        if end > self._known_bytes:
            self._known_bytes = end
            self._gap_since = now - GAP_GRACE

    def _receive_status(self, params: Mapping[str, Any]) -> None:
        """Of a task that is not over, only the newest says anything: `seq` orders them."""
        status = TaskStatus.of(params)
        sequence = params.get("seq", self._sequence)
        if status.over and not {"outputBytes", "creditsCharged"} <= params.keys():
            self._status_due = self.end is None
        elif status.over or sequence >= self._sequence:
            self._sequence = sequence
            self._set_status(status)

    def missed(self) -> None:
        """Something may have been told that did not arrive: status and output are to be read once."""
        self._status_due = self.end is None
        self._output_due = True

    # Being answered

    def read_status(self, status: TaskStatus, now: float) -> None:
        self._answered(now)
        self._status_due = False
        self._set_status(status)
        self._mind_the_gap(now)

    def read_output(self, page: OutputPage, now: float) -> None:
        self._answered(now)
        before = self.position
        for piece in page.pieces:
            self._accept(piece)
        if page.complete and page.next_offset <= self.position:
            self._log_is_read = True
            self._status_due = self._status_due or self.end is None
        if self.position > before:
            self._put_off = 0.0
        else:
            self._output_due = False
            if self._has_gap():  # known to be there, and not given yet
                self._put_it_off(now)
        self._mind_the_gap(now)

    def read_failed(self, now: float) -> None:
        """The read that was due did not succeed; it stays due, but not at once."""
        self._put_it_off(now)

    def _answered(self, now: float) -> None:
        self._heard, self._not_before = now, now

    def _put_it_off(self, now: float) -> None:
        self._put_off = min(LONGEST_PUT_OFF, self._put_off * 2 or FIRST_PUT_OFF)
        self._not_before = now + self._put_off

    # What is due

    def wants(self, now: float) -> Want | None:
        """The read that is due now. It is asked for again until it is answered or has failed."""
        if self.done or now < self._not_before:
            return None
        if now >= self._heard + self._quiet and not self._is_read_due(now):
            self._quiet = min(LONGEST_QUIET, self._quiet * 2)
            self.missed()
        if self._status_due:
            return "status"
        return "output" if self._is_read_due(now) else None

    def wait(self, now: float) -> float:
        if self._is_read_due(now):
            return max(0.0, self._not_before - now)
        due = self._heard + self._quiet
        if self._gap_since is not None:
            due = min(due, self._gap_since + GAP_GRACE)
        return max(0.0, due - now, self._not_before - now)

    def _is_read_due(self, now: float) -> bool:
        gap_is_old = self._gap_since is not None and now >= self._gap_since + GAP_GRACE
        return self._status_due or self._output_due or gap_is_old

    @property
    def done(self) -> bool:
        """The task is over and all of its output is in order."""
        return self.end is not None and not self._has_gap()

    def _has_gap(self) -> bool:
        if self._log_is_read:
            return False
        if self.end is not None and self.end.output_bytes is None:
            return True  # how much there is, only reading to the end tells
        return self.position < self._known_bytes

    def _mind_the_gap(self, now: float) -> None:
        if not self._has_gap():
            self._gap_since = None
        elif self._gap_since is None:
            self._gap_since = now

    # What is in order

    def take(self) -> list[TaskEvent]:
        """The events that are in order and not yet taken. The terminal status is last, after all output."""
        if self.done and not self._last_was_taken and self.end is not None:
            self._last_was_taken = True
            self._flush_text()
            self._ready.append(StatusEvent(self.end))
        taken, self._ready = self._ready, []
        return taken

    def _accept(self, piece: Piece) -> None:
        self._known_bytes = max(self._known_bytes, piece.offset + len(piece.data))
        if piece.offset > self.position:
            self._hold(piece)
            return
        self._append(piece)
        while (held := self._next_held()) is not None:
            self._append(held)

    def _append(self, piece: Piece) -> None:
        new = piece.data[self.position - piece.offset :]
        if new:
            text = self._decoder(piece.stream).decode(new)
            self._ready.append(OutputEvent(self.position, piece.stream, new, text))
            self.position += len(new)
            self._gap_since = None

    def _hold(self, piece: Piece) -> None:
        known = self._ahead.get(piece.offset)
        if known is None or len(known.data) < len(piece.data):
            self._ahead[piece.offset] = piece
        while sum(len(held.data) for held in self._ahead.values()) > HELD_LIMIT:
            del self._ahead[max(self._ahead)]

    def _next_held(self) -> Piece | None:
        offset = min(self._ahead, default=None)
        if offset is None or offset > self.position:
            return None
        return self._ahead.pop(offset)

    def _decoder(self, stream: Stream) -> codecs.IncrementalDecoder:
        if stream not in self._decoders:
            self._decoders[stream] = codecs.getincrementaldecoder("utf-8")(errors="replace")
        return self._decoders[stream]

    def _flush_text(self) -> None:
        """A character that was begun and never ended still shows."""
        streams: tuple[Stream, ...] = ("stdout", "stderr")
        for stream in streams:
            if stream in self._decoders and (rest := self._decoders[stream].decode(b"", final=True)):
                self._ready.append(OutputEvent(self.position, stream, b"", rest))

    def _set_progress(self, percent: float | None, message: str | None) -> None:
        progress = (percent, message)
        if progress not in ((None, None), self._progress):
            self._progress = progress
            self._ready.append(ProgressEvent(percent, message))

    def _set_status(self, status: TaskStatus) -> None:
        if self.end is None and not status.over:
            self._set_progress(status.progress, status.message)
        rank = _LAST_RANK if status.over else _RANKS.get(status.status, 1)
        if rank <= self._rank:
            return
        self._rank = rank
        if status.over:
            self.end = status
            self._known_bytes = max(self._known_bytes, status.output_bytes or 0)
        else:
            self._ready.append(StatusEvent(status))
