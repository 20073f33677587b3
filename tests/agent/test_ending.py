"""Deadlines, cancelling and shutting down: nothing is left of a command when its end is reported."""

from __future__ import annotations

import asyncio
import json
import signal
import time

import pytest

from agent import protocol
from tests.agent.conftest import AgentProcess, Agents
from tests.agent.platform_peer import PlatformPeer, Received, failure

SILENT_TREE = "sleep 311 & (sleep 312 & sleep 313) & setsid sleep 314 &"
TREE = f"{SILENT_TREE} echo up; sleep 315"
_WITHOUT_FIRST_THREAD = """
import ctypes, os, signal, threading, time
signal.signal(signal.SIGTERM, signal.SIG_IGN)
threading.Thread(target=time.sleep, args=[333]).start()
print("up", flush=True)
ctypes.CDLL(None).syscall({"x86_64": 60, "aarch64": 93}[os.uname().machine], 0)  # exit: of this thread alone
"""
_TRACER = """
import ctypes, signal, sys, threading, time
signal.signal(signal.SIGTERM, signal.SIG_IGN)
def trace():
    ctypes.CDLL(None).ptrace(0x4206, int(sys.argv[1]), 0, 0)  # PTRACE_SEIZE, and never a wait
    print("up", flush=True)
    time.sleep(335)
{}
"""


async def test_the_deadline_ends_the_command_with_all_its_children(peer: PlatformPeer, agent: AgentProcess) -> None:
    begun = time.monotonic()
    log = await peer.run(TREE, timeout_seconds=1)
    assert 1 <= time.monotonic() - begun < 2
    assert log.exit
    assert (log.exit.cause, log.exit.signal, log.exit.leftovers) == ("timed_out", "TERM", 0)
    assert log.text() == "up\n"
    assert agent.descendants() == []


async def test_the_sandbox_is_usable_after_a_deadline(peer: PlatformPeer, agent: AgentProcess) -> None:
    await peer.run("sleep 30", timeout_seconds=1)
    assert (await peer.run("echo still here")).text() == "still here\n"


async def test_a_cancelled_command_leaves_no_process_behind(peer: PlatformPeer, agent: AgentProcess) -> None:
    log = await peer.execute("wf_a", TREE)
    await peer.until(lambda: log.data == b"up\n")
    await peer.signal("wf_a", "TERM")
    await peer.until(lambda: log.exit is not None)
    assert log.exit
    assert (log.exit.cause, log.exit.signal, log.exit.leftovers) == ("cancelled", "TERM", 0)
    assert agent.descendants() == []


INTERRUPTED = """python3 -c '
from signal import *
pthread_sigmask(SIG_BLOCK, {SIGINT, SIGTERM})
print("up", flush=True)
print(sigwait({SIGINT, SIGTERM}).name)
exit(5)
'"""
"""No trap of a shell's, which may miss SIGINT between two commands of a loop."""


async def test_the_signal_asked_for_is_the_first_one_sent(peer: PlatformPeer, agent: AgentProcess) -> None:
    log = await peer.execute("wf_a", f"exec {INTERRUPTED}")
    await peer.until(lambda: log.data == b"up\n")
    await peer.signal("wf_a", "INT")
    await peer.until(lambda: log.exit is not None)
    assert log.text() == "up\nSIGINT\n"
    assert log.exit
    assert (log.exit.cause, log.exit.exit_code, log.exit.signal) == ("cancelled", 5, None)


async def test_what_ignores_the_signal_is_killed_after_the_grace(peer: PlatformPeer, agent: AgentProcess) -> None:
    log = await peer.execute("wf_a", "trap '' TERM; setsid sleep 316 & echo up; sleep 317; sleep 318")
    await peer.until(lambda: log.data == b"up\n")
    begun = time.monotonic()
    await peer.signal("wf_a", "TERM")
    await peer.until(lambda: log.exit is not None)
    assert 1 <= time.monotonic() - begun < 2
    assert log.exit
    assert (log.exit.cause, log.exit.signal) == ("cancelled", "KILL")
    assert agent.descendants() == []


async def test_the_signal_reaches_what_left_the_group_however_the_others_die_meanwhile(
    peer: PlatformPeer, agent: AgentProcess
) -> None:
    peer.grace_seconds = 20
    logs = [await peer.execute(f"wf_{n}", TREE) for n in range(20)]
    await peer.until(lambda: all(log.data for log in logs))
    for n in range(20):
        await peer.signal(f"wf_{n}", "TERM")
    await peer.until(lambda: all(log.exit for log in logs), seconds=5)


