"""The stored log: any chunks in, any stretch out, and nothing that was not acknowledged."""

from __future__ import annotations

import random

import pytest
from botocore.exceptions import ClientError

from filepath import ids, output
from filepath.aws import clients, keys, logs, table
from filepath.aws.logs import Log
from filepath.aws.table import Put, Update
from filepath.protocol import Chunk, Run
from tests.aws.people import Platform
from tests.aws.wire import Wire

WORKFLOW = ids.task_id(ids.session_id(0, b"a"), 0, b"b")
NOW = 1_800_000_000_000


@pytest.fixture(autouse=True)
def stack(platform: Platform) -> Platform:
    return platform


def chunk(offset: int, data: bytes) -> Chunk:
    half = len(data) // 2
    runs = (Run("stdout", half), Run("stderr", len(data) - half)) if half else (Run("stdout", len(data)),)
    return Chunk(offset, runs, data)


def read(after: int, stored: int) -> bytes:
    return b"".join(part.data for part in output.window(logs.read(WORKFLOW, after, stored), after, stored))


def test_a_log_that_was_never_written_is_empty() -> None:
    assert logs.get(WORKFLOW) == Log(0, sealed=False)
    assert read(0, 0) == b""


def test_any_stretch_of_a_log_is_read_back_from_table_and_bucket_alike() -> None:
    dice, data = random.Random(7), b""  # noqa: S311 - the same sizes at every run
    while len(data) < 60_000:
        piece = dice.randbytes(dice.choice((1, 10, 2000, output.INLINE_LIMIT, output.INLINE_LIMIT + 1)))
        assert logs.append(WORKFLOW, chunk(len(data), piece), NOW).stored == len(data) + len(piece)
        data += piece
    assert clients.s3().list_objects_v2(Bucket="filepath-objects")["KeyCount"] > 0
    for _ in range(25):
        after, stored = sorted((dice.randrange(len(data)), dice.randrange(len(data) + 1)))
        assert read(after, stored) == data[after:stored]
    assert read(0, len(data)) == data


def test_a_log_of_more_chunks_than_a_page_holds_is_read_to_its_end() -> None:
    for offset in range(150):
        logs.append(WORKFLOW, chunk(offset, bytes([offset])), NOW)
    assert read(0, 150) == bytes(range(150))
    assert read(64, 150) == bytes(range(64, 150))


@pytest.mark.parametrize("size", [10, output.INLINE_LIMIT + 10])
def test_a_chunk_sent_again_changes_nothing_and_is_answered_with_the_logs_length(size: int) -> None:
    first, second = chunk(0, b"a" * size), chunk(size, b"b" * size)
    assert logs.append(WORKFLOW, first, NOW).stored == size
    assert logs.append(WORKFLOW, first, NOW).stored == size
    assert logs.append(WORKFLOW, second, NOW).stored == 2 * size
    assert logs.append(WORKFLOW, first, NOW).stored == 2 * size
    assert read(0, 2 * size) == b"a" * size + b"b" * size


def test_a_chunk_beyond_a_gap_is_not_counted_and_its_sender_is_told_where_to_go_on() -> None:
    logs.append(WORKFLOW, chunk(0, b"abc"), NOW)
    assert logs.append(WORKFLOW, chunk(5, b"fgh"), NOW).stored == 3
    assert read(0, 3) == b"abc"
    logs.append(WORKFLOW, chunk(3, b"de"), NOW)
    assert logs.append(WORKFLOW, chunk(5, b"fgh"), NOW).stored == 8
    assert read(0, 8) == b"abcdefgh"


def test_a_chunk_put_but_not_counted_is_not_read_until_it_is_sent_again() -> None:
    """Its sender was cut off between the two writes."""
    logs.append(WORKFLOW, chunk(0, b"abc"), NOW)
    cut = {**keys.chunk(WORKFLOW, 3), "offset": 3, "runs": [["stdout", 3]], "data": b"def"}
    table.put(Put(cut))
    assert logs.get(WORKFLOW).stored == 3
    assert read(0, logs.get(WORKFLOW).stored) == b"abc"
    assert logs.append(WORKFLOW, Chunk(3, (Run("stdout", 3),), b"def"), NOW).stored == 6
    assert read(0, 6) == b"abcdef"


@pytest.mark.parametrize("first", [3, output.INLINE_LIMIT + 3, 2 * output.INLINE_LIMIT + 9])
def test_a_chunk_that_was_put_cut_elsewhere_counts_as_far_as_both_go(wire: Wire, first: int) -> None:
    """Its sender was cut off between the two writes, and the limit of a task's output was changed before the resend."""
    whole = bytes(number % 251 for number in range(2 * output.INLINE_LIMIT + 6))
    data = whole if first < len(whole) else whole + b"beyond"
    wire.refuse("UpdateItem", "InternalServerError", 500, times=4)
    with pytest.raises(ClientError):
        logs.append(WORKFLOW, chunk(0, data[:first]), NOW)
    stored = logs.append(WORKFLOW, chunk(0, whole), NOW).stored
    assert stored == min(first, len(whole))
    assert read(0, stored) == whole[:stored]
    if stored < len(whole):
        assert logs.append(WORKFLOW, chunk(0, whole).from_offset(stored), NOW).stored == len(whole)
    assert read(0, len(whole)) == whole


def test_a_sealed_log_takes_nothing() -> None:
    logs.append(WORKFLOW, chunk(0, b"abc"), NOW)
    table.update(Update(keys.log(WORKFLOW), set={"sealed": True}))
    assert logs.append(WORKFLOW, chunk(3, b"def"), NOW) == Log(3, sealed=True)
    assert read(0, logs.get(WORKFLOW).stored) == b"abc"


def test_a_log_that_was_sealed_empty_takes_nothing() -> None:
    table.update(Update(keys.log(WORKFLOW), set={"sealed": True}))
    assert logs.append(WORKFLOW, chunk(0, b"abc"), NOW) == Log(0, sealed=True)
