"""The spool and the pace, without any process or socket: whatever is lost, doubled or late, the log is exact."""

from __future__ import annotations

import tracemalloc
from collections.abc import Iterable
from itertools import cycle
from typing import get_args

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent.pacing import CAPACITY, Bucket
from agent.protocol import (
    CHUNK_LIMIT,
    MESSAGE_LIMIT,
    RUNS_LIMIT,
    TEXT_CHUNK_LIMIT,
    Chunk,
    Stream,
    chunk_of,
    chunk_params,
    encoded_chunk_params,
    encoded_request,
)
from agent.spool import SPOOL_LIMIT, Spool
from tests.agent.platform_peer import Log

STREAMS: st.SearchStrategy[Stream] = st.sampled_from(["stdout", "stderr"])
WRITES = st.tuples(STREAMS, st.binary(min_size=1, max_size=40) | st.integers(1, 200_000).map(lambda n: b"x" * n))
FATES = st.sampled_from(
    [
        "the next is made ready",
        "arrives",
        "loses its answer",
        "is lost",
        "is put but not counted",
        "is overtaken by an old copy",
    ]
)


class Way:
    """Between a spool and a log."""

    def __init__(self) -> None:
        self.spool, self.log = Spool(), Log()
        self._copies: list[Chunk] = []

    def send(self, fate: str) -> None:
        if fate == "the next is made ready":
            self.spool.freeze_next()
            return
        chunk = self.spool.chunk()
        if chunk is None:
            return
        self._copies.append(chunk_of(chunk_params("wf_a", chunk)))
        match fate:
            case "arrives":
                self.log.store(self._copies[-1])
                self.spool.acknowledge(self.log.stored)
            case "loses its answer":
                self.log.store(self._copies[-1])
            case "is put but not counted":
                self.log.put(self._copies[-1])
            case "is overtaken by an old copy":
                self.log.store(self._copies[0])


def _joined(runs: Iterable[tuple[str, int]]) -> list[tuple[str, int]]:
    joined: list[tuple[str, int]] = []
    for stream, length in runs:
        if joined and joined[-1][0] == stream:
            joined[-1] = (stream, joined[-1][1] + length)
        else:
            joined.append((stream, length))
    return joined


@given(st.lists(WRITES | FATES))
def test_any_order_of_writes_losses_and_resends_gives_the_exact_log(steps: list[tuple[Stream, bytes] | str]) -> None:
    way = Way()
    written = [step for step in steps if isinstance(step, tuple)]
    for step in steps:
        if isinstance(step, tuple):
            way.spool.append(*step)
        else:
            way.send(step)
    while not way.spool.is_empty:
        way.send("arrives")
    assert way.log.data == b"".join(data for _, data in written)
    assert _joined(way.log.runs) == _joined((stream, len(data)) for stream, data in written)
    assert way.spool.written == way.log.stored


@given(st.lists(WRITES, min_size=1))
def test_a_resend_is_the_same_whatever_was_written_meanwhile(writes: list[tuple[Stream, bytes]]) -> None:
    spool = Spool()
    spool.append("stdout", b"first")
    frozen = spool.chunk()
    for write in writes:
        spool.append(*write)
        assert spool.chunk() is frozen


@given(st.lists(WRITES))
def test_no_chunk_is_over_the_limits_of_a_message(writes: list[tuple[Stream, bytes]]) -> None:
    spool = Spool()
    for write in writes:
        spool.append(*write)
        spool.freeze_next()
    while chunk := spool.chunk():
        spool.freeze_next()
        assert len(encoded_request(10**9, "output", encoded_chunk_params("wf_a", chunk))) <= MESSAGE_LIMIT
        assert chunk_of(chunk_params("wf_a", chunk)) == chunk
        assert len(chunk.runs) <= RUNS_LIMIT
        spool.acknowledge(chunk.end)


