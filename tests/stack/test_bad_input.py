"""What nobody should send, through the whole stack: the documented refusal, in the envelope, whoever makes it."""

from __future__ import annotations

import base64
import gzip
import hashlib
import json
from collections.abc import Iterator
from typing import Any

import httpx
import pytest
from websockets.exceptions import ConnectionClosed, InvalidStatus
from websockets.sync.client import ClientConnection, connect

from tests.stack.conftest import RunningStack, eventually, once

pytestmark = once

MB = 1024 * 1024


@pytest.fixture(scope="module")
def key(stack: RunningStack) -> str:
    return stack.account("careless").key


@pytest.fixture
def socket(stack: RunningStack, key: str) -> Iterator[ClientConnection]:
    with connect(stack.socket_url, additional_headers={"x-api-key": key}, proxy=None) as socket:
        yield socket


def post(stack: RunningStack, key: str, body: bytes, path: str = "/api/orchestrator/session") -> httpx.Response:
    return httpx.post(stack.url + path, headers={"x-api-key": key}, content=body, timeout=60)


def code_of(document: dict[str, Any]) -> str:
    error = document["error"]
    assert set(error) == {"code", "message", "requestId", "retryable", "details"}
    return str(error["code"])


@pytest.mark.parametrize(
    ("body", "status", "code"),
    [
        (b"{", 400, "invalid_request"),
        (b"\xff\xfe", 400, "invalid_request"),
        (b"[]", 400, "invalid_request"),
        (b'{"cpu": "1024"}', 400, "invalid_request"),
        (b'{"name": "' + b"x" * (11 * MB) + b'"}', 413, "too_large"),
        (b'{"name": "' + b"x" * (7 * MB) + b'"}', 413, "too_large"),
        (b'{"name": "' + b"\\n" * (2 * MB + 100_000) + b'"}', 413, "too_large"),
        (b'{"metadata": {"k": "' + b"x" * 5000 + b'"}}', 413, "too_large"),
    ],
    ids=["broken", "not UTF-8", "a list", "a wrong type", "11 MB", "7 MB", "4 MB of line ends", "a large field"],
)
def test_a_bad_body_is_refused_in_the_envelope(
    stack: RunningStack, key: str, body: bytes, status: int, code: str
) -> None:
    answer = post(stack, key, body)
    assert (answer.status_code, code_of(answer.json())) == (status, code), answer.text[:300]


@pytest.mark.parametrize("key", ["", "fp_short", "fp_" + "0" * 46])
def test_a_key_that_is_none_opens_neither_door(stack: RunningStack, key: str) -> None:
    answer = post(stack, key, b"{}")
    assert (answer.status_code, code_of(answer.json())) == (401, "unauthenticated")
    with pytest.raises(InvalidStatus) as refused:
        connect(stack.socket_url, additional_headers={"x-api-key": key}, proxy=None)
    assert refused.value.response.status_code == 401


@pytest.mark.parametrize(
    ("text", "code"),
    [
        ("{", "invalid_request"),
        ("[]", "invalid_request"),
        (f'{{"jsonrpc":"2.0","id":1,"method":"getHealth","params":{{"x":"{"x" * 31_000}"}}}}', "too_large"),
        ('{"jsonrpc":"2.0","id":1,"method":"noSuch"}', "not_found"),
        ('{"jsonrpc":"2.0","id":1,"method":"getSession","params":{"sessionId":5}}', "invalid_request"),
    ],
    ids=["broken", "a batch", "over 30 KB", "an unknown method", "a wrong type"],
)
def test_a_bad_message_is_refused_in_the_envelope_and_the_socket_stays(
    socket: ClientConnection, text: str, code: str
) -> None:
    socket.send(text)
    assert code_of(json.loads(socket.recv(20))["error"]["data"]) == code
    socket.send('{"jsonrpc":"2.0","id":2,"method":"getHealth"}')
    assert json.loads(socket.recv(20))["result"]["status"] == "ok"


@pytest.mark.parametrize(("message", "close_code"), [(b"bytes", 1003), ("x" * 33 * 1024, 1009)])
def test_what_api_gateway_takes_no_frame_of_closes_the_socket(
    socket: ClientConnection, message: str | bytes, close_code: int
) -> None:
    socket.send(message)
    with pytest.raises(ConnectionClosed) as closed:
        socket.recv(20)
    assert closed.value.rcvd is not None
    assert closed.value.rcvd.code == close_code


@pytest.mark.parametrize(
    ("content", "encoding"),
    [(b'"\n' * (5 * MB // 2), "gzip"), (bytes(range(256)) * 16, "base64"), (bytes(range(256)) * 8000, "base64")],
    ids=["5 MB of quotes and line ends", "all bytes", "2 MB of all bytes"],
)
def test_standard_input_reaches_the_command_byte_for_byte(
    stack: RunningStack, key: str, content: bytes, encoding: str
) -> None:
    packed = gzip.compress(content) if encoding == "gzip" else content
    given = {"stdin": base64.b64encode(packed).decode(), "stdinEncoding": encoding}
    headers = {"x-api-key": key}
    session = post(stack, key, b"{}").json()["sessionId"]
    body = {"sessionId": session, "task": "sha256sum", "timeoutSeconds": 60, **given}
    answer = httpx.post(f"{stack.url}/api/orchestrator", headers=headers, json=body, timeout=60)
    assert answer.status_code == 202, answer.text
    url = f"{stack.url}/api/workflow/{answer.json()['workflowId']}/output"
    page = eventually(lambda: httpx.get(url, headers=headers).json(), lambda page: page["complete"])
    assert page["chunks"][0]["data"] == f"{hashlib.sha256(content).hexdigest()}  -\n"
