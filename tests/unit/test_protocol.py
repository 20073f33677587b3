"""The messages: what is built is read again, what is not ours is refused, and nothing is over API Gateway's limits."""

import base64
import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from filepath import protocol
from filepath.protocol import Chunk, End, Exec, ProtocolError, Request, Response, Run, Signal

RUNS = st.lists(
    st.tuples(st.sampled_from(("stdout", "stderr")), st.binary(min_size=1, max_size=20)), min_size=1, max_size=8
)
VALUES = st.none() | st.booleans() | st.integers() | st.text(max_size=20)
PARAMS = st.dictionaries(st.text(max_size=10), VALUES, max_size=5)
MESSAGE_IDS = st.integers() | st.text(max_size=10)


def chunk(runs: list[tuple[Any, bytes]], offset: int = 0) -> Chunk:
    data = b"".join(piece for _, piece in runs)
    return Chunk(offset, tuple(Run(stream, len(piece)) for stream, piece in runs), data)


# JSON-RPC


@given(MESSAGE_IDS, st.text(min_size=1, max_size=20), PARAMS)
def test_a_request_is_read_as_it_was_built(message_id: int | str, method: str, params: dict[str, Any]) -> None:
    assert protocol.parse(protocol.request(message_id, method, params)) == Request(method, params, message_id)


@given(st.text(min_size=1, max_size=20), PARAMS)
def test_a_notification_is_a_request_without_an_id(method: str, params: dict[str, Any]) -> None:
    assert protocol.parse(protocol.notification(method, params)) == Request(method, params, None)


@given(MESSAGE_IDS, PARAMS)
def test_an_answer_is_read_as_it_was_built(message_id: int | str, result: dict[str, Any]) -> None:
    assert protocol.parse(protocol.success(message_id, result)) == Response(message_id, result)


def test_a_refusal_is_read_with_its_code_and_data() -> None:
    answer = protocol.parse(protocol.failure(7, -32000, "no", {"error": {"code": "not_found"}}))
    assert answer == Response(7, {}, {"code": -32000, "message": "no", "data": {"error": {"code": "not_found"}}})


@pytest.mark.parametrize(
    ("text", "code"),
    [
        ("", protocol.PARSE_ERROR),
        ("{", protocol.PARSE_ERROR),
        ("[" * 100_000, protocol.PARSE_ERROR),
        ("[]", protocol.INVALID_REQUEST),
        ("1", protocol.INVALID_REQUEST),
        ('{"jsonrpc": "1.0", "method": "a"}', protocol.INVALID_REQUEST),
        ('{"jsonrpc": "2.0"}', protocol.INVALID_REQUEST),
        ('{"jsonrpc": "2.0", "method": 1}', protocol.INVALID_REQUEST),
        ('{"jsonrpc": "2.0", "method": "a", "id": true}', protocol.INVALID_REQUEST),
        ('{"jsonrpc": "2.0", "method": "a", "id": 1.5}', protocol.INVALID_REQUEST),
        ('{"jsonrpc": "2.0", "method": "a", "params": [1]}', protocol.INVALID_PARAMS),
        ('{"jsonrpc": "2.0", "id": 1, "error": "no"}', protocol.INVALID_REQUEST),
        ('{"message": "Internal server error", "connectionId": "a=", "requestId": "b="}', protocol.INVALID_REQUEST),
    ],
)
def test_what_is_not_ours_is_refused_with_json_rpcs_code_for_it(text: str, code: int) -> None:
    with pytest.raises(ProtocolError) as refused:
        protocol.parse(text)
    assert refused.value.code == code


def test_a_refused_request_keeps_its_id_where_it_could_be_read() -> None:
    with pytest.raises(ProtocolError) as refused:
        protocol.parse('{"jsonrpc": "2.0", "id": 9, "method": "a", "params": 3}')
    assert refused.value.message_id == 9


# Frames


@given(st.text(alphabet=st.sampled_from("aé€𝄞\n"), max_size=200), st.integers(1, 400))
def test_frames_join_to_the_message_none_over_the_limit_and_no_character_cut(text: str, times: int) -> None:
    message = text * times
    if len(message.encode()) > protocol.MESSAGE_LIMIT:
        with pytest.raises(ProtocolError):
            list(protocol.frames(message.encode()))
        return
    frames = list(protocol.frames(message.encode()))
    assert "".join(frame.decode() for frame in frames) == message
    assert all(0 < len(frame) <= protocol.FRAME_LIMIT for frame in frames)


