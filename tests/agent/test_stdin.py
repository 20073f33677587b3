"""Writing to a command's stdin while it runs: every byte once and in order, whatever becomes of the messages."""

from __future__ import annotations

import hashlib
import os
from typing import Any

import pytest

from tests.agent.conftest import AgentProcess, Agents
from tests.agent.platform_peer import Log, PlatformPeer

ECHO = 'while read -r line; do echo "got $line"; done; echo end'


async def opened(peer: PlatformPeer, command: str, **more: Any) -> Log:
    log = await peer.execute("wf_a", command, stdin_open=True, **more)
    await peer.until(lambda: bool(peer.of("readStdin")))
    return log


async def test_what_is_written_is_read_as_it_comes_and_closing_is_its_end(
    peer: PlatformPeer, agent: AgentProcess
) -> None:
    log = await opened(peer, ECHO)
    await peer.write("wf_a", b"one\n")
    await peer.until(lambda: log.text() == "got one\n")
    await peer.write("wf_a", b"two\n")
    await peer.until(lambda: log.text() == "got one\ngot two\n")
    await peer.write("wf_a", b"", closed=True)
    await peer.until(lambda: log.exit is not None)
    assert log.text() == "got one\ngot two\nend\n"
    assert len(peer.of("readStdin")) == 1


async def test_it_comes_after_what_was_given(peer: PlatformPeer, agent: AgentProcess) -> None:
    log = await opened(peer, ECHO, stdin="given\n")
    await peer.write("wf_a", b"written\n", closed=True)
    await peer.until(lambda: log.exit is not None)
    assert log.text() == "got given\ngot written\nend\n"


async def test_what_was_written_before_the_command_ran_is_asked_for(peer: PlatformPeer, agent: AgentProcess) -> None:
    await peer.until(lambda: bool(peer.greeted()))
    data = os.urandom(300_000)
    peer.logs["wf_a"] = Log(stdin=bytearray(data), stdin_closed=True)
    log = await peer.execute("wf_a", "sha256sum", stdin_open=True)
    await peer.until(lambda: log.exit is not None)
    assert log.text().split()[0] == hashlib.sha256(data).hexdigest()


async def test_pieces_that_are_lost_doubled_or_overtake_each_other_change_nothing(
    peer: PlatformPeer, agent: AgentProcess
) -> None:
    log = await opened(peer, "sha256sum; echo end")
    data = os.urandom(200_000)
    for number in range(0, 200_000, 10_000):
        await peer.write("wf_a", data[number : number + 10_000], is_lost=number % 30_000 == 0)
    for number in (150_000, 40_000, 40_000, 0):
        await peer.post("stdin", peer.piece("wf_a", number).params())
    await peer.write("wf_a", b"", closed=True)
    await peer.until(lambda: log.exit is not None)
    assert log.text().split()[0] == hashlib.sha256(data).hexdigest()


@pytest.mark.parametrize("way", ["hello", "heartbeat"])
async def test_a_last_piece_that_was_lost_is_made_good_by_hello_or_a_heartbeat(
    peer: PlatformPeer, agents: Agents, way: str
) -> None:
    peer.heartbeat_seconds = 0.2 if way == "heartbeat" else 30
    agents.start()
    log = await opened(peer, ECHO)
    await peer.write("wf_a", b"lost\n", closed=True, is_lost=True)
    written = {"stdin": [{"workflowId": "wf_a", "length": 5, "closed": True}]}
    if way == "hello":
        peer.hello = written
        peer.cut()
    else:
        peer.heartbeat = written
    await peer.until(lambda: log.exit is not None)
    assert log.text() == "got lost\nend\n"


async def test_a_command_that_does_not_read_keeps_nobody_waiting_and_ends_as_it_does(
    peer: PlatformPeer, agent: AgentProcess
) -> None:
    log = await opened(peer, "sleep 1; exit 3")
    for _ in range(80):
        await peer.write("wf_a", bytes(64 * 1024), is_lost=True)
    await peer.write("wf_a", b"", closed=True)
    await peer.until(lambda: log.exit is not None)
    assert log.exit
    assert (log.exit.cause, log.exit.exit_code) == ("exited", 3)
    assert agent.memory() < 64 * 1024 * 1024
    assert (await peer.run("echo next")).text() == "next\n"


async def test_a_command_that_closed_its_stdin_runs_on(peer: PlatformPeer, agent: AgentProcess) -> None:
    log = await opened(peer, "exec <&-; echo closed; sleep 0.5; echo still here")
    await peer.until(lambda: log.text() == "closed\n")
    await peer.write("wf_a", b"for nobody\n")
    await peer.write("wf_a", b"at all\n", closed=True)
    await peer.until(lambda: log.exit is not None)
    assert log.exit
    assert (log.exit.cause, log.text()) == ("exited", "closed\nstill here\n")


async def test_without_an_end_it_waits_for_more_until_its_deadline(peer: PlatformPeer, agent: AgentProcess) -> None:
    log = await opened(peer, "cat", timeout_seconds=1)
    await peer.write("wf_a", b"and then")
    await peer.until(lambda: log.exit is not None)
    assert log.exit
    assert (log.exit.cause, log.text()) == ("timed_out", "and then")


async def test_it_can_be_opened_by_its_name(peer: PlatformPeer, agent: AgentProcess) -> None:
    log = await opened(peer, "cat /dev/stdin")
    await peer.write("wf_a", b"by name", closed=True)
    await peer.until(lambda: log.exit is not None)
    assert log.text() == "by name"


async def test_a_platform_that_is_done_with_the_task_stops_it(peer: PlatformPeer, agent: AgentProcess) -> None:
    peer.stopped.add("wf_a")
    await peer.execute("wf_a", "sleep 398", stdin_open=True)
    await peer.until(lambda: bool(peer.of("readStdin")))
    await peer.run("true")
    assert peer.of("exit", "wf_a") == []
