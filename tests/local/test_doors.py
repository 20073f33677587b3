"""The doors: API Gateway's limits, what passes and what does not."""

from __future__ import annotations

import asyncio
import contextlib
import json
import secrets

import httpx
import pytest
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed, InvalidStatus

from tests.local.emulators import Deployed


async def opened(deployed: Deployed) -> ClientConnection:
    return await connect(deployed.home.socket_url, proxy=None, max_size=None, ping_interval=None)


async def close_code(socket: ClientConnection) -> int | None:
    with pytest.raises(ConnectionClosed) as closed:
        await asyncio.wait_for(socket.recv(), 5)
    return closed.value.rcvd.code if closed.value.rcvd else None


# REST


def test_a_request_reaches_its_function_as_it_was(deployed: Deployed) -> None:
    url = f"{deployed.home.front_url}/api/a%20b?x=1&y=%2F"
    seen = httpx.post(url, headers={"x-api-key": "k", "authorization": "Bearer t"}, content=b"body").json()
    assert (seen["path"], seen["query"], seen["size"]) == ("/api/a b", {"x": "1", "y": "/"}, 4)
    assert (seen["headers"]["x-api-key"], seen["headers"]["authorization"]) == ("k", "Bearer t")


def test_a_function_sees_who_called_and_not_who_the_caller_says(deployed: Deployed) -> None:
    seen = httpx.get(f"{deployed.home.front_url}/api", headers={"x-forwarded-for": "8.8.8.8"}).json()
    assert seen["ip"] == "127.0.0.1"


def test_many_requests_may_follow_on_one_connection(deployed: Deployed) -> None:
    with httpx.Client() as client:
        assert [client.post(f"{deployed.home.front_url}/n", content=b"x" * n).json()["size"] for n in (1, 2, 3)] == [
            1, 2, 3,
        ]  # fmt: skip


@pytest.mark.parametrize("declared", [True, False])
def test_a_body_over_10_mb_is_refused_in_the_templates_words(deployed: Deployed, *, declared: bool) -> None:
    body = b"x" * (10 * 1024 * 1024 + 1)
    content = body if declared else (body[start : start + 2**20] for start in range(0, len(body), 2**20))
    answer = httpx.post(f"{deployed.home.front_url}/big", content=content)
    assert (answer.status_code, answer.json()) == (413, {"ours": "Request Too Long"})


def test_a_function_that_fails_shows_nothing_of_how(deployed: Deployed) -> None:
    answer = httpx.get(f"{deployed.home.front_url}/crash")
    assert (answer.status_code, answer.json()) == (502, {"message": "Internal server error"})


def test_a_connection_that_will_be_closed_says_so(deployed: Deployed) -> None:
    """Else a caller's next request on it is lost."""
    with httpx.Client() as client:
        kept = client.get(f"{deployed.home.sandbox_url}/nothing")
        closed = client.post(f"{deployed.home.sandbox_url}/nothing", content=b"never read")
        after = client.get(f"{deployed.home.sandbox_url}/nothing")
    assert "connection" not in kept.headers
    assert closed.headers["connection"] == "close"
    assert after.status_code == 403


# Sockets


async def test_a_message_in_frames_of_32_kb_arrives_whole(deployed: Deployed) -> None:
    async with await opened(deployed) as socket:
        await socket.send(["x" * 32 * 1024] * 4)
        assert await socket.recv() == f"took {128 * 1024}"


async def test_a_frame_over_32_kb_closes_the_connection(deployed: Deployed) -> None:
    async with await opened(deployed) as socket:
        await socket.send("x" * (32 * 1024 + 1))
        assert await close_code(socket) == 1009


async def test_a_message_over_128_kb_closes_the_connection(deployed: Deployed) -> None:
    async with await opened(deployed) as socket:
        with contextlib.suppress(ConnectionClosed):
            await socket.send(["x" * 32 * 1024] * 4 + ["x"])
        assert await close_code(socket) == 1009


async def test_binary_closes_the_connection(deployed: Deployed) -> None:
    async with await opened(deployed) as socket:
        await socket.send(b"bytes")
        assert await close_code(socket) == 1003


async def test_what_the_platform_posts_comes_in_frames_of_32_kb(deployed: Deployed) -> None:
    async with await opened(deployed) as socket:
        await socket.send("post 100000")
        sizes = sorted([[len(frame) async for frame in socket.recv_streaming()] for _ in range(2)], key=sum)
    assert sizes[1] == [32768, 32768, 32768, 100000 - 3 * 32768]