async def test_a_second_kill_does_not_wait_for_the_grace(peer: PlatformPeer, agent: AgentProcess) -> None:
    peer.grace_seconds = 20
    log = await peer.execute("wf_a", "trap '' TERM; echo up; sleep 317; sleep 318")
    await peer.until(lambda: log.data == b"up\n")
    await peer.signal("wf_a", "TERM")
    await peer.signal("wf_a", "KILL")
    await peer.until(lambda: log.exit is not None, seconds=2)


async def test_a_stopped_command_can_be_cancelled(peer: PlatformPeer, agent: AgentProcess) -> None:
    log = await peer.execute("wf_a", "echo up; kill -STOP $$")
    await peer.until(lambda: log.data == b"up\n")
    begun = time.monotonic()
    await peer.signal("wf_a", "TERM")
    await peer.until(lambda: log.exit is not None)
    assert time.monotonic() - begun < 0.9
    assert log.exit
    assert log.exit.signal == "TERM"


async def test_a_daemon_without_environment_group_or_parent_is_swept_with_its_own_task_only(
    peer: PlatformPeer, agent: AgentProcess
) -> None:
    daemon = (
        "(env -i setsid /bin/sh -c 'trap \"\" TERM; /bin/sleep {}; :' >/dev/null 2>&1 </dev/null &); "
        "sleep 0.1; echo up; sleep 300"
    )
    logs = [await peer.execute(f"wf_{n}", daemon.format(f"32{n}")) for n in (1, 2)]
    await peer.until(lambda: all(log.data == b"up\n" for log in logs))
    await peer.signal("wf_1", "TERM")
    await peer.until(lambda: logs[0].exit is not None)
    left = " ".join(agent.descendants())
    assert "sleep 321" not in left
    assert "sleep 322" in left


async def test_a_daemon_that_a_finished_command_left_is_counted_and_lives_on(
    peer: PlatformPeer, agent: AgentProcess
) -> None:
    log = await peer.run("setsid sleep 331 >/dev/null 2>&1 & echo started")
    other = await peer.run("true")
    assert log.exit
    assert log.exit.leftovers == 1
    assert other.exit
    assert other.exit.leftovers == 0
    assert any("sleep 331" in line for line in agent.descendants())


async def test_a_fork_bomb_ends_at_its_deadline(peer: PlatformPeer, agent: AgentProcess) -> None:
    bomb = "fork() { [ $1 -gt 6 ] || { fork $(($1+1)) & fork $(($1+1)) & sleep 300; }; }; trap '' TERM; fork 0"
    log = await peer.run(bomb, timeout_seconds=1)
    assert log.exit
    assert (log.exit.cause, log.exit.leftovers) == ("timed_out", 0)
    assert agent.descendants() == []


@pytest.mark.parametrize("command", ["exec {}", "setsid {} & sleep 332"])
async def test_a_process_whose_first_thread_has_ended_is_alive(
    peer: PlatformPeer, agent: AgentProcess, command: str
) -> None:
    (agent.workspace / "program.py").write_text(_WITHOUT_FIRST_THREAD)
    log = await peer.run(command.format("python3 program.py"), timeout_seconds=2)
    assert log.text() == "up\n"
    assert log.exit
    assert (log.exit.cause, log.exit.leftovers) == ("timed_out", 0)
    assert agent.descendants() == []


@pytest.mark.parametrize("begin", ["trace()", "threading.Thread(target=trace).start()"], ids=["first", "other"])
async def test_a_process_that_a_thread_of_another_command_traces_ends_at_its_deadline(
    peer: PlatformPeer, agent: AgentProcess, begin: str
) -> None:
    (agent.workspace / "tracer.py").write_text(_TRACER.format(begin))
    log = await peer.execute("wf_traced", "echo $$; sleep 334; exit 3", timeout_seconds=2)
    await peer.until(lambda: bool(log.data))
    tracer = await peer.execute("wf_tracer", f"python3 tracer.py {log.text()}")
    await peer.until(lambda: tracer.data == b"up\n" and log.exit is not None, seconds=8)
    assert log.exit
    assert (log.exit.cause, log.exit.leftovers) == ("timed_out", 0)


# Messages that overtake each other or come twice