@pytest.mark.parametrize("lead", range(4))
def test_a_character_on_the_edge_of_a_frame_goes_into_the_next_whole(lead: int) -> None:
    message = "a" * (protocol.FRAME_LIMIT - lead) + "𝄞" * 10
    assert b"".join(protocol.frames(message.encode())) == message.encode()
    first = next(protocol.frames(message.encode()))
    assert len(first) == protocol.FRAME_LIMIT - lead % 4


# Output


@given(RUNS, st.integers(0, 10**12))
def test_a_chunk_is_read_as_it_was_sent(runs: list[tuple[Any, bytes]], offset: int) -> None:
    sent = chunk(runs, offset)
    carried = json.loads(json.dumps(protocol.chunk_params("wf_1", sent)))
    assert protocol.chunk_of(carried) == sent


@given(RUNS, st.integers(0, 100), st.integers(0, 300))
def test_the_rest_of_a_chunk_is_its_bytes_from_there_on(runs: list[tuple[Any, bytes]], offset: int, after: int) -> None:
    sent = chunk(runs, offset)
    rest = sent.from_offset(after)
    assert rest.data == sent.data[max(0, after - offset) :]
    assert rest.offset == max(offset, after)
    assert b"".join(data for _, _, data in rest.pieces()) == rest.data
    streams = [run.stream for run in sent.runs for _ in range(run.length)]
    assert [run.stream for run in rest.runs for _ in range(run.length)] == streams[max(0, after - offset) :]


@given(RUNS, st.integers(0, 100))
def test_the_pieces_of_a_chunk_lie_end_to_end(runs: list[tuple[Any, bytes]], offset: int) -> None:
    place = offset
    for (start, stream, data), (given_stream, given_data) in zip(chunk(runs, offset).pieces(), runs, strict=True):
        assert (start, stream, data) == (place, given_stream, given_data)
        place += len(data)


