"""How long a door keeps a socket, and in which order: local/relay.py, between a real client and a real server."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress

import h11
from websockets.asyncio.client import ClientConnection, connect
from websockets.asyncio.server import ServerConnection, serve
from websockets.exceptions import ConnectionClosed

from local.faults import Faults, Plan
from local.relay import Patience, Relay


async def _ticking(connection: ServerConnection) -> None:
    """The platform's side: says a word five times a second."""
    while True:
        await connection.send("tick")
        await asyncio.sleep(0.2)


async def _silent(connection: ServerConnection) -> None:
    await connection.wait_closed()


PATIENT = Patience()
NO_FAULTS = Plan()


@asynccontextmanager
async def relayed(platform: object, patience: Patience = PATIENT, plan: Plan = NO_FAULTS) -> AsyncIterator[str]:
    """The URL of a relay before this platform."""
    faults = Faults()
    faults.follow(plan)
    async with serve(platform, "127.0.0.1", 0) as far:  # type: ignore[arg-type]
        far_port = next(iter(far.sockets)).getsockname()[1]

        async def handle(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            connection = h11.Connection(h11.SERVER)
            connection.receive_data(await reader.readuntil(b"\r\n\r\n"))
            request = connection.next_event()
            assert isinstance(request, h11.Request)
            headers = [(name.decode(), value.decode()) for name, value in request.headers]
            await Relay(reader, writer, faults, patience).run("/", headers, f"ws://127.0.0.1:{far_port}", b"")

        near = await asyncio.start_server(handle, "127.0.0.1", 0)
        async with near:
            yield f"ws://127.0.0.1:{near.sockets[0].getsockname()[1]}"


async def seconds_until_closed(url: str) -> tuple[float, int]:
    begun = time.monotonic()
    async with connect(url, proxy=None, ping_interval=None) as socket:
        async with asyncio.timeout(5):
            async for _ in _until_closed(socket):
                pass
        assert socket.close_code is not None
        return time.monotonic() - begun, socket.close_code


async def _until_closed(socket: ClientConnection) -> AsyncIterator[None]:
    with suppress(ConnectionClosed):
        while True:
            await socket.recv()
            yield


async def test_a_silent_connection_is_closed() -> None:
    async with relayed(_silent, Patience(idle_seconds=0.5)) as url:
        seconds, code = await seconds_until_closed(url)
    assert code == 1001
    assert 0.4 < seconds < 2


async def test_what_the_platform_says_keeps_a_connection_open() -> None:
    async with relayed(_ticking, Patience(idle_seconds=0.5, longest_seconds=1.5)) as url:
        seconds, code = await seconds_until_closed(url)
    assert code == 1001
    assert seconds > 1.3


async def test_no_connection_lasts_for_ever() -> None:
    async with relayed(_ticking, Patience(longest_seconds=0.5)) as url:
        seconds, code = await seconds_until_closed(url)
    assert code == 1001
    assert seconds < 2


async def _counting(connection: ServerConnection) -> None:
    for number in range(40):
        await connection.send(str(number))
    await connection.wait_closed()


async def test_messages_overtake_those_that_are_held_back_and_none_is_lost() -> None:
    async with relayed(_counting, plan=Plan(seed=1, reorder=0.3)) as url, connect(url, proxy=None) as socket:
        async with asyncio.timeout(5):
            arrived = [int(await socket.recv()) for _ in range(40)]

    assert sorted(arrived) == [*range(40)]
    assert arrived != [*range(40)]
