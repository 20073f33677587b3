"""More output than is kept of a task: the log is whole up to the limit, and what wrote it is ended."""

from __future__ import annotations

import pytest

from tests.agent.conftest import AgentProcess, Agents
from tests.agent.platform_peer import PlatformPeer

LIMIT = 200_000


@pytest.fixture
def agent(peer: PlatformPeer, agents: Agents) -> AgentProcess:
    peer.hello = {"outputLimitBytes": LIMIT}
    return agents.start()


async def test_a_command_is_ended_with_its_children_at_the_first_byte_too_many(
    peer: PlatformPeer, agent: AgentProcess
) -> None:
    log = await peer.run("setsid sleep 371 & yes 'a line' | tee /dev/stderr & yes")
    assert log.exit
    assert (log.exit.cause, log.exit.signal, log.exit.leftovers) == ("output_limit", "TERM", 0)
    assert log.exit.message == f"its output is cut at {LIMIT} bytes, the most that is kept of a task"
    assert log.stored == len(log.data) == LIMIT
    assert agent.descendants() == []
    assert (await peer.run("echo next")).text() == "next\n"


async def test_the_log_is_what_was_written_first(peer: PlatformPeer, agent: AgentProcess) -> None:
    log = await peer.run("seq 1 1000000")
    assert log.data == b"".join(b"%d\n" % number for number in range(1, 100_000))[:LIMIT]


async def test_a_command_that_writes_as_much_as_is_kept_is_whole(peer: PlatformPeer, agent: AgentProcess) -> None:
    log = await peer.run(f"head -c {LIMIT} /dev/zero; echo -n >&2; exit 3")
    assert log.exit
    assert (log.exit.cause, log.exit.exit_code, log.exit.message) == ("exited", 3, None)
    assert len(log.data) == LIMIT


async def test_a_command_that_ended_before_its_output_was_read_is_cut_all_the_same(
    peer: PlatformPeer, agents: Agents
) -> None:
    """All of it fits into the pipe, and `wait` said 0: that is not hidden, and its output not called complete."""
    peer.hello = {"outputLimitBytes": 10}
    agents.start()
    log = await peer.run("printf 'twelve bytes'; exit 0")
    assert log.exit
    assert log.exit.cause == "output_limit"
    assert log.text() == "twelve byt"


async def test_what_handles_the_signal_can_still_write_and_is_not_kept_waiting(
    peer: PlatformPeer, agent: AgentProcess
) -> None:
    peer.grace_seconds = 15
    log = await peer.run("trap 'head -c 900000 /dev/zero; touch handled; exit 4' TERM; while :; do seq 10000; done")
    assert log.exit
    assert (log.exit.cause, log.exit.exit_code) == ("output_limit", 4)
    assert len(log.data) == LIMIT
    assert (agent.workspace / "handled").exists()


async def test_a_slow_platform_slows_a_command_to_the_limit_and_memory_stays_bounded(
    peer: PlatformPeer, agent: AgentProcess
) -> None:
    peer.answer_delay = 0.3
    log = await peer.run("yes")
    assert log.exit
    assert log.exit.cause == "output_limit"
    assert len(log.data) == LIMIT
    assert agent.memory() < 64 * 1024 * 1024
