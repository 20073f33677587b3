"""The way to the platform: cuts, silence, refusals, and the change from one connection to the next."""

from __future__ import annotations

import asyncio
import hashlib
import time
from concurrent.futures import Future, ThreadPoolExecutor

import pytest

from agent.line import Line
from tests.agent.conftest import AgentProcess, Agents
from tests.agent.platform_peer import (
    SESSION,
    TOKEN,
    PlatformPeer,
    Received,
    failure,
    gateway_error,
)

NUMBERS = "".join(f"{n}\n" for n in range(1, 200_001)).encode()
COUNT = "seq 1 200000"
QUICK = {"FILEPATH_AGENT_SILENCE_SECONDS": "0.3"}


def _is_exact(peer: PlatformPeer, workflow_id: str) -> bool:
    log = peer.logs[workflow_id]
    return hashlib.sha256(log.data).digest() == hashlib.sha256(NUMBERS).digest()


async def test_the_handshake_names_session_instance_and_token(peer: PlatformPeer, agent: AgentProcess) -> None:
    await peer.until(lambda: bool(peer.greeted()))
    headers = peer.handshakes[0].headers
    assert headers["Authorization"] == f"Bearer {TOKEN}"
    assert headers["X-Filepath-Session"] == SESSION
    assert headers["X-Filepath-Instance"] == peer.greeted()[0].params["instance"]
    assert TOKEN not in peer.handshakes[0].path


async def test_an_exec_before_hello_is_answered_waits_for_the_sessions_environment(
    peer: PlatformPeer, agents: Agents
) -> None:
    peer.session_env = {"GREETING": "from the session"}
    peer.answer_delay = 0.3
    agents.start()
    log = await peer.execute("wf_a", "echo $GREETING")
    assert not log.started
    peer.answer_delay = 0
    await peer.until(lambda: log.exit is not None)
    assert log.text() == "from the session\n"


async def test_cuts_in_the_middle_lose_and_double_nothing(peer: PlatformPeer, agent: AgentProcess) -> None:
    peer.answer_delay = 0.01
    log = await peer.execute("wf_a", COUNT)
    for part in (1, 3, 6):
        await peer.until(lambda part=part: len(log.data) > part * 150_000)  # type: ignore[misc]
        peer.cut()
    await peer.until(lambda: log.exit is not None, seconds=12)  # sooner than silence would be noticed
    assert len(peer.connections) == 4
    assert len({hello.params["instance"] for hello in peer.greeted()}) == 1
    assert _is_exact(peer, "wf_a")


async def test_hello_comes_first_on_every_connection(peer: PlatformPeer, agent: AgentProcess) -> None:
    log = await peer.execute("wf_a", "for i in {1..30}; do echo $i; sleep 0.02; done")
    await peer.until(lambda: len(log.data) > 10)
    peer.cut()
    await peer.until(lambda: log.exit is not None)
    for connection in (0, 1):
        methods = [received.method for received in peer.received if received.connection == connection]
        assert methods[0] == "hello"
        assert methods.count("hello") == 1
    assert peer.greeted()[1].params["tasks"] == ["wf_a"]


async def test_a_command_goes_on_while_there_is_no_connection(peer: PlatformPeer, agent: AgentProcess) -> None:
    log = await peer.execute("wf_a", "echo before; sleep 0.3; echo after; exit 6")
    await peer.until(lambda: bool(log.data))
    peer.refuse_with = 503
    peer.cut()
    await peer.until(lambda: len(peer.handshakes) >= 3)
    peer.refuse_with = None
    await peer.until(lambda: log.exit is not None)
    assert log.text() == "before\nafter\n"
    assert log.exit
    assert log.exit.exit_code == 6
    assert log.exit.run_ms < 1000


async def test_a_resend_is_identical_to_the_byte(peer: PlatformPeer, agents: Agents) -> None:
    agents.start(**QUICK)
    lost: list[str] = []

    def lose_first(received: Received) -> bool | None:
        if received.method in ("started", "output", "exit") and received.method not in lost:
            lost.append(received.method)
            return None  # done, but the answer is lost
        return True

    peer.answers = lose_first
    log = await peer.run("for i in {1..20}; do echo $i; sleep 0.05; done")
    await peer.until(lambda: len(peer.of("exit")) == 2)
    assert log.text().split() == [str(n) for n in range(1, 21)]
    assert {received.method for received in peer.received if received.text in peer.resent()} == {
        "started",
        "output",
        "exit",
    }
    # Whatever was sent again under the same id was the same text.
    by_offset = {(received.params["offset"], received.text) for received in peer.of("output")}
    assert len(by_offset) == len({offset for offset, _ in by_offset})


@pytest.mark.parametrize("kind", ["gateway", "retryable", "nothing"])
async def test_failures_on_the_way_are_tried_again(peer: PlatformPeer, agents: Agents, kind: str) -> None:
    agents.start(**QUICK)
    seen: set[str] = set()

    def fail_first(received: Received) -> str | bool:
        if received.text in seen or len(seen) > 8:
            return True
        seen.add(received.text)
        if kind == "nothing":
            return False
        return gateway_error() if kind == "gateway" else failure(received.text, retryable=True)

    peer.answers = fail_first
    log = await peer.run("echo one; sleep 0.1; echo two; progress 50; exit 3")
    assert log.text() == "one\ntwo\n"
    assert log.exit
    assert log.exit.exit_code == 3


async def test_answers_that_come_twice_do_no_harm(peer: PlatformPeer, agent: AgentProcess) -> None:
    peer.answer_twice = True
    await peer.execute("wf_a", COUNT)
    await peer.until(lambda: peer.logs["wf_a"].exit is not None)
    assert _is_exact(peer, "wf_a")


