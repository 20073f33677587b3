"""What a command can see and do: another user, a clean environment, and an agent that stays small."""

from __future__ import annotations

import asyncio
import os
import subprocess
import sys
import time
from pathlib import Path

import pytest

from agent import progress
from tests.agent.conftest import IS_ROOT, ROOT, AgentProcess, Agents, needs_root
from tests.agent.platform_peer import SESSION, TOKEN, PlatformPeer

SECRETS = (TOKEN, "secret-of-aws", "secret-of-ecs")


async def test_the_environment_is_a_list_of_what_a_command_gets(peer: PlatformPeer, agent: AgentProcess) -> None:
    peer.session_env = {"OF_SESSION": "1", "OF_BOTH": "session"}
    log = await peer.run("env -0", env={"OF_TASK": "2", "OF_BOTH": "task", "TERM": "xterm"})
    environment = dict(entry.split("=", 1) for entry in log.text().split("\0") if entry)
    system = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
    assert environment.pop("PATH").startswith(f"{agent.workspace}/.local/bin:{system}:")
    assert environment.pop("USER") == environment.pop("LOGNAME")
    assert Path(environment.pop("FILEPATH_PROGRESS")).name == "progress.pipe"
    assert environment == {
        "HOME": str(agent.workspace),
        "PWD": str(agent.workspace),
        "SHELL": "/bin/bash",
        "SHLVL": "0",
        "_": "/usr/bin/env",
        "LC_CTYPE": "C.UTF-8",
        "TERM": "xterm",
        "TMPDIR": "/tmp",
        "GIT_TERMINAL_PROMPT": "0",
        "DEBIAN_FRONTEND": "noninteractive",
        "NPM_CONFIG_PREFIX": f"{agent.workspace}/.local",
        "FILEPATH_SESSION_ID": SESSION,
        "FILEPATH_WORKFLOW_ID": "wf_0",
        "OF_SESSION": "1",
        "OF_TASK": "2",
        "OF_BOTH": "task",
    }


async def test_programs_that_commands_install_are_found(peer: PlatformPeer, agent: AgentProcess) -> None:
    peer.session_env = {"NPM_CONFIG_PREFIX": "/of/session"}
    await peer.run(
        "mkdir -p ~/.local/bin; printf '#!/bin/sh\necho installed' > ~/.local/bin/tool; chmod +x ~/.local/bin/*"
    )
    assert (await peer.run("tool; echo $NPM_CONFIG_PREFIX")).text() == "installed\n/of/session\n"


async def test_no_secret_can_be_read_from_any_process(peer: PlatformPeer, agent: AgentProcess) -> None:
    log = await peer.run("env; cat /proc/*/environ /proc/*/cmdline 2>/dev/null; cat ~/../agent.log")
    assert not [secret for secret in SECRETS if secret.encode() in log.data]


async def test_the_token_is_gone_from_the_agents_own_environment(peer: PlatformPeer, agent: AgentProcess) -> None:
    await peer.until(lambda: bool(peer.greeted()))
    assert TOKEN.encode() not in agent.proc("environ")


async def test_neither_profile_nor_rc_files_are_read(peer: PlatformPeer, agent: AgentProcess) -> None:
    for name in (".bashrc", ".profile", ".bash_profile", ".bash_login"):
        (agent.workspace / name).write_text("echo read\n")
    assert (await peer.run("shopt -q login_shell || echo no login")).text() == "no login\n"


async def test_no_module_is_looked_for_where_commands_write(peer: PlatformPeer, agents: Agents, home: Path) -> None:
    (home / "workspace").mkdir()
    for name in sys.stdlib_module_names:
        (home / "workspace" / f"{name}.py").write_text("raise SystemExit(99)")
    agents.start()
    assert (await peer.run("ls json.py", cwd=str(home / "workspace"))).text() == "json.py\n"


async def test_an_agent_that_would_look_for_modules_there_does_not_start(agents: Agents) -> None:
    agent = agents.start(flags=())
    assert await agent.exit_code() == 2
    assert "python3 -P -m agent" in agent.log.read_text()


