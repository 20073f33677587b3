"""The reassembler, without a socket or a clock: whatever the network does, each byte comes once, in place."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from filepath_sdk.models import (
    OutputEvent,
    OutputPage,
    Piece,
    ProgressEvent,
    StatusEvent,
    TaskEvent,
    TaskStatus,
)
from filepath_sdk.protocol import Stream, text_or_base64
from filepath_sdk.stream import FIRST_QUIET, GAP_GRACE, HELD_LIMIT, TaskStream

Written = Sequence[tuple[Stream, bytes]]

_streams: st.SearchStrategy[Stream] = st.sampled_from(["stdout", "stderr"])
# Text with characters of several bytes beside bytes that are no text, so that cuts fall within characters.
_bytes = st.one_of(st.binary(min_size=1, max_size=12), st.text("aé€😀\n", min_size=1).map(str.encode))
_written = st.lists(st.tuples(_streams, _bytes), max_size=12)


def output_event(offset: int, stream: Stream, data: bytes) -> dict[str, Any]:
    text, encoding = text_or_base64(data)
    return {"type": "output", "offset": offset, "stream": stream, "data": text, "encoding": encoding}


def end_of(size: int, **fields: Any) -> dict[str, Any]:
    known = {
        "workflowId": "wf_1",
        "status": "completed",
        "exitCode": 0,
        "outputBytes": size,
        "creditsCharged": 1,
    }
    return {"type": "status", **known, **fields}


class Log:
    """What was written, as the platform would tell it and give it to read."""

    def __init__(self, written: Written) -> None:
        self.pieces: list[Piece] = []
        self.size = 0
        for stream, data in written:
            self.pieces.append(Piece(self.size, stream, data))
            self.size += len(data)

    def events(self) -> list[dict[str, Any]]:
        return [output_event(one.offset, one.stream, one.data) for one in self.pieces]

    def page(self, after: int, limit: int) -> OutputPage:
        cut = []
        for one in self.pieces:
            data = one.data[max(0, after - one.offset) : max(0, after + limit - one.offset)]
            if data:
                cut.append(Piece(max(one.offset, after), one.stream, data))
        end = min(self.size, after + limit)
        return OutputPage(tuple(cut), end, end == self.size)

    def bytes_of(self, stream: Stream) -> bytes:
        return b"".join(one.data for one in self.pieces if one.stream == stream)


def bytes_of(events: list[TaskEvent], stream: Stream) -> bytes:
    return b"".join(one.data for one in events if isinstance(one, OutputEvent) and one.stream == stream)


def finish(stream: TaskStream, log: Log, limit: int, now: float) -> list[TaskEvent]:
    """Go on without the socket, as a client would: wait for what is due, and read it."""
    taken = stream.take()
    for _ in range(200):
        if stream.done:
            return taken
        now += stream.wait(now)
        match stream.wants(now):
            case "status":
                stream.read_status(TaskStatus.of(end_of(log.size)), now)
            case "output":
                stream.read_output(log.page(stream.position, limit), now)
            case None:
                pass
        taken += stream.take()
    raise AssertionError("the stream does not come to its end")


@given(_written, st.data(), st.integers(1, 20))
def test_any_order_with_doubles_and_losses_gives_every_byte_once(
    written: Written, data: st.DataObject, limit: int
) -> None:
    log = Log(written)
    told = [*log.events(), end_of(log.size)]
    arriving = data.draw(st.lists(st.sampled_from(told), max_size=2 * len(told)))
    stream, now, taken = TaskStream(0.0), 0.0, list[TaskEvent]()
    for event in arriving:
        now += data.draw(st.sampled_from([0.0, GAP_GRACE / 2, GAP_GRACE * 2]))
        stream.receive(event, now)
        taken += stream.take()
        if stream.wants(now) == "output":
            stream.read_output(log.page(stream.position, limit), now)
    taken += finish(stream, log, limit, now)

    assert bytes_of(taken, "stdout") == log.bytes_of("stdout")
    assert bytes_of(taken, "stderr") == log.bytes_of("stderr")
    offsets = [one.offset for one in taken if isinstance(one, OutputEvent) and one.data]
    assert offsets == sorted(set(offsets))
    assert isinstance(taken[-1], StatusEvent)
    assert taken[-1].status.status == "completed"


@given(_written, st.integers(0, 40))
def test_the_texts_joined_are_the_bytes_decoded(written: Written, limit: int) -> None:
    log = Log(written)
    stream = TaskStream(0.0)
    stream.missed()
    taken = finish(stream, log, limit + 1, 0.0)
    for name in ("stdout", "stderr"):
        texts = [one.text for one in taken if isinstance(one, OutputEvent) and one.stream == name]
        assert "".join(texts) == log.bytes_of(name).decode(errors="replace")


@given(_written, st.data())
def test_a_reader_who_comes_back_gets_the_rest(written: Written, data: st.DataObject) -> None:
    log = Log(written)
    after = data.draw(st.integers(0, log.size))
    stream = TaskStream(0.0, after)
    stream.missed()
    taken = finish(stream, log, 7, 0.0)
    whole = b"".join(one.data for one in log.pieces)
    assert b"".join(one.data for one in taken if isinstance(one, OutputEvent)) == whole[after:]


def test_events_in_order_need_no_read() -> None:
    log = Log([("stdout", b"one"), ("stderr", b"two")])
    stream = TaskStream(0.0)
    for event in [*log.events(), end_of(6)]:
        stream.receive(event, 1.0)
        assert stream.wants(1.0) is None
    assert stream.done


def test_an_overtaken_event_is_waited_for_before_it_is_read() -> None:
    first, second = Log([("stdout", b"one"), ("stdout", b"two")]).events()
    stream = TaskStream(0.0)
    stream.receive(second, 1.0)
    assert stream.wants(1.0 + GAP_GRACE / 2) is None
    assert stream.wait(1.0) == pytest.approx(GAP_GRACE)
    assert stream.wants(1.0 + GAP_GRACE) == "output"
    stream.receive(first, 1.0 + GAP_GRACE)
    assert stream.wants(1.0 + GAP_GRACE) is None
    assert [one.data for one in stream.take() if isinstance(one, OutputEvent)] == [b"one", b"two"]


def test_an_event_too_large_for_its_data_is_read_at_once() -> None:
    stream = TaskStream(0.0)
    stream.receive({"type": "output", "offset": 0, "bytes": 50_000}, 1.0)
    assert stream.wants(1.0) == "output"
    stream.read_output(OutputPage((Piece(0, "stdout", b"x" * 50_000),), 50_000, complete=False), 1.0)
    assert stream.wants(1.0) is None
    assert len(bytes_of(stream.take(), "stdout")) == 50_000


def test_the_end_is_shown_only_when_every_byte_is_in() -> None:
    stream = TaskStream(0.0)
    stream.receive(end_of(3), 1.0)
    assert stream.take() == []
    stream.receive(output_event(0, "stdout", b"abc"), 1.01)
    assert stream.done
    assert [type(one) for one in stream.take()] == [OutputEvent, StatusEvent]


def test_a_read_that_comes_back_without_the_missing_bytes_is_repeated_with_growing_pauses() -> None:
    stream = TaskStream(0.0)
    stream.receive(end_of(3), 0.0)
    now, pauses = GAP_GRACE, list[float]()
    for _ in range(4):
        assert stream.wants(now) == "output"
        stream.read_output(OutputPage((), 0, complete=False), now)
        pauses.append(stream.wait(now))
        now += pauses[-1]
    assert pauses == pytest.approx([0.25, 0.5, 1.0, 2.0])


def test_an_end_without_the_charge_is_completed_by_one_status_read() -> None:
    stream = TaskStream(0.0)
    end = end_of(0)
    del end["creditsCharged"]
    stream.receive(end, 0.0)
    assert stream.wants(0.0) == "status"
    stream.read_status(TaskStatus.of(end_of(0, creditsCharged=2)), 0.0)
    assert stream.done
    assert stream.end is not None
    assert stream.end.credits_charged == 2


def test_a_lost_last_event_is_found_out_after_a_quiet_time_that_grows() -> None:
    stream = TaskStream(0.0)
    assert stream.wait(0.0) == FIRST_QUIET
    assert stream.wants(FIRST_QUIET - 1) is None
    assert stream.wants(FIRST_QUIET) == "status"
    stream.read_status(TaskStatus("wf_1", None, "running"), FIRST_QUIET)
    assert stream.wants(FIRST_QUIET) == "output"
    stream.read_output(OutputPage((), 0, complete=False), FIRST_QUIET)
    assert stream.wants(2 * FIRST_QUIET) is None
    assert stream.wait(FIRST_QUIET) == 2 * FIRST_QUIET


def test_a_running_that_comes_after_the_end_is_dropped() -> None:
    stream = TaskStream(0.0)
    stream.receive(end_of(0), 0.0)
    stream.receive({"type": "status", "workflowId": "wf_1", "status": "running"}, 0.0)
    assert [one.status.status for one in stream.take() if isinstance(one, StatusEvent)] == ["completed"]


def test_progress_that_was_overtaken_is_dropped() -> None:
    stream = TaskStream(0.0)
    for sequence, percent in ((1, 10), (3, 30), (2, 20), (3, 30)):
        told = {"type": "status", "workflowId": "wf_1", "status": "running", "seq": sequence, "progress": percent}
        stream.receive(told, 0.0)
    assert [one.percent for one in stream.take() if isinstance(one, ProgressEvent)] == [10, 30]


def test_what_lies_far_ahead_of_a_gap_is_not_kept_but_read_later() -> None:
    block = 1024 * 1024
    log = Log([("stdout", bytes([number]) * block) for number in range(1 + 2 * HELD_LIMIT // block)])
    stream = TaskStream(0.0)
    for event in [*log.events()[1:], end_of(log.size)]:
        stream.receive(event, 0.0)
    assert sum(len(one.data) for one in stream._ahead.values()) <= HELD_LIMIT
    assert bytes_of(finish(stream, log, block, 0.0), "stdout") == log.bytes_of("stdout")
