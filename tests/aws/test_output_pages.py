"""Output page by page: each page fits its door, and all of them together are every byte in its place."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from itertools import count
from typing import Any

import pytest

from filepath import protocol
from filepath.protocol import Chunk, Run, Stream
from tests.aws.people import Person, Sandbox

STREAMS: tuple[Stream, Stream] = ("stdout", "stderr")
LAMBDA_LIMIT = 6 * 1024 * 1024

Page = dict[str, Any]
Read = Callable[[int], Page]


def over_rest(person: Person, workflow_id: str) -> Read:
    def read(after: int) -> Page:
        answer = person.get(f"/api/workflow/{workflow_id}/output?limit=1048576&after={after}")
        assert answer.status == 200, answer.text[:200]
        assert len(json.dumps(answer.text, ensure_ascii=False).encode()) < LAMBDA_LIMIT
        return answer.body

    return read


def over_socket(person: Person, workflow_id: str) -> Read:
    socket = person.listen()

    def read(after: int) -> Page:
        page = socket.call("getOutput", workflowId=workflow_id, limit=1_048_576, after=after)
        assert len(protocol.success(1, page).encode()) <= protocol.MESSAGE_LIMIT
        return page

    return read


doors = pytest.mark.parametrize("door", [over_rest, over_socket])
Door = Callable[[Person, str], Read]


def pages(read: Read, size: int) -> Iterator[Page]:
    after = 0
    while after < size:
        page = read(after)
        assert page["nextOffset"] > after
        after = page["nextOffset"]
        yield page


def pieces(found: list[Page]) -> list[tuple[int, str, bytes]]:
    return [
        (chunk["offset"], chunk["stream"], protocol.bytes_of(chunk["data"], chunk["encoding"]))
        for page in found
        for chunk in page["chunks"]
    ]


def write_in_turn(sandbox: Sandbox, workflow_id: str, data: bytes) -> None:
    """A byte to each stream in turn, as many in a message as one takes."""
    for start in range(0, len(data), protocol.RUNS_LIMIT):
        part = data[start : start + protocol.RUNS_LIMIT]
        chunk = Chunk(start, tuple(Run(STREAMS[(start + place) % 2], 1) for place in range(len(part))), part)
        sandbox.socket.call("output", **protocol.chunk_params(workflow_id, chunk))


@pytest.mark.parametrize(("door", "size"), [(over_rest, 15_000), (over_socket, 3_000)])
def test_output_that_changes_its_stream_with_every_byte_is_read_back_exactly(
    ada: Person, sandbox: Sandbox, workflow_id: str, door: Door, size: int
) -> None:
    """Each piece has names and numbers of its own: counted by its bytes alone a page would be far too large."""
    data = bytes(32 + place % 95 for place in range(size))
    write_in_turn(sandbox, workflow_id, data)
    found = list(pages(door(ada, workflow_id), len(data)))
    assert len(found) > 1
    assert pieces(found) == [(place, STREAMS[place % 2], data[place : place + 1]) for place in range(len(data))]
    for page in found:
        assert page["nextOffset"] == page["chunks"][-1]["offset"] + 1


@doors
def test_a_page_of_one_stream_goes_on_behind_what_it_left_out(
    ada: Person, sandbox: Sandbox, workflow_id: str, door: Door
) -> None:
    data = b"oe" * 1000
    write_in_turn(sandbox, workflow_id, data)
    path = f"/api/workflow/{workflow_id}/output?stream=stderr&after="
    socket = ada.listen()
    read: dict[Door, Read] = {
        over_rest: lambda after: ada.get(f"{path}{after}").body,
        over_socket: lambda after: socket.call("getOutput", workflowId=workflow_id, stream="stderr", after=after),
    }
    found = pieces(list(pages(read[door], len(data))))
    assert found == [(place, "stderr", b"e") for place in range(1, len(data), 2)]


@doors
@pytest.mark.parametrize(
    "unit",
    [b'"', b"\\", b"\n", "é".encode(), "\U0001f600".encode(), b"\x01", b"\x01\x02aaaaaaaaa", b"\xff"],
    ids=["quotes", "backslashes", "lines", "two bytes", "four bytes", "control", "some control", "binary"],
)
def test_output_that_json_makes_longer_is_read_back_exactly(
    ada: Person, sandbox: Sandbox, workflow_id: str, door: Door, unit: bytes
) -> None:
    data = (unit * 300_000)[:300_000]
    for offset, start in zip(count(0, protocol.CHUNK_LIMIT), range(0, len(data), protocol.CHUNK_LIMIT), strict=False):
        sandbox.output(workflow_id, offset, data[start : start + protocol.CHUNK_LIMIT])
    found = list(pages(door(ada, workflow_id), len(data)))
    assert b"".join(part for _, _, part in pieces(found)) == data


def test_the_last_page_says_that_it_is(ada: Person, sandbox: Sandbox, workflow_id: str) -> None:
    data = b"oe" * 1000
    write_in_turn(sandbox, workflow_id, data)
    sandbox.exit(workflow_id, len(data))
    sandbox.platform.step("settle", workflowId=workflow_id)
    found = list(pages(over_socket(ada, workflow_id), len(data)))
    assert [page["complete"] for page in found] == [False] * (len(found) - 1) + [True]


def test_another_answer_too_large_for_the_socket_is_refused_and_read_over_rest(ada: Person, sandbox: Sandbox) -> None:
    """API Gateway would close the connection instead."""
    workflow_id = ada.submit(sandbox.session_id, "x" * protocol.MESSAGE_LIMIT)
    refused = ada.listen().refusal("getTask", workflowId=workflow_id)
    assert (refused["code"], refused["data"]["error"]["code"]) == (protocol.SERVER_ERROR, "too_large")
    assert "REST" in refused["message"]
    assert ada.get(f"/api/workflow/{workflow_id}").status == 200
