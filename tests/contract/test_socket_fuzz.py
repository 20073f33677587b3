"""Messages that no client would send, and many that one would, on the clients' socket.

Every answer is JSON-RPC 2.0 and, where it refuses, has the envelope in its `data`; none is a fault of ours, none is
too long for API Gateway, and what is refused has written nothing.
"""

from __future__ import annotations

import json
import os
from typing import Any

import jsonschema
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from filepath import protocol
from filepath.operations.registry import Operation
from tests.aws.gateway import Socket
from tests.aws.wire import Wire
from tests.contract.world import OPERATIONS, World, document, documented_reply, example_params
from tests.contract.writes import written

CASES = int(os.environ.get("FUZZ_CASES", "600")) // 2
METHODS = {operation.rpc_name: operation for operation in OPERATIONS.values() if operation.on_socket}
CODES = {
    protocol.PARSE_ERROR: {"invalid_request"},
    protocol.INVALID_REQUEST: {"invalid_request"},
    protocol.METHOD_NOT_FOUND: {"not_found"},
    protocol.INVALID_PARAMS: {"invalid_request"},
}
"""Which of our codes goes with each of JSON-RPC's own; with SERVER_ERROR any other."""

TEXT = st.text(max_size=40)
VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | TEXT,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(TEXT, inner, max_size=3),
    max_leaves=6,
)
FIELDS = sorted({field for operation in METHODS.values() for field in example_params(operation)} | {"idempotencyKey"})


@st.composite
def params(draw: st.DrawFn, operation: Operation) -> dict[str, Any]:
    """Those of the example, some of them left out, replaced or joined by others."""
    fields = {name: value for name, value in example_params(operation).items() if draw(st.integers(0, 9))}
    for name in draw(st.lists(st.sampled_from(FIELDS) | TEXT, max_size=2)):
        fields[name] = draw(VALUES)
    return fields


@st.composite
def requests(draw: st.DrawFn) -> str:
    """A call of an operation, mostly well-formed."""
    operation = draw(st.sampled_from(sorted(METHODS.values(), key=lambda each: each.name)))
    message: dict[str, Any] = {"jsonrpc": "2.0", "id": draw(st.integers() | TEXT), "method": operation.rpc_name}
    message["params"] = draw(params(operation))
    if not draw(st.integers(0, 4)):
        message[draw(st.sampled_from(["jsonrpc", "id", "method", "params"]) | TEXT)] = draw(VALUES)
    return json.dumps(message)


@st.composite
def damaged(draw: st.DrawFn) -> str:
    """A request with a piece cut out, or something put in."""
    text = draw(requests())
    start, length = draw(st.integers(0, len(text))), draw(st.integers(0, 5))
    return text[:start] + draw(st.text(max_size=3)) + text[start + length :]


BATCHES = st.lists(requests(), max_size=3).map(lambda each: f"[{','.join(each)}]")
OVERSIZED = st.integers(1, 100_000).map(
    lambda more: protocol.request(1, "createSession", {"name": "x" * (protocol.CLIENT_REQUEST_LIMIT + more)})
)
MESSAGES = requests() | damaged() | BATCHES | VALUES.map(json.dumps) | TEXT | OVERSIZED


@pytest.mark.timeout(1800)
def test_whatever_is_sent_the_answer_is_in_the_envelope_and_a_refusal_writes_nothing(world: World, wire: Wire) -> None:
    socket = world.tenant.listen()

    @settings(max_examples=CASES, deadline=None, database=None, suppress_health_check=list(HealthCheck))
    @given(MESSAGES)
    def send(text: str) -> None:
        wire.seen.clear()
        wire.calls.clear()
        check(socket, text, wire)

    send()


def check(socket: Socket, text: str, wire: Wire) -> None:
    answer = socket.send(text)
    if answer is None:
        return
    assert answer["jsonrpc"] == "2.0"
    assert len(json.dumps(answer).encode()) <= protocol.MESSAGE_LIMIT
    if "result" in answer:
        operation = METHODS[json.loads(text)["method"]]
        jsonschema.validate(answer["result"], documented_reply(operation, operation.status)["schema"])
        return
    error = answer["error"]
    jsonschema.validate(error["data"], document()["components"]["schemas"]["Error"])
    assert error["message"] == error["data"]["error"]["message"]
    code = error["data"]["error"]["code"]
    assert code not in {"internal_error", "unavailable"}, text
    assert code in CODES.get(error["code"], {code})
    assert written(wire) == []


@pytest.mark.parametrize("text", ["[]", "[1]", "{}", "null", '"text"', "1", "", "\0", "[" * 30_000, "nan", "\ufeff{}"])
def test_what_is_no_message_is_refused_without_an_id(world: World, wire: Wire, text: str) -> None:
    socket = world.tenant.listen()
    answer = socket.send(text)
    assert answer is not None
    assert answer["id"] is None
    wire.seen.clear()
    wire.calls.clear()
    check(socket, text, wire)


def test_a_message_at_the_limit_is_taken_and_one_over_it_is_not(world: World) -> None:
    socket = world.tenant.listen()
    empty = protocol.request(1, "createSession", {"name": ""})
    room = protocol.CLIENT_REQUEST_LIMIT - len(empty)
    at_limit, over = (protocol.request(1, "createSession", {"name": "x" * length}) for length in (room, room + 1))
    taken, refused = socket.send(at_limit), socket.send(over)
    assert taken is not None
    assert refused is not None
    assert taken["error"]["data"]["error"]["code"] == "invalid_request"  # looked into: the name is too long
    assert refused["error"]["data"]["error"]["code"] == "too_large"
