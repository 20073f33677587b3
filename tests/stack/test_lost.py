"""A sandbox that goes: its tasks are lost, with the reason, what they wrote, and a charge for what ran alone. A command
that cannot start has failed, and costs nothing.

The agent killed for memory is in `test_limits.py`.
"""

from __future__ import annotations

import os
import signal
import time
from pathlib import Path

from filepath.aws import keys
from filepath_sdk import Filepath
from tests.stack.conftest import RunningStack, agent_pid, eventually


def first_process(session_id: str) -> int:
    """Of the sandbox: the agent's parent, with which the kernel ends all that is in there."""
    return int(Path(f"/proc/{agent_pid(session_id)}/stat").read_text().rpartition(")")[2].split()[1])


def test_a_sandbox_killed_as_a_whole_loses_all_its_tasks_and_none_of_their_output(fp: Filepath) -> None:
    session = fp.sessions.create()
    tasks = [session.start(f"echo task {number}; echo words >&2; sleep 60", timeout=600) for number in range(3)]
    over = session.run("echo over")
    for task in tasks:
        eventually(task.status, lambda seen: seen.status == "running" and seen.output_bytes == 13)
    os.kill(first_process(session.id), signal.SIGKILL)
    killed = time.monotonic()
    results = [task.wait(60) for task in tasks]

    assert time.monotonic() - killed < 15
    for number, result in enumerate(results):
        assert (result.status, result.reason) == ("lost", "sandbox_stopped")
        assert (result.exit_code, result.signal) == (None, None)
        assert (result.stdout, result.stderr) == (f"task {number}\n", "words\n")
        assert result.credits_charged == 1
    assert (over.status, over.stdout) == ("completed", "over\n")
    ended = eventually(session.refresh, lambda info: info.status == "closed")
    assert ended.reason == "sandbox_stopped"
    assert (fp.credits().balance, fp.credits().held) == (1000 - 4, 0)


def test_a_command_that_cannot_start_has_failed_and_costs_nothing(fp: Filepath) -> None:
    with fp.sessions.create() as session:
        result = session.run("true", cwd="/no/such/directory")

    assert (result.status, result.reason, result.credits_charged) == ("failed", "not_started", 0)
    assert (fp.credits().balance, fp.credits().held) == (1000, 0)


def test_a_task_whose_agent_was_killed_is_lost_and_charged_for_what_ran(fp: Filepath) -> None:
    session = fp.sessions.create()
    task = session.start("echo before; sleep 60")
    eventually(task.status, lambda seen: seen.status == "running" and seen.output_bytes == len("before\n"))
    os.kill(agent_pid(session.id), signal.SIGKILL)
    killed = time.monotonic()
    result = task.wait(60)

    assert time.monotonic() - killed < 15
    assert (result.status, result.reason, result.exit_code) == ("lost", "sandbox_stopped", None)
    assert result.stdout == "before\n"
    assert result.credits_charged == 1
    ended = eventually(session.refresh, lambda info: info.status == "closed", 60)
    assert ended.reason == "sandbox_stopped"
    assert (fp.credits().balance, fp.credits().held) == (999, 0)


def test_a_frozen_agent_is_stopped_and_its_task_is_lost_and_charged_until_it_was_heard_of(
    stack: RunningStack, fp: Filepath
) -> None:
    """ECS tells nothing of it: the minute's reconcile sees that it was not heard of for two. The task has run for a
    minute and a half when its agent freezes, and ends six minutes later."""
    session = fp.sessions.create()
    task = session.start("echo begun; sleep 600", timeout=900)
    eventually(task.status, lambda seen: seen.status == "running" and seen.output_bytes == len("begun\n"))
    os.kill(agent_pid(session.id), signal.SIGSTOP)
    stack.turn_back(keys.task(task.workflow_id), 450, "startedAt")
    stack.turn_back(keys.session(session.id), 360, "lastHeard", "readyAt")
    stack.reconcile()
    result = task.wait(60)

    assert (result.status, result.reason) == ("lost", "silent")
    assert (result.exit_code, result.signal) == (None, None)
    assert result.stdout == "begun\n"
    assert result.credits_charged == 2
    assert eventually(session.refresh, lambda info: info.status == "closed").reason == "silent"
    assert (fp.credits().balance, fp.credits().held) == (1000 - 2, 0)
