"""The client for asyncio on a real stack: runs side by side, given up, and read again where a socket was cut."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import pytest

from filepath_sdk import AsyncFilepath, AsyncSession, OutputEvent
from tests.stack.conftest import RunningStack, once

pytestmark = once


@pytest.fixture
async def fp(stack: RunningStack) -> AsyncIterator[AsyncFilepath]:
    key = (await asyncio.to_thread(stack.account)).key
    async with AsyncFilepath(key, stack.url, socket_url=stack.socket_url) as client:
        yield client


@pytest.fixture
async def session(fp: AsyncFilepath) -> AsyncIterator[AsyncSession]:
    async with fp.sessions.create() as session:
        yield session


async def test_runs_side_by_side_keep_output_and_end_apart_and_are_charged_each(
    fp: AsyncFilepath, session: AsyncSession
) -> None:
    results = await asyncio.gather(
        *(session.run(f"echo {number}; sleep 0.5; echo {number} >&2; exit {number}") for number in range(8))
    )

    assert [(one.stdout, one.stderr, one.exit_code) for one in results] == [
        (f"{number}\n", f"{number}\n", number) for number in range(8)
    ]
    (row,) = (await fp.usage(group_by="session")).rows
    assert (row.session_id, row.credits, row.tasks) == (session.id, 8, 8)


async def test_lines_reach_a_coroutine_while_the_command_runs(session: AsyncSession) -> None:
    seen: asyncio.Queue[str] = asyncio.Queue()
    running = asyncio.create_task(session.run("echo first; read -t 60 < <(sleep 60)", on_stdout=seen.put))
    first = await asyncio.wait_for(seen.get(), 30)
    running.cancel()
    with pytest.raises(asyncio.CancelledError):
        await running

    assert first == "first\n"


async def test_a_run_that_is_given_up_is_cancelled_on_the_platform(session: AsyncSession) -> None:
    await session.run("true")
    with pytest.raises(TimeoutError):
        await asyncio.wait_for(session.run("sleep 60"), 1)
    left = await session.run("until ! pgrep -x sleep; do read -t 0.1 < <(:) || true; done > /dev/null", timeout=30)

    assert left.status == "completed"


async def test_a_cut_socket_costs_a_watcher_no_byte(stack: RunningStack, session: AsyncSession) -> None:
    task = await session.start("for i in $(seq 20); do echo $i; sleep 0.1; done")
    shown = b""
    async for event in task.events():
        if isinstance(event, OutputEvent):
            if not shown:
                assert await asyncio.to_thread(stack.faults, "socket", cut=True) >= 1
            shown += event.data

    assert shown == "".join(f"{number + 1}\n" for number in range(20)).encode()