async def test_a_signal_before_its_exec_keeps_the_command_from_starting(
    peer: PlatformPeer, agent: AgentProcess
) -> None:
    await peer.signal("wf_a", "TERM")
    log = await peer.execute("wf_a", "touch ran")
    await peer.until(lambda: log.exit is not None)
    assert log.exit
    assert (log.exit.cause, log.exit.message) == ("not_started", "it was cancelled before it started")
    assert log.started == 0
    assert not (agent.workspace / "ran").exists()


async def test_an_exec_that_comes_twice_runs_once_and_is_answered_twice(
    peer: PlatformPeer, agent: AgentProcess
) -> None:
    log = await peer.execute("wf_a", "echo ran >> times; sleep 0.4")
    await peer.execute("wf_a", "echo ran >> times; sleep 0.4")
    await peer.until(lambda: log.started == 2)
    await peer.until(lambda: log.exit is not None)
    await peer.run("true")
    await peer.execute("wf_a", "echo ran >> times; sleep 0.4")
    await peer.until(lambda: len(peer.of("exit", "wf_a")) == 2)
    first, second = peer.of("exit", "wf_a")
    assert first.params == second.params
    assert (agent.workspace / "times").read_text() == "ran\n"


@pytest.mark.parametrize("way", ["hello", "heartbeat"])
async def test_a_signal_that_was_lost_comes_with_hello_or_a_heartbeat(
    peer: PlatformPeer, agents: Agents, way: str
) -> None:
    peer.heartbeat_seconds = 0.2
    agents.start()
    log = await peer.execute("wf_a", "sleep 300")
    await peer.until(lambda: log.started == 1)
    if way == "hello":
        peer.heartbeat_seconds = 30
        peer.hello = {"tasks": [{"workflowId": "wf_a", "signal": "TERM"}, {"workflowId": "wf_b"}]}
        peer.cut()
    else:
        peer.heartbeat = {"signals": [{"workflowId": "wf_a", "signal": "TERM"}]}
    await peer.until(lambda: log.exit is not None)
    assert log.exit
    assert log.exit.cause == "cancelled"


# The platform's last word


@pytest.mark.parametrize("way", ["output", "heartbeat", "started"])
async def test_stop_kills_the_tree_and_nothing_more_is_reported(peer: PlatformPeer, agents: Agents, way: str) -> None:
    peer.heartbeat_seconds = 0.2
    agent = agents.start()
    if way == "started":
        peer.stopped.add("wf_a")
    log = await peer.execute("wf_a", f"{SILENT_TREE} while :; do sleep 0.1; echo more; done")
    await peer.until(lambda: log.started == 1)
    if way == "output":
        peer.stopped.add("wf_a")
    elif way == "heartbeat":
        peer.heartbeat = {"stop": ["wf_a"]}
    await peer.until(lambda: bool(peer.of("heartbeat")) and "wf_a" not in peer.of("heartbeat")[-1].params["tasks"])
    assert agent.descendants() == []
    assert peer.of("exit") == peer.of("ended") == []
    assert (await peer.run("echo next")).text() == "next\n"


async def test_a_stopped_task_is_remembered(peer: PlatformPeer, agent: AgentProcess) -> None:
    peer.stopped.add("wf_a")
    log = await peer.execute("wf_a", "echo ran >> times; sleep 300")
    await peer.until(lambda: log.started == 1)
    await peer.execute("wf_a", "echo ran >> times")
    await peer.run("true")
    assert (agent.workspace / "times").read_text() == "ran\n"
    assert peer.of("exit", "wf_a") == []


@pytest.mark.parametrize("way", ["hello", "heartbeat"])
async def test_a_closed_session_ends_the_agent_and_what_runs_and_waits_for_no_answer(
    peer: PlatformPeer, agents: Agents, way: str
) -> None:
    peer.heartbeat_seconds, peer.grace_seconds = 0.2, 0.3
    agent = agents.start()
    asked = await peer.execute("wf_asked", "trap 'touch asked; exit' TERM; echo $$; while :; do sleep 0.05; done")
    killed = await peer.execute("wf_killed", "trap '' TERM; echo $$; sleep 361; sleep 362")
    await peer.until(lambda: bool(asked.data and killed.data))
    peer.answers = lambda received: (
        received.method == way and failure(received.text, retryable=False, code="session_closed")
    )
    if way == "hello":
        peer.cut()
    assert await agent.exit_code(seconds=5) == 0
    assert (agent.workspace / "asked").exists()
    assert _is_gone(int(asked.text()))
    assert _is_gone(int(killed.text()))
    assert peer.of("ended") == peer.of("exit") == []