def test_the_largest_chunk_with_the_most_runs_fits_in_one_message() -> None:
    size, runs = protocol.CHUNK_LIMIT, protocol.RUNS_LIMIT
    lengths = [size // runs] * (runs - 1)
    lengths.append(size - sum(lengths))
    streams = ("stdout", "stderr")
    largest = Chunk(10**13, tuple(Run(streams[i % 2], n) for i, n in enumerate(lengths)), b"\xff" * size)  # type: ignore[arg-type]  # literals
    message = protocol.request(10**9, "output", protocol.chunk_params("wf_" + "z" * 32, largest))
    assert len(message.encode()) <= protocol.MESSAGE_LIMIT
    assert protocol.chunk_of(protocol.chunk_params("wf_1", largest)) == largest


@pytest.mark.parametrize(
    "wrong",
    [
        {"data": ""},
        {"data": "not base64!"},
        {"data": None},
        {"data": "YWI="},
        {"runs": []},
        {"runs": [["stdout", 2]]},
        {"runs": [["stdin", 3]]},
        {"runs": [["stdout", -3], ["stdout", 6]]},
        {"runs": [["stdout", True], ["stdout", 2]]},
        {"runs": "stdout"},
        {"offset": -1},
        {"offset": "0"},
        {"offset": 0.0},
    ],
)
def test_a_chunk_that_does_not_add_up_is_refused(wrong: dict[str, Any]) -> None:
    right = protocol.chunk_params("wf_1", chunk([("stdout", b"ab\xff")]))
    protocol.chunk_of(right)
    with pytest.raises(ProtocolError) as refused:
        protocol.chunk_of({**right, **wrong})
    assert refused.value.code == protocol.INVALID_PARAMS


def test_a_chunk_over_the_limit_is_refused() -> None:
    with pytest.raises(ProtocolError):
        protocol.chunk_of(protocol.chunk_params("wf_1", chunk([("stdout", b"\xff" * (protocol.CHUNK_LIMIT + 1))])))
    with pytest.raises(ProtocolError):
        protocol.chunk_of(protocol.chunk_params("wf_1", chunk([("stdout", b"a" * (protocol.TEXT_CHUNK_LIMIT + 1))])))
    with pytest.raises(ProtocolError):
        protocol.chunk_of(protocol.chunk_params("wf_1", chunk([("stdout", b"a")] * (protocol.RUNS_LIMIT + 1))))


@given(st.binary(max_size=50))
def test_bytes_are_shown_as_text_or_base64_and_read_again(data: bytes) -> None:
    shown, encoding = protocol.text_or_base64(data)
    assert protocol.bytes_of(shown, encoding) == data
    assert len(json.dumps(shown, ensure_ascii=False).encode()) <= 3 * len(data) + 6
    if encoding == "base64":
        assert data.decode(errors="ignore").encode() != data or any(byte < 0x20 for byte in data)


def test_coloured_text_is_shown_as_text() -> None:
    assert protocol.text_or_base64(b"\x1b[32mok\x1b[0m done\n")[1] == "utf-8"


# What the platform asks, and what an agent reports


@given(st.text(max_size=20), st.integers(1, 86_400), st.dictionaries(st.text(max_size=5), st.text(max_size=5)))
def test_an_exec_and_a_signal_are_read_as_they_were_sent(command: str, timeout: int, env: dict[str, str]) -> None:
    sent = Exec("wf_1", timeout, command, env, cwd="/tmp", stdin="in", inputs_url=None)
    assert Exec.of(json.loads(json.dumps(sent.params()))) == sent
    assert Signal.of(Signal("wf_1", "TERM").params()) == Signal("wf_1", "TERM")


@given(st.sampled_from(("exited", "timed_out", "cancelled", "shutdown")), st.integers(0, 10**9), st.integers(0, 255))
def test_an_end_is_read_as_it_was_sent(cause: Any, run_ms: int, exit_code: int) -> None:
    for sent in (End(cause, run_ms, exit_code=exit_code, leftovers=2), End(cause, run_ms, signal="KILL")):
        assert End.of(json.loads(json.dumps(sent.params()))) == sent


@pytest.mark.parametrize(
    "wrong",
    [
        None,
        {},
        {"cause": "vanished", "runMs": 1, "exitCode": 0},
        {"cause": "exited", "exitCode": 0},
        {"cause": "exited", "runMs": -1, "exitCode": 0},
        {"cause": "exited", "runMs": 1},
        {"cause": "exited", "runMs": 1, "exitCode": 0, "signal": "KILL"},
        {"cause": "not_started", "runMs": 0, "exitCode": 0},
    ],
)
def test_an_end_that_says_both_or_neither_is_refused(wrong: Any) -> None:
    with pytest.raises(ProtocolError) as refused:
        End.of(wrong)
    assert refused.value.code == protocol.INVALID_PARAMS


@pytest.mark.parametrize("data", [b"\xff\0", b"\0\1\2\3", "€".encode()[:2], b'"' * 100, b"\xed\xa0\x80"])
def test_what_is_no_text_or_would_be_longer_as_text_travels_as_base64(data: bytes) -> None:
    params = protocol.chunk_params("wf_1", chunk([("stdout", data)]))
    assert base64.b64decode(params["data"]) == data
    assert "text" not in params


@pytest.mark.parametrize(
    "text", ["a", "two\nlines of text\n", "\x1b[32mcoloured\x1b[0m and so on and so on", "zwölf €"]
)
def test_text_travels_as_text(text: str) -> None:
    params = protocol.chunk_params("wf_1", chunk([("stdout", text.encode())]))
    assert params["text"] == text
    assert "data" not in params


@given(st.text(max_size=60) | st.text(alphabet='ab\\"\n\t\0\x1f\x7f/€𝄞\u2028', min_size=1, max_size=60))
def test_any_text_is_read_as_it_was_sent(text: str) -> None:
    data = (text + "x" * 20 * len(text) or "x").encode()
    params = protocol.chunk_params("wf_1", chunk([("stderr", data)]))
    assert params["text"].encode() == data
    assert protocol.chunk_of(params).data == data


@pytest.mark.parametrize(
    "wrong", [{"text": b"abc"}, {"text": None}, {"text": "\ud800"}, {"text": "abcd"}, {"text": ""}]
)
def test_text_that_does_not_add_up_is_refused(wrong: dict[str, Any]) -> None:
    with pytest.raises(ProtocolError):
        protocol.chunk_of({**protocol.chunk_params("wf_1", chunk([("stdout", b"abc")])), **wrong})


@pytest.mark.parametrize("data", ["a", "\n", "ab\n", "€", "\x1b[0m.", '"'])
def test_no_text_makes_a_message_too_large(data: str) -> None:
    full = chunk([("stdout", (data.encode() * protocol.CHUNK_LIMIT)[: protocol.TEXT_CHUNK_LIMIT])])
    if not full.fits_in_a_message:
        full = chunk([("stdout", full.data[: protocol.CHUNK_LIMIT])])
    params = protocol.encoded_chunk_params("wf_" + "z" * 32, full)
    assert protocol.chunk_of(json.loads(params)) == full
    assert len(protocol.encoded_request(10**9, "output", params)) <= protocol.MESSAGE_LIMIT


def test_a_request_of_encoded_parameters_is_the_same_request() -> None:
    params = {"workflowId": "wf_1", "end": None}
    encoded = protocol.encoded_request(7, "exit", json.dumps(params).encode())
    assert protocol.parse(encoded.decode()) == protocol.parse(protocol.request(7, "exit", params))
