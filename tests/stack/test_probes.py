"""The probes that sandboxes fail, asked of the whole platform: SDK, doors, machines and agent."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass

import pytest

from benchmarks.agent.probes import (
    PROBES,
    Probe,
    is_right_two_hundred_times,
    leaves_no_zombie,
    leaves_no_zombie_of_ten_thousand,
    runs_fifty_at_once,
)
from benchmarks.agent.runtime import Receive, Result
from benchmarks.metering import Usage, service_of
from filepath_sdk import AsyncFilepath, AsyncSession, OutputEvent
from local import calls
from local.calls import Invocation
from tests.stack.conftest import RunningStack, agent_pid

SESSIONS = 4
AT_ONCE = 14
"""Tasks of one session, which takes sixteen."""
PATIENCE_SECONDS = 120
MESSAGE_LIMIT = 128 * 1024
FRAME_LIMIT = 32 * 1024
STATE_LIMIT = 256 * 1024

ELSEWHERE = (is_right_two_hundred_times, leaves_no_zombie)
"""The first asks for what each other probe asks for too, and the second for less than the one that replaces it here."""
SIDE_BY_SIDE: Mapping[str, Probe] = {
    name: probe for name, probe in PROBES.items() if probe not in (*ELSEWHERE, runs_fifty_at_once)
}
BY_THEMSELVES: Mapping[str, Probe] = {
    "50 at once": runs_fifty_at_once,
    "10,000 short children, no zombie": leaves_no_zombie_of_ten_thousand,
}


class Asked:
    """Sessions of one account as one probe asks them, with what they answered."""

    def __init__(self, pids: Sequence[int], free: asyncio.Queue[AsyncSession]) -> None:
        self.pids = pids
        self.answers: list[str] = []
        self._free = free

    async def run(
        self, command: str, receive: Receive, *, stdin: str | None = None, timeout_seconds: int = 600
    ) -> Result:
        session = await self._free.get()
        begun = time.monotonic()
        task = await session.start(command, stdin=stdin, timeout=timeout_seconds)
        async for event in task.events():
            task.observe(event)
            if isinstance(event, OutputEvent):
                receive(event.stream, event.data)
        result = await task.wait(0)
        self._free.put_nowait(session)
        seconds = time.monotonic() - begun
        output = f"{result.stdout_bytes[:100]!r}, {result.stderr_bytes[:100]!r}"
        self.answers.append(f"{command[:100]!r} {result.outcome} after {seconds:.1f} s: {output}")
        return Result(result.exit_code, result.signal or result.status)


@dataclass(frozen=True)
class Verdict:
    is_right: bool
    told: object


async def asked_all(stack: RunningStack, key: str) -> dict[str, Verdict]:
    """All the probes, asked once; each test looks at one verdict."""
    verdicts: dict[str, Verdict] = {}
    async with open_sessions(stack, key) as sessions:
        pids = [agent_pid(session.id) for session in sessions]
        free: asyncio.Queue[AsyncSession] = asyncio.Queue()
        for session in [*sessions] * AT_ONCE:
            free.put_nowait(session)

        async def ask(name: str, probe: Probe) -> None:
            asked = Asked(pids, free)
            try:
                async with asyncio.timeout(PATIENCE_SECONDS):
                    verdicts[name] = Verdict(await probe(asked), asked.answers)
            except Exception as error:  # noqa: BLE001 - it is the verdict, and the others are to be heard
                verdicts[name] = Verdict(is_right=False, told=[repr(error), *asked.answers])

        await asyncio.gather(*(ask(name, probe) for name, probe in SIDE_BY_SIDE.items()))
        for name, probe in BY_THEMSELVES.items():
            await ask(name, probe)
    return verdicts


@asynccontextmanager
async def open_sessions(stack: RunningStack, key: str) -> AsyncIterator[list[AsyncSession]]:
    async with AsyncExitStack() as until_the_end:
        fp = await until_the_end.enter_async_context(AsyncFilepath(key, stack.url, socket_url=stack.socket_url))
        opened = [await until_the_end.enter_async_context(fp.sessions.create()) for _ in range(SESSIONS)]
        await asyncio.gather(*(session.run("true") for session in opened))
        yield opened


@pytest.fixture(scope="module")
def record(stack: RunningStack) -> int:
    """Where in the record of calls the probes begin."""
    return stack.home.calls.stat().st_size


@pytest.fixture(scope="module")
def verdicts(stack: RunningStack, record: int) -> dict[str, Verdict]:
    return asyncio.run(asked_all(stack, stack.account("probes").key))


@pytest.mark.parametrize("name", [*SIDE_BY_SIDE, *BY_THEMSELVES])
def test_the_platform_answers_right(verdicts: dict[str, Verdict], name: str) -> None:
    assert verdicts[name].is_right, verdicts[name].told


def test_no_message_was_larger_than_api_gateway_takes(
    stack: RunningStack, verdicts: dict[str, Verdict], record: int
) -> None:
    """Nor did the doors or the emulator keep one back: what it carried would have been missed."""
    usage = Usage(*calls.read(stack.home.calls, record))
    agents = _of(usage.invocations, "AgentsFunction")
    messages = [*agents, *_of(usage.invocations, "ClientsFunction")]
    sizes = [size for message in messages for size in (message.sent, message.received)]
    posted = [post.sent for post in usage.posts()]

    assert max(*sizes, *posted) <= MESSAGE_LIMIT
    assert max(message.sent for message in agents) > FRAME_LIMIT  # so that messages came in several frames
    assert max(posted) > 1000


def test_no_state_was_larger_than_step_functions_takes(
    stack: RunningStack, verdicts: dict[str, Verdict], record: int
) -> None:
    made, invocations = calls.read(stack.home.calls, record)
    steps = _of(invocations, "WorkflowFunction")
    sizes = [size for step in steps for size in (step.sent, step.received)]
    sizes += [call.sent for call in made if service_of(call) == "states"]

    assert len(sizes) > 2 * len(PROBES)
    assert max(sizes) <= STATE_LIMIT


def _of(invocations: Sequence[Invocation], output: str) -> list[Invocation]:
    return [each for each in invocations if output in each.function]
