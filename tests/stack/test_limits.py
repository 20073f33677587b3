"""What a session may use, where its sandbox is a container, and what is said when it wants more."""

from __future__ import annotations

from contextlib import suppress
from pathlib import Path

import pytest

from filepath_sdk import Filepath
from local import sandbox_choice
from local.containers import PROCESSES, STACK_LABEL
from tests.stack.conftest import RunningStack, agent_pid, eventually

in_containers = pytest.mark.parametrize("sandboxes", ["containers"], indirect=True, scope="session")

EATS = """python3 -c '
held = []
while True:
    held.append(b"x" * 10_000_000)
    print(len(held) * 10, flush=True)
'"""


@in_containers
def test_the_engine_shows_the_sandbox_of_an_open_session(stack: RunningStack, fp: Filepath) -> None:
    made = sandbox_choice.kept(stack.home)
    assert made is not None
    with fp.sessions.create() as session:
        session.run("true")
        label = f"label={STACK_LABEL}={stack.home.directory}"
        shown = made.engine.run("ps", "--filter", label, "--format", "{{.Image}} {{.Labels}}")
    assert made.image in shown
    assert session.id in shown


@in_containers
def test_a_command_that_wants_more_memory_than_its_session_has_ends_by_the_kernels_signal(
    stack: RunningStack, fp: Filepath
) -> None:
    with fp.sessions.create(cpu=256, memory=512) as session:
        eaten = session.run(EATS)
        after = session.run("echo still here")
        own = session.run("kill -9 $$")

    assert (eaten.status, eaten.signal, eaten.exit_code, eaten.reason) == ("completed", "KILL", None, "oom")
    assert 300 < int(eaten.stdout.split()[-1]) < 512
    assert after.stdout == "still here\n"
    assert (own.signal, own.reason) == ("KILL", None)


@in_containers
def test_a_command_that_survives_its_childs_end_says_its_own_exit_code(stack: RunningStack, fp: Filepath) -> None:
    with fp.sessions.create(cpu=256, memory=512) as session:
        result = session.run(f"{EATS} >/dev/null; echo $?; exit 7")

    assert (result.stdout, result.exit_code, result.signal, result.reason) == ("137\n", 7, None, None)


LIMITS = """
cat /sys/fs/cgroup/pids.max /sys/fs/cgroup/cpu.max 2>/dev/null || {
  cd /sys/fs/cgroup && cat pids/pids.max cpu/cpu.cfs_quota_us cpu/cpu.cfs_period_us
}"""


@in_containers
def test_a_task_whose_sandbox_was_killed_for_memory_is_lost_for_that_reason(stack: RunningStack, fp: Filepath) -> None:
    with fp.sessions.create(cpu=256, memory=512) as session:
        task = session.start(f"echo begun; until [ -e go ]; do sleep 0.1; done; {EATS}")
        next(event for event in task.events() if getattr(event, "data", b""))
        agent = Path(f"/proc/{agent_pid(session.id)}")
        # Otherwise the kernel takes what the command starts, which asks for the memory.
        (agent / "oom_score_adj").write_text("1000")
        for status in Path("/proc").glob("[0-9]*/status"):
            with suppress(OSError):  # gone in between
                if f"\nPPid:\t{agent.name}\n" in status.read_text():
                    status.with_name("oom_score_adj").write_text("0")
        (agent / "root/workspace/go").touch()
        result = task.wait(120)
        ended = eventually(session.refresh, lambda info: info.status == "closed")

    assert (result.status, result.reason, result.exit_code, result.signal) == ("lost", "oom", None, None)
    assert result.credits_charged == 1
    assert ended.reason == "oom"


@in_containers
def test_processes_and_processors_are_limited(stack: RunningStack, fp: Filepath) -> None:
    with fp.sessions.create(cpu=256, memory=1024) as session:
        processes, quota, period = session.run(LIMITS).stdout.split()
        forked = session.run(f"for i in $(seq {PROCESSES + 100}); do sleep 60 & done; kill 0", timeout=60)

    assert (int(processes), int(quota) / int(period)) == (PROCESSES, 0.25)
    assert "Resource temporarily unavailable" in forked.stderr


@in_containers
def test_a_sandbox_reaches_the_sandbox_door_and_nothing_else_of_this_machine(stack: RunningStack, fp: Filepath) -> None:
    made = sandbox_choice.kept(stack.home)
    assert made is not None
    ports = f"{stack.home.sandbox_port} {stack.home.port} {stack.home.emulator_port}"
    with fp.sessions.create() as session:
        told = session.run(f"for port in {ports}; do (: <>/dev/tcp/127.0.0.1/$port) 2>/dev/null; echo $?; done")

    assert told.stdout.split() == (["0", "1", "1"] if made.has_own_network else ["0", "0", "0"])
