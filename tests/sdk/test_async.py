"""What only asyncio asks of a client: cancellation, many tasks side by side, callbacks that are awaited.

All that both clients do alike is tried with both by their common tests.
"""

from __future__ import annotations

import asyncio
import sys
from collections.abc import AsyncIterator, Callable

import pytest

from filepath_sdk import AsyncFilepath, AsyncSession, NotFound, OutputEvent, WaitTimeout
from tests.sdk.driven import other_tasks
from tests.sdk.platform_double import KEY, Faults, Platform


@pytest.fixture
async def fp(platform: Platform) -> AsyncIterator[AsyncFilepath]:
    """When it is closed, nothing that it began goes on in the loop."""
    before = await other_tasks()
    async with AsyncFilepath(KEY, platform.url) as client:
        yield client
    assert await other_tasks() == before


@pytest.fixture
async def session(fp: AsyncFilepath) -> AsyncIterator[AsyncSession]:
    async with fp.sessions.create() as session:
        yield session


async def until(look: Callable[[], object]) -> None:
    """For what the platform's threads do."""
    async with asyncio.timeout(10):
        while not look():  # noqa: ASYNC110 -- they know no event of this loop
            await asyncio.sleep(0.005)


async def test_a_session_is_made_by_awaiting_or_by_entering_it(platform: Platform, fp: AsyncFilepath) -> None:
    awaited = await fp.sessions.create("awaited")
    async with fp.sessions.create("entered") as entered, fp.sessions.get(awaited.id) as got:
        assert (await entered.run("echo a")).stdout == "a\n"
    assert [one["status"] for one in platform.sessions.values()] == ["closing", "closing"]
    assert (got.id, entered.info.status) == (awaited.id, "starting")


async def test_callbacks_may_be_functions_and_coroutine_functions(session: AsyncSession) -> None:
    seen: list[str] = []

    async def slow(text: str) -> None:
        await asyncio.sleep(0.01)
        seen.append(f"err {text}")

    await session.run("echo 1; sleep 0.1; echo 2 >&2; sleep 0.1; echo 3", on_stdout=seen.append, on_stderr=slow)
    assert seen == ["1\n", "err 2\n", "3\n"]


async def test_two_hundred_runs_side_by_side_share_a_socket_and_keep_their_output_apart(
    platform: Platform, session: AsyncSession
) -> None:
    platform.faults = Faults(seed=7, omit=0.05, double=0.2, overtake=0.2)
    runs = [session.run(f"echo {number}; sleep 0.05; echo {number}; exit {number % 7}") for number in range(200)]
    results = await asyncio.gather(*runs)
    assert [result.stdout for result in results] == [f"{number}\n{number}\n" for number in range(200)]
    assert [result.exit_code for result in results] == [number % 7 for number in range(200)]
    assert platform.sockets_opened == 1


async def test_a_run_goes_on_in_a_loop_that_does_other_things(session: AsyncSession) -> None:
    beats = 0

    async def beat() -> None:
        nonlocal beats
        while True:
            beats += 1
            await asyncio.sleep(0.01)

    heart = asyncio.create_task(beat())
    await session.run("sleep 0.5")
    heart.cancel()
    assert beats > 15


@pytest.mark.parametrize("give_up", ["timeout", "cancel"])
async def test_a_run_that_is_given_up_cancels_its_command(
    platform: Platform, session: AsyncSession, give_up: str
) -> None:
    running = asyncio.create_task(session.run("echo up; sleep 60"))
    await until(lambda: "wf_1" in platform.tasks and platform.tasks["wf_1"].size)
    if give_up == "timeout":
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(running, 0.05)
    else:
        running.cancel()
        with pytest.raises(asyncio.CancelledError):
            await running
    assert platform.tasks["wf_1"].cancelled


