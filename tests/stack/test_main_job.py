"""The main job, end to end: sign up, a key, a session, a task watched live, its price."""

from __future__ import annotations

import hashlib
import os
import subprocess
import time
from pathlib import Path

import pytest

from filepath_sdk import Filepath, InsufficientCredits, Session
from local.home import CHECKOUT
from tests.stack.conftest import PASSWORD, RunningStack, once


def test_the_gate_passes(stack: RunningStack) -> None:
    gate(stack, {})


def gate(stack: RunningStack, account: dict[str, str]) -> None:
    done = subprocess.run(
        ["gates/agents-sdk-e2e.sh"],
        cwd=CHECKOUT, env={**os.environ, "FILEPATH_URL": stack.url, **account},
        capture_output=True, text=True, timeout=180, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr


def test_output_arrives_while_the_command_runs(session: Session) -> None:
    session.run("true")
    delays: list[float] = []
    command = "for i in 1 2 3 4 5; do date +%s%N; sleep 0.5; done"

    def received(text: str) -> None:
        delays.extend(time.time() - int(line) / 1e9 for line in text.split())

    result = session.run(command, on_stdout=received)

    assert result.exit_code == 0
    assert len(delays) == 5
    assert max(delays[:-1]) < 1.5, "a line that came only with the end of the command would be later than this"


def test_stdout_and_stderr_come_apart_and_byte_for_byte(session: Session) -> None:
    result = session.run(r"""printf 'out\xff\x00'; printf 'err\xfe' >&2""")

    assert result.stdout_bytes == b"out\xff\x00"
    assert result.stderr_bytes == b"err\xfe"


@once
def test_ten_megabytes_of_random_bytes_are_read_raw_with_curl(stack: RunningStack, tmp_path: Path) -> None:
    key, part, read, headers = stack.account().key, tmp_path / "part", hashlib.sha256(), {"x-next-offset": "0"}
    with stack.client(key) as fp, fp.sessions.create() as session:
        result = session.run("head -c 10000000 /dev/urandom >f; cat f; sha256sum <f >&2")
    for size in (4_194_304, 4_194_304, 1_611_392):
        url = f"{stack.url}/api/workflow/{result.workflow_id}/output?format=raw&stream=stdout"
        url += f"&after={headers['x-next-offset']}"
        headers = with_curl(url, part, f"x-api-key: {key}", "accept: application/octet-stream")
        assert part.stat().st_size == size
        read.update(part.read_bytes())
    assert (f"{read.hexdigest()}  -\n", headers["x-complete"]) == (result.stderr, "true")


def with_curl(url: str, part: Path, *given: str) -> dict[str, str]:
    """Writes the body to `part`; the headers by their names in lower case."""
    options = [word for each in given for word in ("-H", each)]
    shown = subprocess.run(
        ["curl", "-sS", "--fail-with-body", *options, "-D", "-", "-o", part, url],
        capture_output=True, text=True, timeout=60, check=True,
    ).stdout  # fmt: skip
    pairs = (line.partition(": ") for line in shown.splitlines() if ": " in line)
    return {name.lower(): value for name, _, value in pairs}


def test_what_a_task_leaves_the_next_one_finds(session: Session) -> None:
    session.run("echo kept > file")

    assert session.run("cat file && pwd").stdout == "kept\n/workspace\n"


def test_a_task_submitted_before_the_sandbox_is_ready_runs_when_it_is(fp: Filepath) -> None:
    with fp.sessions.create() as session:
        task = session.start("echo early")

        assert task.wait(60).stdout == "early\n"


def test_environment_stdin_and_directory_are_as_asked_for(fp: Filepath) -> None:
    with fp.sessions.create(env={"A": "session", "B": "session"}) as session:
        result = session.run('echo "$A $B $PWD"; cat', env={"B": "task"}, cwd="/tmp", stdin="given")

    assert result.stdout == "session task /tmp\ngiven"


def test_a_command_larger_than_a_message_runs(fp: Filepath, session: Session) -> None:
    """Its sandbox fetches it: at first hello by an address of the agents' function, later by one of the workflow's."""
    command = "echo '" + "x" * 200_000 + "' | wc -c"
    early, late = session.run(command), session.run(command)

    assert (early.stdout.strip(), late.stdout.strip()) == ("200001", "200001")
    assert fp.tasks.get(late.workflow_id).task == command


def test_five_megabytes_of_output_are_the_bytes_that_were_written(session: Session) -> None:
    command = "head -c 5000000 /dev/urandom > data; sha256sum < data >&2; cat data"
    result = session.run(command)

    assert hashlib.sha256(result.stdout_bytes).hexdigest() == result.stderr.split()[0]
    assert result.output_bytes == len(result.stdout_bytes) + len(result.stderr_bytes)


def test_a_signal_is_told_from_an_exit_code(session: Session) -> None:
    killed = session.run("kill -9 $$")

    assert (killed.status, killed.exit_code, killed.signal) == ("completed", None, "KILL")


def test_a_task_over_its_timeout_ends_with_all_its_processes(session: Session) -> None:
    result = session.run("(sleep 60; echo never) & echo before; wait", timeout=1)

    assert (result.status, result.reason, result.stdout) == ("timed_out", "timeout", "before\n")
    assert session.run("pgrep -c sleep || true").stdout.strip() == "0"


def test_cancelling_ends_a_task_and_charges_what_it_ran(fp: Filepath, session: Session) -> None:
    session.run("true")
    before = fp.credits().balance
    task = session.start("echo started; sleep 60")
    next(task.events())
    task.cancel()
    result = task.wait(30)

    assert (result.status, result.reason, result.credits_charged) == ("cancelled", "cancelled", 1)
    assert fp.credits().balance == before - 1


def test_progress_is_seen_by_the_watcher(session: Session) -> None:
    seen: list[tuple[float | None, str | None]] = []
    session.run('progress 45 "Building"; sleep 0.5', on_progress=lambda *said: seen.append(said))

    assert (45, "Building") in seen


def test_credits_are_held_while_a_task_runs_and_settled_once(fp: Filepath, session: Session) -> None:
    task = session.start("sleep 1", timeout=180)
    held = fp.credits()
    result = task.wait(30)
    settled = fp.credits()

    assert (held.held, held.available) == (3, 997)
    assert result.credits_charged == 1
    assert (settled.balance, settled.held, settled.available) == (999, 0, 999)


def test_a_task_that_cannot_be_paid_starts_nothing(fp: Filepath, session: Session) -> None:
    with pytest.raises(InsufficientCredits, match="1000 are available"):
        session.run("touch started", timeout=86_400)

    assert list(fp.tasks.list(session_id=session.id)) == []
    assert fp.credits().held == 0


def test_an_owner_grants_credits_through_the_ledger(stack: RunningStack) -> None:
    with Filepath(url=stack.url) as visitor:
        visitor.sign_up("granted@example.org", PASSWORD, "Granted")
        answer = stack.invoke("OperatorFunction", {"action": "grant", "email": "granted@example.org", "credits": 25})

        assert answer["balance"] == 1025
        assert visitor.credits().available == 1025