@needs_root
async def test_commands_run_as_another_user_without_any_privilege(peer: PlatformPeer, agent: AgentProcess) -> None:
    log = await peer.run(
        f"id -u; id -g; id -G; grep -E 'CapEff|NoNewPrivs' /proc/self/status; kill -9 {agent.pid} || echo not allowed"
    )
    assert log.of("stdout").decode().split("\n") == [
        "1000",
        "1000",
        "1000",
        "CapEff:\t0000000000000000",
        "NoNewPrivs:\t1",
        "not allowed",
        "",
    ]


@needs_root
async def test_no_id_of_a_command_leads_back_to_the_agents_user(peer: PlatformPeer, agent: AgentProcess) -> None:
    log = await peer.run("grep -E '^(Uid|Gid|Groups|Cap(Inh|Prm|Eff|Amb)):' /proc/self/status")
    fields = dict(line.split(":", 1) for line in log.text().splitlines())
    assert fields["Uid"].split() == fields["Gid"].split() == ["1000"] * 4
    assert fields["Groups"].split() == []
    assert {int(fields[f"Cap{kind}"], 16) for kind in ("Inh", "Prm", "Eff", "Amb")} == {0}


@needs_root
async def test_the_agent_itself_stays_who_it_is(peer: PlatformPeer, agent: AgentProcess) -> None:
    before, *_ = agent.identities()
    await peer.run("true")
    assert (await peer.run("true", cwd="/no/such/directory")).exit
    identities = agent.identities()
    assert len(identities) > 1
    assert identities == [before] * len(identities)


@needs_root
async def test_the_user_can_be_chosen_but_not_root(peer: PlatformPeer, agents: Agents) -> None:
    agents.start(FILEPATH_COMMAND_USER="1234:5678")
    assert (await peer.run("id -u; id -g", cwd="/")).text() == "1234\n5678\n"
    assert await agents.start(FILEPATH_COMMAND_USER="0:0").exit_code() == 2


async def test_the_agents_memory_and_files_are_out_of_reach(peer: PlatformPeer, agent: AgentProcess) -> None:
    for file in ("environ", "mem", "maps", "fd/0"):
        log = await peer.run(f"cat /proc/{agent.pid}/{file}")
        assert log.of("stdout") == b""
        assert log.exit
        assert log.exit.exit_code == 1


def test_the_agent_hides_itself_and_gains_nothing_by_exec() -> None:
    """As the kernel tells it: for an agent that is not root, this alone keeps its token from its commands."""
    program = """
import ctypes
from agent import privileges
privileges.harden()
print([ctypes.CDLL(None).prctl(option, 0, 0, 0, 0) for option in (3, 39)])  # PR_GET_DUMPABLE, PR_GET_NO_NEW_PRIVS
"""
    shown = subprocess.run(
        [sys.executable, "-c", program],
        env={"PYTHONPATH": str(ROOT / "sandbox")},
        capture_output=True,
        check=True,
    )
    assert shown.stdout == b"[0, 1]\n"


async def test_a_command_inherits_no_file_but_the_standard_ones(peer: PlatformPeer, agent: AgentProcess) -> None:
    log = await peer.run("ls /proc/self/fd")
    assert log.text().split() == ["0", "1", "2", "3"]  # 3 is what ls itself opened


async def test_commands_are_killed_before_the_agent_when_memory_runs_out(
    peer: PlatformPeer, agent: AgentProcess
) -> None:
    own = int(agent.proc("oom_score_adj"))
    log = await peer.run("cat /proc/self/oom_score_adj; (cat /proc/self/oom_score_adj)")
    assert [int(score) for score in log.text().split()] == [500, 500]
    assert int(agent.proc("oom_score_adj")) == own < 500


async def test_nothing_listens(peer: PlatformPeer, agent: AgentProcess) -> None:
    await peer.run("true")
    assert agent.listening_sockets() == set()


# Size and speed


async def test_it_starts_fast_and_stays_small(peer: PlatformPeer, agents: Agents) -> None:
    agent = agents.start()
    await peer.until(lambda: bool(peer.greeted()))
    # Of a processor, as others use this machine too.
    assert agent.processor_seconds() < 0.3
    await peer.run("true")
    assert agent.memory() < 30_000_000


