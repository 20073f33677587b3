"""What finished commands leave running: reported while no command runs, and ended in time, and it alone."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from tests.agent.conftest import AgentProcess, Agents
from tests.agent.platform_peer import PlatformPeer, failure

DAEMON = "setsid sleep {} >/dev/null 2>&1 & echo $!"
SETTLED = {"FILEPATH_AGENT_SETTLE_SECONDS": "0.1"}


def reports(peer: PlatformPeer) -> list[dict[str, Any]]:
    return [received.params for received in peer.of("background")]


def shown(report: dict[str, Any]) -> tuple[int, bool, str | None]:
    return report["processes"], report["active"], report["stopped"]


@pytest.fixture
def agent(agents: Agents) -> AgentProcess:
    return agents.start(**SETTLED)


async def test_what_is_left_is_reported_and_again_when_it_is_gone(peer: PlatformPeer, agent: AgentProcess) -> None:
    await peer.run("setsid sleep 1.5 >/dev/null 2>&1 & setsid sleep 0.8 >/dev/null 2>&1 & true")
    await peer.until(lambda: len(reports(peer)) == 2)
    assert [shown(report) for report in reports(peer)] == [(2, True, None), (0, False, None)]
    begun, over = reports(peer)
    assert begun["elapsedMs"] < 100
    assert 1000 < over["elapsedMs"] < 3000
    assert [begun["number"], over["number"]] == [1, 2]


async def test_a_command_that_leaves_nothing_is_not_reported(peer: PlatformPeer, agent: AgentProcess) -> None:
    await peer.run("sleep 0.05 & true")
    await peer.run("(setsid true &); true")
    await asyncio.sleep(0.5)  # for a report there would be no event
    assert reports(peer) == []


async def test_each_started_stretch_is_reported_and_the_time_is_added_up_over_commands(
    peer: PlatformPeer, agents: Agents
) -> None:
    """While a command runs nothing is counted: it is charged itself."""
    agents.start(**SETTLED, FILEPATH_AGENT_REPORT_SECONDS="0.5")
    await peer.run(DAEMON.format(381))
    await peer.until(lambda: len(reports(peer)) == 3)
    assert [report["elapsedMs"] // 500 for report in reports(peer)] == [0, 1, 2]
    await peer.run("sleep 1.2")
    await peer.until(lambda: len(reports(peer)) == 6)
    paused, resumed, following = reports(peer)[3:]
    assert (shown(paused), shown(resumed)) == ((1, False, None), (1, True, None))
    assert paused["elapsedMs"] <= resumed["elapsedMs"] < paused["elapsedMs"] + 100
    assert following["elapsedMs"] // 500 == resumed["elapsedMs"] // 500 + 1


async def test_after_its_time_it_is_ended_with_all_that_came_of_it(peer: PlatformPeer, agents: Agents) -> None:
    peer.hello = {"backgroundSeconds": 1}
    agent = agents.start(**SETTLED)
    await peer.run("(setsid bash -c 'trap \"\" TERM; sleep 382 & sleep 383; sleep 384' >/dev/null 2>&1 &); true")
    await peer.until(lambda: len(reports(peer)) == 2)
    assert shown(reports(peer)[1]) == (0, False, "background_limit")
    assert 1000 <= reports(peer)[1]["elapsedMs"] < 1500
    await agent.until_alone()
    assert (await peer.run("echo next")).text() == "next\n"


async def test_each_command_gives_it_its_time_anew(peer: PlatformPeer, agents: Agents) -> None:
    peer.hello = {"backgroundSeconds": 3}
    agent = agents.start(**SETTLED)
    await peer.run(DAEMON.format(385))
    for _ in range(3):
        await asyncio.sleep(1.5)
        await peer.run("true")
    assert any("sleep 385" in line for line in agent.descendants())
    assert all(report["stopped"] is None for report in reports(peer))


async def test_without_any_time_it_is_ended_at_once_and_never_counted(peer: PlatformPeer, agents: Agents) -> None:
    peer.hello = {"backgroundSeconds": 0}
    agent = agents.start()
    await peer.run(DAEMON.format(386))
    await peer.until(lambda: bool(reports(peer)))
    assert [shown(report) for report in reports(peer)] == [(0, False, "background_limit")]
    assert reports(peer)[0]["elapsedMs"] == 0
    await agent.until_alone()


async def test_the_platform_has_it_ended_and_its_reason_comes_back(peer: PlatformPeer, agent: AgentProcess) -> None:
    peer.background = {"stop": True, "reason": "insufficient_credits"}
    await peer.run(DAEMON.format(387))
    await peer.until(lambda: len(reports(peer)) == 2)
    assert [shown(report) for report in reports(peer)] == [(1, True, None), (0, False, "insufficient_credits")]
    await agent.until_alone()


async def test_a_command_that_starts_while_leftovers_are_ended_is_not_touched(
    peer: PlatformPeer, agents: Agents
) -> None:
    peer.hello, peer.grace_seconds = {"backgroundSeconds": 0}, 1.0
    agent = agents.start()
    await peer.run("(setsid bash -c 'trap \"touch asked\" TERM; while :; do sleep 0.1; done' >/dev/null 2>&1 &); true")
    while not (agent.workspace / "asked").exists():  # noqa: ASYNC110 - the file tells no event
        await asyncio.sleep(0.02)
    log = await peer.run("setsid sleep 1.6 & (setsid bash -c 'sleep 1.6; echo whole' &); sleep 2; wait")
    assert log.exit
    assert (log.exit.cause, log.exit.exit_code) == ("exited", 0)
    assert log.text() == "whole\n"
    assert shown(reports(peer)[0]) == (0, False, "background_limit")


async def test_what_a_cancelled_command_still_ends_is_not_left_behind(peer: PlatformPeer, agent: AgentProcess) -> None:
    log = await peer.execute("wf_a", "trap '' TERM; setsid sleep 388 & echo up; sleep 389; sleep 390")
    await peer.until(lambda: log.data == b"up\n")
    await peer.signal("wf_a", "TERM")
    await peer.until(lambda: log.exit is not None)
    await peer.run("true")
    assert reports(peer) == []


async def test_time_without_a_connection_is_reported_after_it_and_the_limit_holds_meanwhile(
    peer: PlatformPeer, agents: Agents
) -> None:
    peer.hello = {"backgroundSeconds": 1.5}
    agent = agents.start(**SETTLED, FILEPATH_AGENT_REPORT_SECONDS="0.5")
    await peer.run(DAEMON.format(391))
    await peer.until(lambda: len(reports(peer)) == 1)
    peer.refuse_with = 503
    peer.cut()
    await agent.until_alone()
    peer.refuse_with = None
    await peer.until(lambda: shown(reports(peer)[-1]) == (0, False, "background_limit"))
    assert 1500 <= reports(peer)[-1]["elapsedMs"] < 2000


async def test_a_report_whose_answer_is_lost_is_sent_again_as_it_was(peer: PlatformPeer, agents: Agents) -> None:
    agents.start(**SETTLED, FILEPATH_AGENT_SILENCE_SECONDS="0.3")
    lost = iter([None])
    peer.answers = lambda received: received.method != "background" or next(lost, True)
    await peer.run(DAEMON.format(392))
    await peer.until(lambda: len(reports(peer)) == 2)
    assert reports(peer)[0] == reports(peer)[1]


async def test_a_platform_that_knows_no_background_keeps_its_agent(peer: PlatformPeer, agent: AgentProcess) -> None:
    peer.answers = lambda received: received.method != "background" or failure(received.text, retryable=False)
    await peer.run(DAEMON.format(393))
    await peer.until(lambda: len(reports(peer)) == 1)
    assert (await peer.run("echo next")).text() == "next\n"


async def test_a_closed_session_ends_the_agent_at_its_next_report(peer: PlatformPeer, agent: AgentProcess) -> None:
    peer.answers = lambda received: (
        received.method != "background" or failure(received.text, retryable=False, code="session_closed")
    )
    await peer.run(DAEMON.format(394))
    assert await agent.exit_code() == 0
