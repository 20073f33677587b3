"""How a socket's messages reach their function: local/mends/sockets.py and route_responses.py."""

from __future__ import annotations

import asyncio
import json
import time

import pytest
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import InvalidStatus

from tests.local.conftest import TEMPLATE
from tests.local.emulators import RUNTIME, Deployed, Emulator


async def opened(url: str, **headers: str) -> ClientConnection:
    return await connect(url, additional_headers=headers, proxy=None)


async def test_messages_of_one_connection_run_side_by_side(deployed: Deployed) -> None:
    async with await opened(deployed.direct_socket) as socket:
        # Two workers warm, so that only the handlers' own time is left.
        await socket.send("sleep 0.5")
        await socket.send("sleep 0.5")
        assert [await socket.recv() for _ in range(2)] == ["took 9"] * 2
        begun = time.monotonic()
        for _ in range(2):
            await socket.send("sleep 1")
        for _ in range(2):
            assert await socket.recv() == "took 7"
        assert time.monotonic() - begun < 1.7


async def test_a_failing_function_is_answered_in_api_gateways_words(deployed: Deployed) -> None:
    async with await opened(deployed.direct_socket) as socket:
        await socket.send("crash")
        answer = json.loads(await socket.recv())
    assert answer["message"] == "Internal server error"
    assert set(answer) == {"message", "connectionId", "requestId"}


@pytest.mark.parametrize(("connect_answers", "status"), [("401", 401), ("403", 403), ("crash", 500)])
async def test_a_handshake_is_refused_with_the_status_of_connect(
    deployed: Deployed, connect_answers: str, status: int
) -> None:
    with pytest.raises(InvalidStatus) as refused:
        await opened(deployed.direct_socket, **{"x-answer": connect_answers})
    assert refused.value.response.status_code == status


async def test_more_than_128_kb_cannot_be_posted(deployed: Deployed) -> None:
    async with await connect(deployed.direct_socket, proxy=None) as socket:
        await socket.send(f"post {128 * 1024 + 1}")
        assert await socket.recv() == "refused as too large"
        await socket.send(f"post {128 * 1024}")
        answers = [await socket.recv(), await socket.recv()]
    assert sorted(map(len, answers)) == [len("took 11"), 128 * 1024]


async def test_more_than_128_kb_cannot_be_answered(deployed: Deployed) -> None:
    async with await connect(deployed.direct_socket, proxy=None) as socket:
        await socket.send(f"answer {128 * 1024}")
        assert len(await socket.recv(decode=False)) == 128 * 1024
        await socket.send(f"answer {128 * 1024 + 2}")
        answer = json.loads(await socket.recv())
    assert answer["message"] == "Internal server error"
    assert set(answer) == {"message", "connectionId", "requestId"}


async def test_an_answer_needs_a_route_response(deployed: Deployed) -> None:
    api = deployed.emulator.client("apigatewayv2")
    of_route = {
        "ApiId": deployed.outputs["ClientsApiId"],
        "RouteId": next(
            route["RouteId"]
            for route in api.get_routes(ApiId=deployed.outputs["ClientsApiId"])["Items"]
            if route["RouteKey"] == "$default"
        ),
    }
    (response,) = api.get_route_responses(**of_route)["Items"]
    api.delete_route_response(**of_route, RouteResponseId=response["RouteResponseId"])
    try:
        async with await connect(deployed.direct_socket, proxy=None) as socket:
            await socket.send("hello")
            with pytest.raises(TimeoutError):
                await asyncio.wait_for(socket.recv(), 1)
    finally:
        api.create_route_response(**of_route, RouteResponseKey="$default")


def test_the_emulator_alone_still_refuses_route_responses(plain: Emulator) -> None:
    with pytest.raises(Exception, match="RouteResponse"):
        plain.stack("small", TEMPLATE.read_text(), PythonRuntime=RUNTIME, Objects="-", Management="-")


async def test_the_emulator_alone_still_takes_one_message_at_a_time(plain: Emulator) -> None:
    """And answers without a route response, at any length, and says nothing when the function fails."""
    template = TEMPLATE.read_text()
    start, end = template.index("  DefaultResponse:"), template.index("  Stage:\n    Type")
    outputs = plain.stack(
        "without", template[:start] + template[end:], PythonRuntime=RUNTIME, Objects="-", Management="-"
    )
    async with await opened(Deployed(plain, outputs).direct_socket) as socket:
        await socket.send("warm")
        assert await socket.recv() == "took 4", "of mends/sockets.py, the route's response is no longer needed"
        await socket.send("sleep 1")
        await socket.send("after")
        assert await socket.recv() == "took 7", "of mends/sockets.py, side_by_side is no longer needed"
        await socket.recv()
        await socket.send(f"answer {128 * 1024 + 2}")
        answer = await socket.recv()
        assert "connectionId" not in answer, "of mends/sockets.py, the limit of an answer is no longer needed"
        await socket.send("crash")
        answer = await socket.recv()
        assert "connectionId" not in answer, "of mends/sockets.py, API Gateway's words are no longer needed"
    with pytest.raises(InvalidStatus) as refused:
        await opened(Deployed(plain, outputs).direct_socket, **{"x-answer": "401"})
    assert refused.value.response.status_code == 403, "of mends/sockets.py, the refusal is no longer needed"