async def test_memory_is_bounded_whatever_is_printed(peer: PlatformPeer, agent: AgentProcess) -> None:
    """Half a gigabyte is offered; the platform is slow, so nearly all of it waits, in the command."""
    peer.answer_delay = 0.05
    log = await peer.execute("wf_a", "head -c 500000000 /dev/zero", timeout_seconds=2)
    highest = 0
    while log.exit is None:
        highest = max(highest, agent.memory())
        await asyncio.sleep(0.02)
    assert highest < 40_000_000
    assert log.exit.cause == "timed_out"
    assert len(log.data) > 1_000_000


async def test_a_hundred_megabytes_pass_through_a_bounded_memory(peer: PlatformPeer, agent: AgentProcess) -> None:
    log = await peer.execute("wf_a", "head -c 100000000 /dev/zero")
    highest = 0
    while log.exit is None:
        highest = max(highest, agent.memory())
        await asyncio.sleep(0.02)
    assert len(log.data) == 100_000_000
    assert highest < 40_000_000


# Progress


async def test_the_progress_helper_sets_the_tasks_progress(peer: PlatformPeer, agent: AgentProcess) -> None:
    log = await peer.run('progress 45 "Building the \\"thing\\""; progress 100')
    assert log.progress[-1] == (100, None)
    assert log.exit
    assert log.exit.exit_code == 0
    single = await peer.run('progress 45 "Building" more')
    assert single.progress == [(45, "Building more")]


async def test_only_the_newest_progress_is_told_and_not_too_often(peer: PlatformPeer, agent: AgentProcess) -> None:
    log = await peer.run("for i in {0..100}; do progress $i; done")
    assert log.exit
    assert len(log.progress) <= 2 + log.exit.run_ms // 500  # the first, the last, and one each half second
    assert log.progress[-1] == (100, None)


@pytest.mark.parametrize("arguments", ["", "101", "-1", "4.5", "many", "'5 5'"])
async def test_the_progress_helper_says_how_it_is_used(peer: PlatformPeer, agent: AgentProcess, arguments: str) -> None:
    log = await peer.run(f"progress {arguments}")
    assert log.exit
    assert log.exit.exit_code == 2
    assert log.of("stderr").startswith(b"usage: progress PERCENT")
    assert log.progress == []


async def test_a_message_of_any_characters_is_one_message(peer: PlatformPeer, agent: AgentProcess) -> None:
    log = await peer.run(r"progress 5 $'a\tb\nc' ; sleep 0.6; progress 6 $(printf 'ü%.0s' {1..3000})")
    assert log.progress[0] == (5, "a b c")
    assert log.progress[1][0] == 6


async def test_nonsense_in_the_pipe_is_survived(peer: PlatformPeer, agent: AgentProcess) -> None:
    log = await peer.run(r"printf 'x\ny\t\t\n\xff\t1000\t\n' > $FILEPATH_PROGRESS; progress 7")
    assert log.progress == [(7, None)]


async def test_nonsense_without_end_neither_fills_the_log_nor_keeps_others_waiting(
    peer: PlatformPeer, agent: AgentProcess
) -> None:
    flood = await peer.execute("wf_flood", "yes '' > $FILEPATH_PROGRESS", timeout_seconds=3)
    begun = time.monotonic()
    await peer.run("echo hi")
    assert time.monotonic() - begun < 2
    await peer.until(lambda: flood.exit is not None)
    assert flood.exit
    assert (flood.exit.cause, flood.exit.signal) == ("timed_out", "TERM")
    assert flood.exit.run_ms < 5000
    assert agent.log.stat().st_size < 5000


@pytest.mark.parametrize("line", [b"", b"wf_a", b"wf_a\t5", b"wf_a\t101\t", b"wf_a\tx\t"])
def test_a_line_that_is_no_progress_is_refused(line: bytes) -> None:
    with pytest.raises(ValueError, match=r".+"):
        progress.parse(line)


async def test_the_directory_of_the_helpers_goes_with_the_agent(peer: PlatformPeer, agent: AgentProcess) -> None:
    log = await peer.run("cd $(dirname $FILEPATH_PROGRESS); touch mine; pwd; ls")
    directory, *files = log.of("stdout").decode().split()
    assert files == ["progress", "progress.pipe"] if IS_ROOT else [*files, "mine"]
    await asyncio.to_thread(agent.end)
    assert not os.path.exists(directory)  # noqa: ASYNC240, PTH110