# Where the agent itself fails, the platform still learns of an end


@pytest.mark.parametrize("method", ["started", "output"])
async def test_a_report_refused_for_good_ends_the_command_and_its_end_is_reported(
    peer: PlatformPeer, agent: AgentProcess, method: str
) -> None:
    peer.answers = lambda received: received.method != method or failure(received.text, retryable=False)
    log = await peer.run(TREE)
    assert log.exit
    assert (log.exit.cause, log.exit.signal, log.exit.leftovers) == ("failed", "TERM", 0)
    assert log.exit.message
    assert agent.descendants() == []


async def test_a_command_that_the_agent_fails_at_is_ended_and_its_end_is_reported(
    peer: PlatformPeer, agent: AgentProcess
) -> None:
    def store_and_answer_nonsense(received: Received) -> str | bool:
        if received.method != "output":
            return True
        peer.logs["wf_0"].store(protocol.chunk_of(received.params))
        return protocol.success(json.loads(received.text)["id"], {"stored": "much"})

    peer.answers = store_and_answer_nonsense
    log = await peer.run("yes")
    assert log.exit
    assert (log.exit.cause, log.exit.signal, log.exit.leftovers) == ("failed", "TERM", 0)
    assert [told.params["outputBytes"] for told in peer.of("exit")] == [0, len(log.data)]
    peer.answers = lambda _: True
    assert (await peer.run("echo next")).text() == "next\n"


async def test_a_command_that_the_agent_cannot_start_is_reported_each_time_it_is_asked_for(
    peer: PlatformPeer, agent: AgentProcess
) -> None:
    log = await peer.run("touch ran", env={"A": 1})
    assert log.exit
    assert (log.exit.cause, log.exit.message) == ("not_started", "the agent could not start it: TypeError")
    await peer.run("true")
    await peer.execute("wf_0", "touch ran")
    await peer.until(lambda: len(peer.of("exit", "wf_0")) == 2)
    assert not (agent.workspace / "ran").exists()


# Shutting down


@pytest.mark.parametrize("way", ["SIGTERM", "message"])
async def test_shutting_down_delivers_output_and_ends_of_all(peer: PlatformPeer, agent: AgentProcess, way: str) -> None:
    quick = await peer.execute("wf_quick", "trap 'echo bye; exit 4' TERM; echo up; while :; do sleep 0.05; done")
    stubborn = await peer.execute("wf_stubborn", "trap '' TERM; echo up; sleep 341; sleep 342")
    await peer.until(lambda: quick.data == stubborn.data == b"up\n")
    if way == "SIGTERM":
        agent.signal(signal.SIGTERM)
    else:
        await peer.post("shutdown", {"reason": "idle"})
    await peer.until(lambda: quick.exit is not None)
    late = await peer.execute("wf_late", "touch ran")
    assert await agent.exit_code() == 0
    assert quick.text().endswith("bye\n")
    assert quick.exit
    assert (quick.exit.cause, quick.exit.exit_code) == ("shutdown", 4)
    assert stubborn.exit
    assert (stubborn.exit.cause, stubborn.exit.signal) == ("shutdown", "KILL")
    assert late.exit
    assert (late.exit.cause, late.exit.message) == ("not_started", "the sandbox is shutting down")


async def test_an_idle_agent_leaves_at_once_and_takes_daemons_with_it(
    peer: PlatformPeer, agent: AgentProcess, home: object
) -> None:
    log = await peer.run("setsid sleep 351 >/dev/null 2>&1 & echo $!")
    agent.signal(signal.SIGTERM)
    assert await agent.exit_code(seconds=2) == 0
    assert await asyncio.to_thread(_is_gone, int(log.text()))


async def test_shutting_down_takes_no_longer_than_it_may(peer: PlatformPeer, agents: Agents) -> None:
    agent = agents.start(FILEPATH_AGENT_SHUTDOWN_SECONDS="1")
    peer.answers = lambda received: received.method != "exit"
    log = await peer.execute("wf_a", "sleep 300")
    await peer.until(lambda: log.started == 1)
    agent.signal(signal.SIGTERM)
    assert await agent.exit_code(seconds=5) == 0


def _is_gone(pid: int) -> bool:
    try:
        with open(f"/proc/{pid}/stat") as stat:  # noqa: PTH123
            return stat.read().rpartition(")")[2].split()[0] == "Z"
    except FileNotFoundError:
        return True