async def test_a_run_that_is_given_up_while_it_is_submitted_leaves_no_command_behind(
    platform: Platform, session: AsyncSession
) -> None:
    await session.run("true")
    platform.hold_replies.clear()
    running = asyncio.create_task(session.run("echo up; sleep 60"))
    await until(lambda: "wf_2" in platform.tasks)
    running.cancel()
    platform.hold_replies.set()
    with pytest.raises(asyncio.CancelledError):
        await running
    assert platform.tasks["wf_2"].cancelled


async def test_a_session_that_is_given_up_while_it_is_made_is_closed(platform: Platform, fp: AsyncFilepath) -> None:
    async def work() -> None:
        async with fp.sessions.create():
            raise AssertionError("the caller had gone")

    platform.hold_replies.clear()
    working = asyncio.create_task(work())
    await until(lambda: platform.sessions)
    working.cancel()
    platform.hold_replies.set()
    with pytest.raises(asyncio.CancelledError):
        await working
    assert platform.sessions["ses_1"]["status"] == "closing"


async def test_a_block_that_is_cancelled_closes_its_session(platform: Platform, fp: AsyncFilepath) -> None:
    async def work() -> None:
        async with fp.sessions.create() as session:
            await session.run("echo up; sleep 60")

    working = asyncio.create_task(work())
    await until(lambda: "wf_1" in platform.tasks and platform.tasks["wf_1"].size)
    working.cancel()
    with pytest.raises(asyncio.CancelledError):
        await working
    assert platform.sessions["ses_1"]["status"] == "closing"


async def test_one_run_that_fails_ends_the_others_of_its_group(platform: Platform, session: AsyncSession) -> None:
    async def work() -> None:
        async with asyncio.TaskGroup() as group:
            group.create_task(session.run("echo up; sleep 60"))
            await until(lambda: "wf_1" in platform.tasks and platform.tasks["wf_1"].size)
            group.create_task(session.run("exit 3", check=True))

    with pytest.raises(ExceptionGroup) as caught:
        await work()
    assert "exit code 3" in str(caught.value.exceptions[0])
    assert platform.tasks["wf_1"].cancelled
    assert (await session.run("echo still")).stdout == "still\n"


async def test_a_wait_that_was_cancelled_is_gone_on_with_and_loses_nothing(session: AsyncSession) -> None:
    task = await session.start("for i in $(seq 30); do echo $i; sleep 0.02; done")
    for _ in range(5):
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(task.wait(), 0.03)
    with pytest.raises(WaitTimeout):
        await task.wait(timeout=0.03)
    assert (await task.wait()).stdout == "".join(f"{number + 1}\n" for number in range(30))


async def test_events_that_are_left_early_are_gone_on_with(session: AsyncSession) -> None:
    task = await session.start("echo one; sleep 0.2; echo two")
    events, shown = task.events(), b""
    async for event in events:
        if isinstance(event, OutputEvent):
            shown += event.data
            break
    async for event in events:
        shown += event.data if isinstance(event, OutputEvent) else b""
    assert shown == b"one\ntwo\n"


FORGETFUL = """
import asyncio, sys
from filepath_sdk import AsyncFilepath

async def main():
    fp = AsyncFilepath(*sys.argv[1:])
    await (await fp.sessions.create()).run("true")

asyncio.run(main())
"""


async def test_a_client_that_is_never_closed_keeps_no_program_from_ending(platform: Platform) -> None:
    program = await asyncio.create_subprocess_exec(
        sys.executable, "-c", FORGETFUL, KEY, platform.url, stderr=asyncio.subprocess.PIPE
    )
    assert (await asyncio.wait_for(program.communicate(), 20))[1] == b""
    assert program.returncode == 0
    await until(lambda: platform.open_sockets() == 0)


async def test_a_client_may_be_made_before_the_loop_runs(platform: Platform) -> None:
    fp = await asyncio.to_thread(AsyncFilepath, KEY, platform.url)
    assert (await fp.credits()).balance == 1000
    with pytest.raises(NotFound):
        await fp.sessions.get("ses_9")
    await fp.close()
