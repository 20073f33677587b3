"""Time and broken lines: what a caller is told stays the truth."""

from __future__ import annotations

import hashlib
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import pytest

from filepath_sdk import Filepath, Result, Session, SessionClosed
from filepath_sdk.task import Task
from tests.stack.conftest import START_TIMEOUT_SECONDS, RunningStack, eventually, once

pytestmark = once


@pytest.fixture(scope="module", autouse=True)
def long_task(stack: RunningStack) -> Iterator[Task]:
    """Longer than its session's idle time and its agent's heartbeat. Begun before the others, so that none waits."""
    with stack.client(stack.account().key) as fp, fp.sessions.create(idle_timeout=3) as session:
        yield session.start("sleep 40; echo done")


def test_both_sockets_cut_in_the_middle_of_a_task_change_nothing(stack: RunningStack, session: Session) -> None:
    session.run("true")
    command = "for i in $(seq 200); do echo line $i $RANDOM | tee -a sum; sleep 0.1; done; sha256sum < sum >&2"
    cuts: dict[str, int] = {}

    def cut() -> None:
        cuts.update({door: stack.faults(door, cut=True) for door in ("socket", "agents")})

    timer = threading.Timer(8, cut)
    timer.start()
    try:
        result = session.run(command)
    finally:
        timer.cancel()

    assert cuts["socket"] >= 1
    assert cuts["agents"] >= 1
    assert (result.status, result.exit_code) == ("completed", 0)
    assert hashlib.sha256(result.stdout_bytes).hexdigest() == result.stderr.split()[0]
    assert result.output_bytes == len(result.stdout_bytes) + len(result.stderr_bytes)


def test_messages_doubled_delayed_and_lost_change_nothing(stack: RunningStack, session: Session) -> None:
    session.run("true")
    stack.faults("agents", seed=7, double=0.3, delaySeconds=[0, 0.05])
    stack.faults("socket", seed=7, double=0.3, drop=0.2, delaySeconds=[0, 0.05])
    try:
        results = [session.run("seq 1 20000 | tee sum; sha256sum < sum >&2; rm sum") for _ in range(5)]
    finally:
        stack.faults("agents")
        stack.faults("socket")

    for result in results:
        assert hashlib.sha256(result.stdout_bytes).hexdigest() == result.stderr.split()[0]


def test_a_session_that_nothing_happens_in_ends_as_idle(fp: Filepath) -> None:
    session = fp.sessions.create(idle_timeout=5)
    session.run("true")
    ended = eventually(session.refresh, lambda info: info.status == "closed", 40)

    assert ended.reason == "idle"


def test_a_task_submitted_as_the_alarm_rings_runs_or_is_refused(fp: Filepath) -> None:
    """The alarm of these sessions rings 10 s after they are ready; each submits at a moment of its own."""

    def submitted(offset: float) -> Result | None:
        session = fp.sessions.create(idle_timeout=5)
        eventually(session.refresh, lambda info: info.status == "ready", 40)
        time.sleep(10 + offset)
        try:
            return session.run("echo run")
        except SessionClosed:
            return None

    with ThreadPoolExecutor(6) as threads:
        results = list(threads.map(submitted, [-0.4, -0.2, -0.1, 0.0, 0.1, 0.3]))

    for result in results:
        assert result is None or (result.status, result.stdout) == ("completed", "run\n")
    assert eventually(fp.credits, lambda credits: credits.held == 0, 20).held == 0


def test_a_sandbox_that_never_says_hello_ends_and_its_task_is_released(stack: RunningStack, fp: Filepath) -> None:
    stack.faults("agents", refuse=503)
    try:
        session = fp.sessions.create()
        task = session.start("echo never", timeout=600)
        assert fp.credits().held == 10
        result = task.wait(START_TIMEOUT_SECONDS + 60)
    finally:
        stack.faults("agents")
    ended = eventually(session.refresh, lambda info: info.status not in {"starting", "closing"}, 60)

    assert (result.status, result.reason, result.credits_charged) == ("failed", "start_timeout", 0)
    assert (ended.status, ended.reason) == ("failed", "start_timeout")
    assert (fp.credits().balance, fp.credits().held) == (1000, 0)


def test_closing_a_session_ends_its_tasks_with_their_output(fp: Filepath) -> None:
    session = fp.sessions.create()
    task = session.start("trap 'echo last words; exit 3' TERM; echo first; while :; do sleep 0.1; done")
    next(event for event in task.events() if getattr(event, "data", b""))
    session.close()
    result = task.wait(60)

    assert (result.status, result.reason) == ("cancelled", "session_closed")
    assert result.stdout == "first\nlast words\n"


def test_closing_twice_cuts_no_last_words_short(fp: Filepath) -> None:
    session = fp.sessions.create()
    task = session.start("trap 'sleep 2; echo saved; exit 0' TERM; echo first; while :; do sleep 0.1; done")
    next(event for event in task.events() if getattr(event, "data", b""))
    session.close()
    eventually(session.refresh, lambda info: info.status == "closing")
    session.close()
    result = task.wait(60)

    assert (result.status, result.exit_code, result.stdout) == ("cancelled", 0, "first\nsaved\n")


def test_a_broken_line_alone_makes_no_task_lost(stack: RunningStack, session: Session) -> None:
    session.run("true")
    task = session.start("sleep 4; echo still here")
    time.sleep(1)
    stack.faults("agents", cut=True, refuse=503)
    time.sleep(2)
    stack.faults("agents")

    assert task.wait(60).stdout == "still here\n"


def test_a_running_task_keeps_a_session_from_idling(long_task: Task) -> None:
    assert long_task.wait(90).stdout == "done\n"