async def test_a_connection_that_falls_silent_is_replaced(peer: PlatformPeer, agents: Agents) -> None:
    agents.start(FILEPATH_AGENT_SILENCE_SECONDS="0.1")
    peer.answers = lambda received: received.method == "hello" or received.connection > 0
    log = await peer.run("echo there")
    assert len(peer.connections) == 2
    assert log.text() == "there\n"


async def test_an_exit_that_is_not_taken_is_told_until_it_is(peer: PlatformPeer, agent: AgentProcess) -> None:
    peer.take_exits = False
    log = await peer.execute("wf_a", "echo out; exit 2")
    await peer.until(lambda: len(peer.of("exit")) == 2)
    peer.take_exits = True
    await peer.until(lambda: log.exit is not None)


async def test_the_status_is_told_before_the_last_output_where_that_takes_long(
    peer: PlatformPeer, agent: AgentProcess
) -> None:
    peer.answer_delay = 0.25
    log = await peer.execute("wf_a", "head -c 600000 /dev/zero; exit 5")
    await peer.until(lambda: log.exit is not None)
    order = [received.method for received in peer.received if received.method in ("output", "ended", "exit")]
    assert order.index("ended") < len(order) - 1 - order[::-1].index("output")
    assert order[-1] == "exit"
    assert log.ended == log.exit


async def test_a_brief_command_is_told_by_its_exit_alone(peer: PlatformPeer, agent: AgentProcess) -> None:
    for _ in range(5):
        await peer.run("echo out; exit 5")
    # Where this machine had no time for the agent, one of them may have taken longer.
    assert "outputexit" in "".join(received.method for received in peer.received)
    assert peer.of("ended") == []
    assert len(peer.of("started")) < 5


async def test_the_next_connection_is_greeted_before_the_old_one_is_closed(peer: PlatformPeer, agents: Agents) -> None:
    agents.start(FILEPATH_AGENT_RENEW_SECONDS="0.3")
    log = await peer.execute("wf_a", "for i in {1..60}; do echo $i; sleep 0.02; done")
    await peer.until(lambda: log.exit is not None)
    assert len(peer.connections) >= 3
    assert [connection.close_code for connection in peer.connections[:2]] == [1000, 1000]
    assert log.text().split() == [str(n) for n in range(1, 61)]
    first_of_second = next(n for n, received in enumerate(peer.received) if received.connection == 1)
    last_of_first = max(n for n, received in enumerate(peer.received) if received.connection == 0)
    assert peer.received[first_of_second].method == "hello"
    assert last_of_first <= first_of_second + 1


async def test_superseded_closes_this_connection_and_opens_another(peer: PlatformPeer, agent: AgentProcess) -> None:
    log = await peer.execute("wf_a", "sleep 0.5; echo done")
    await peer.post("superseded", {})
    await peer.until(lambda: log.exit is not None)
    assert len(peer.greeted()) == 2
    assert log.text() == "done\n"


async def test_messages_that_make_no_sense_are_survived(peer: PlatformPeer, agent: AgentProcess) -> None:
    await peer.post("exec", {"nothing": 1})
    await peer.post("dance", {})
    await peer.connections[-1].send("[]")
    await peer.connections[-1].send(b"\x00\xff")
    assert (await peer.run("echo fine")).text() == "fine\n"


# The agent's own end


async def test_a_refused_token_is_final(peer: PlatformPeer, agents: Agents) -> None:
    agent = agents.start(FILEPATH_TOKEN="wrong")
    assert await agent.exit_code() == 3
    assert 2 <= len(peer.handshakes) <= 5
    assert "wrong" not in agent.log.read_text()


async def test_a_platform_that_is_gone_for_too_long_is_final_and_ends_what_runs(
    peer: PlatformPeer, agents: Agents
) -> None:
    agent = agents.start(FILEPATH_AGENT_GONE_SECONDS="1")
    log = await peer.execute("wf_a", "sleep 300")
    await peer.until(lambda: log.started == 1)
    peer.refuse_with = 503
    peer.cut()
    begun = time.monotonic()
    assert await agent.exit_code() == 4
    assert time.monotonic() - begun > 0.9
    assert agent.descendants() == []


async def test_a_missing_setting_is_named(agents: Agents) -> None:
    agent = agents.start(FILEPATH_SESSION="")
    assert await agent.exit_code() == 2
    assert "FILEPATH_SESSION is not set" in agent.log.read_text()


async def test_heartbeats_name_the_open_tasks(peer: PlatformPeer, agents: Agents) -> None:
    peer.heartbeat_seconds = 0.05
    agents.start()
    log = await peer.execute("wf_a", "sleep 300")
    await peer.until(lambda: any(beat.params == {"tasks": ["wf_a"]} for beat in peer.of("heartbeat")))
    await peer.signal("wf_a", "KILL")
    await peer.until(lambda: log.exit is not None)
    before = len(peer.of("heartbeat"))
    await peer.until(lambda: len(peer.of("heartbeat")) > before + 1)
    assert peer.of("heartbeat")[-1].params == {"tasks": []}


class _NoThread(ThreadPoolExecutor):
    def submit(self, *_: object, **__: object) -> Future[object]:  # type: ignore[override]
        raise RuntimeError("can't start new thread")


async def test_where_no_thread_can_be_had_there_is_no_connection_for_now(peer: PlatformPeer) -> None:
    asyncio.get_running_loop().set_default_executor(_NoThread())
    line = Line(peer.url.replace("127.0.0.1", "localhost"), {}, lambda *_: None, lambda _: None)
    with pytest.raises(OSError, match="can't start new thread"):  # which is tried again
        await line.open()
