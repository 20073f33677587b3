"""What clients are told: in one frame each, and never more than can be read again."""

import base64
import json
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from filepath import events
from filepath.protocol import EVENT_LIMIT, Chunk, Run, bytes_of
from tests.unit.test_session import READY
from tests.unit.test_task import NOW, RUNNING

IDS = ("wf_" + "0" * 32, "ses_" + "0" * 20)


def told(chunk: Chunk) -> list[dict[str, Any]]:
    messages = list(events.output(IDS, chunk, NOW))
    assert all(len(message.encode()) <= EVENT_LIMIT for message in messages)
    parsed = [json.loads(message) for message in messages]
    assert all(message["jsonrpc"] == "2.0" and message["method"] == "progress" for message in parsed)
    return [message["params"] for message in parsed]


PIECES = st.tuples(st.sampled_from(("stdout", "stderr")), st.binary(min_size=1, max_size=30))


@given(st.integers(0, 10**9), st.lists(PIECES, min_size=1, max_size=8))
def test_a_chunk_is_told_piece_by_piece_with_offset_and_stream(offset: int, runs: list[tuple[Any, bytes]]) -> None:
    chunk = Chunk(offset, tuple(Run(s, len(data)) for s, data in runs), b"".join(data for _, data in runs))
    pieces = told(chunk)
    assert [piece["stream"] for piece in pieces] == [stream for stream, _ in runs]
    assert b"".join(bytes_of(piece["data"], piece["encoding"]) for piece in pieces) == chunk.data
    assert [piece["offset"] for piece in pieces] == [place for place, _, _ in chunk.pieces()]
    assert {(piece["workflowId"], piece["sessionId"], piece["type"]) for piece in pieces} == {(*IDS, "output")}


@pytest.mark.parametrize("filler", [b"a", b'"', b"\x00", b"\xff", "é".encode()])
@pytest.mark.parametrize("size", [EVENT_LIMIT // 6, EVENT_LIMIT - 200, EVENT_LIMIT, 88 * 1024])
def test_an_event_that_would_be_too_large_goes_out_without_its_data(filler: bytes, size: int) -> None:
    """Counted encoded: an escape costs up to six bytes."""
    data = (filler * size)[: size - size % len(filler)]
    (event,) = told(Chunk(7, (Run("stdout", len(data)),), data))
    assert (event["offset"], event["bytes"]) == (7, len(data))
    if "data" in event:
        assert bytes_of(event["data"], event["encoding"]) == data


def test_a_chunk_that_changes_streams_often_is_told_once_without_data() -> None:
    runs = tuple(Run("stderr" if place % 2 else "stdout", 1) for place in range(9))
    (event,) = told(Chunk(0, runs, b"x" * 9))
    assert event["bytes"] == 9
    assert "data" not in event


def test_bytes_that_are_no_text_are_told_in_base64() -> None:
    (event,) = told(Chunk(0, (Run("stdout", 2),), b"\xff\xfe"))
    assert (event["encoding"], base64.b64decode(event["data"])) == ("base64", b"\xff\xfe")


def test_a_tasks_event_tells_its_status_and_only_what_is_known() -> None:
    running = json.loads(events.task_changed(replace(RUNNING, progress=45, message="Building"), NOW))["params"]
    assert (running["type"], running["status"], running["progress"], running["message"], running["seq"]) == (
        "status",
        "running",
        45,
        "Building",
        NOW,
    )
    assert not {"exitCode", "signal", "creditsCharged", "outputBytes"} & set(running)


def test_a_task_that_ended_with_nothing_but_zeroes_tells_the_zeroes() -> None:
    over = json.loads(events.task_changed(replace(RUNNING, exit_code=0, charged=0, output_bytes=0), NOW))["params"]
    assert (over["exitCode"], over["creditsCharged"], over["outputBytes"]) == (0, 0, 0)


def test_a_sessions_event_names_its_own_workflow() -> None:
    event = json.loads(events.session_changed(replace(READY, session_id="ses_abc"), NOW))["params"]
    assert (event["workflowId"], event["sessionId"], event["type"], event["status"]) == (
        "wf_abc",
        "ses_abc",
        "session",
        "ready",
    )