async def test_a_refused_handshake_keeps_its_status(deployed: Deployed) -> None:
    with pytest.raises(InvalidStatus) as refused:
        await connect(deployed.home.socket_url, additional_headers={"x-answer": "401"}, proxy=None)
    assert refused.value.response.status_code == 401


async def test_there_is_one_socket_at_each_door(deployed: Deployed) -> None:
    for url in (f"ws://127.0.0.1:{deployed.home.port}/agents", f"ws://127.0.0.1:{deployed.home.sandbox_port}/socket"):
        with pytest.raises(InvalidStatus) as refused:
            await connect(url, proxy=None)
        assert refused.value.response.status_code == 403
    async with await connect(f"ws://127.0.0.1:{deployed.home.sandbox_port}/agents", proxy=None) as socket:
        await socket.send("hello")
        assert await socket.recv() == "took 5"


# Objects


def test_a_presigned_object_goes_in_and_out_at_the_sandbox_door(deployed: Deployed) -> None:
    content = secrets.token_bytes(3_000_000)
    urls = httpx.get(f"{deployed.home.front_url}/presigned").json()
    assert urls["put_object"].startswith(deployed.home.sandbox_url)
    assert httpx.put(urls["put_object"], content=content).status_code == 200
    assert httpx.get(urls["get_object"]).content == content


def test_a_presigned_url_is_good_for_its_own_object_alone(deployed: Deployed) -> None:
    url = httpx.get(f"{deployed.home.front_url}/presigned").json()["get_object"]
    assert httpx.get(url.replace("b%20c.txt", "other.txt")).status_code == 403


def test_the_sandbox_door_lets_nothing_else_through(deployed: Deployed) -> None:
    bucket, door = deployed.outputs["Bucket"], deployed.home.sandbox_url
    with httpx.Client(base_url=door) as sandbox:
        assert [
            sandbox.get("/").status_code,
            sandbox.get("/api/health").status_code,
            sandbox.get(f"/{bucket}/a/b%20c.txt").status_code,
            sandbox.get(f"/{bucket}?X-Amz-Signature=x").status_code,
            sandbox.get("/_aws/execute-api/x/Prod/?X-Amz-Signature=x").status_code,
            sandbox.post(f"/{bucket}/a?X-Amz-Signature=x").status_code,
            sandbox.post("/", headers={"x-amz-target": "DynamoDB_20120810.ListTables"}).status_code,
        ] == [403] * 7


# Faults


def test_the_doors_misbehave_for_the_holder_of_the_secret_alone(deployed: Deployed) -> None:
    answer = httpx.post(f"{deployed.home.front_url}/_local/faults", json={"door": "socket", "cut": True})
    assert answer.status_code == 403


async def test_a_cut_breaks_every_open_connection(deployed: Deployed) -> None:
    async with await opened(deployed) as socket:
        await socket.send("hello")
        await socket.recv()
        assert deployed.control(door="socket", cut=True)["cut"] >= 1
        assert await close_code(socket) is None


async def test_messages_are_doubled_and_dropped_as_planned(deployed: Deployed) -> None:
    async with await opened(deployed) as socket:
        deployed.control(door="socket", plan={"double": 1.0, "seed": 1})
        await socket.send("hello")
        assert [await socket.recv() for _ in range(4)] == ["took 5"] * 4, "two there, and two back of each"
        deployed.control(door="socket", plan={"drop": 1.0})
        await socket.send("hello")
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(socket.recv(), 0.5)
        deployed.control(door="socket", plan={})
        await socket.send("hello!")
        assert await socket.recv() == "took 6"


async def test_new_connections_are_refused_as_planned(deployed: Deployed) -> None:
    deployed.control(door="socket", plan={"refuse": 503})
    try:
        with pytest.raises(InvalidStatus) as refused:
            await opened(deployed)
        assert refused.value.response.status_code == 503
    finally:
        deployed.control(door="socket", plan={})


def test_a_plan_with_an_unknown_wish_is_refused(deployed: Deployed) -> None:
    answer = httpx.post(
        f"{deployed.home.front_url}/_local/faults",
        content=json.dumps({"door": "socket", "plan": {"dorp": 1}}),
        headers={"x-local-secret": deployed.home.control_secret()},
    )
    assert answer.status_code == 400