@given(st.integers(0, 200), st.integers(0, 200))
def test_delivery_goes_on_from_what_is_stored(before: int, stored: int) -> None:
    spool = Spool()
    if before:
        spool.append("stdout", bytes(before))
        spool.chunk()
        spool.acknowledge(before)
    data = bytes(range(100))
    spool.append("stderr", data)
    spool.chunk()
    spool.acknowledge(before + stored)
    rest = spool.chunk()
    assert (rest.data if rest else b"") == data[stored:]
    assert rest is None or rest.offset == before + stored


def test_output_that_changes_its_stream_at_each_byte_waits_in_little_memory_and_goes_out_in_few_messages() -> None:
    spool = Spool()
    tracemalloc.start()
    for stream in cycle(get_args(Stream)):
        if not spool.has_room:
            break
        spool.append(stream, b"x")
    memory, _ = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert memory < 4 * SPOOL_LIMIT
    messages = 0
    while chunk := spool.chunk():
        spool.acknowledge(chunk.end)
        messages += 1
        assert spool.has_room
    assert messages <= 16


def test_a_full_spool_says_so_and_has_room_again_when_some_is_gathered() -> None:
    spool = Spool()
    spool.append("stdout", bytes(SPOOL_LIMIT - 1))
    assert spool.has_room
    spool.append("stdout", b"1")
    full = not spool.has_room
    spool.chunk()
    assert full
    assert spool.has_room


def test_a_chunk_full_of_lines_that_alternate_counts_as_full() -> None:
    spool = Spool()
    for n in range(RUNS_LIMIT):
        assert not spool.fills_a_chunk
        spool.append("stderr" if n % 2 else "stdout", b"a line of some eighty characters, as compilers write them" * 2)
    assert spool.fills_a_chunk


# Pace


def test_a_command_that_prints_now_and_then_is_never_delayed() -> None:
    bucket = Bucket(now=0)
    for second in range(1000):
        assert bucket.delay(second) == 0
        bucket.take(second)


def test_a_burst_goes_out_at_once_and_then_two_a_second() -> None:
    bucket, now, sent_at = Bucket(now=0), 0.0, []
    for _ in range(CAPACITY + 20):
        now += bucket.delay(now)
        bucket.take(now)
        sent_at.append(now)
    assert sent_at[CAPACITY - 1] == 0
    assert sent_at[-1] == 20 / 2


def test_nobody_watching_slows_it_further() -> None:
    bucket = Bucket(now=0)
    for _ in range(CAPACITY):
        bucket.take(0)
    assert bucket.delay(0) == 0.5
    bucket.watched = False
    assert bucket.delay(0) == 2


def test_a_full_chunk_behind_the_one_in_flight_is_made_ready_once() -> None:
    spool = Spool()
    spool.append("stdout", b"a" * TEXT_CHUNK_LIMIT)
    assert spool.freeze_next() is None
    first = spool.chunk()
    assert first
    spool.append("stdout", b"b" * (TEXT_CHUNK_LIMIT - 1))
    assert spool.freeze_next() is None
    spool.append("stdout", b"bc")
    second = spool.freeze_next()
    assert spool.freeze_next() is None
    assert spool.fills_a_chunk
    spool.acknowledge(first.end)
    assert spool.chunk() is second
    spool.forget()
    assert spool.is_empty
    assert spool.written == TEXT_CHUNK_LIMIT


@pytest.mark.parametrize("piece", [b"\xff", b"\0", b"\n", b'"'])
def test_a_chunk_of_what_is_not_plain_text_is_smaller(piece: bytes) -> None:
    spool = Spool()
    spool.append("stdout", piece * TEXT_CHUNK_LIMIT)
    chunk = spool.chunk()
    assert chunk
    assert len(chunk.data) == CHUNK_LIMIT


@pytest.mark.parametrize("lead", range(4))
def test_a_full_chunk_ends_with_a_whole_character(lead: int) -> None:
    spool = Spool()
    spool.append("stdout", b"a" * (TEXT_CHUNK_LIMIT - lead) + "𝄞".encode() * 9)
    chunk = spool.chunk()
    assert chunk
    assert chunk.data == b"a" * (TEXT_CHUNK_LIMIT - lead)
