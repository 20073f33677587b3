"""What a sandbox sees of this machine: local/jail.py with the specification of local/sandboxes.py."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from local.home import Home
from local.sandboxes import JAIL, Isolation, Sandbox, isolation
from tests.local.emulators import eventually

pytestmark = pytest.mark.skipif(isolation() is Isolation.NONE, reason="this machine allows no namespaces")

SIGTERM = 1 << signal.SIGTERM - 1
"""Its bit in a set of signals."""


class Inside:
    """A sandbox that runs a shell command where the agent would be."""

    def __init__(self, directory: Path) -> None:
        self.home = Home(directory, 1, 2, 3)
        self.home.prepare()
        self.home.root_key()
        sandbox = Sandbox(self.home, "one", "ses_one", {"FILEPATH_TOKEN": "the-token"}, 5)
        self.specification: dict[str, Any] = sandbox._specification()
        self.workspace = self.home.sandboxes / "filepath-sandbox-one" / "workspace"

    def start(self, command: str) -> subprocess.Popen[str]:
        specification = {**self.specification, "command": ["/bin/bash", "-c", command]}
        process = subprocess.Popen(
            [sys.executable, "-I", "-S", str(JAIL)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            env={},
        )
        assert process.stdin is not None
        process.stdin.write(json.dumps(specification))
        process.stdin.close()
        process.stdin = None
        return process

    def says(self, command: str) -> str:
        return self.start(command).communicate(timeout=20)[0].strip()


@pytest.fixture
def inside(tmp_path: Path) -> Inside:
    return Inside(tmp_path / "home")


def test_no_other_process_is_seen(inside: Inside) -> None:
    assert inside.says("cd /proc; echo [0-9]*") == "1 2"


def test_the_stacks_directory_and_the_homes_are_not_there(inside: Inside) -> None:
    secret = inside.home.directory / "root.json"
    assert secret.exists()
    assert inside.says(f"ls {secret} 2>&1; ls -A /home; ls -A /root | grep -v .pyenv").count("\n") == 0
    assert inside.home.root_key().secret_key not in inside.says("grep -rs AKIA / --include=*.json -l; true")


def test_the_system_is_read_only_and_the_workspace_is_not(inside: Inside) -> None:
    refused = inside.says("touch /usr/x /etc/x /x /opt/filepath/x 2>&1 >/dev/null | grep -c Read-only")
    assert refused == "4"
    assert inside.says("echo kept > /workspace/note; cat /workspace/note") == "kept"
    assert (inside.workspace / "note").read_text() == "kept\n"


def test_tmp_is_the_sandboxs_own(inside: Inside) -> None:
    assert inside.says("ls -A /tmp /var/tmp/") == "/tmp:\n\n/var/tmp/:"


def test_the_agents_environment_is_not_shown_by_pid_1(inside: Inside) -> None:
    assert "the-token" not in inside.says("tr '\\0' '\\n' < /proc/1/environ")
    assert inside.says("echo $FILEPATH_TOKEN") == "the-token"


def test_the_users_are_the_images(inside: Inside) -> None:
    assert inside.says("getent passwd 1000 | cut -d: -f1,6; hostname") == "sandbox:/workspace\nsandbox"


@pytest.mark.skipif(isolation() is not Isolation.ROOT, reason="without root there is no other user")
def test_root_inside_can_change_users_and_little_else(inside: Inside) -> None:
    assert inside.says("setpriv --reuid=1000 --clear-groups id -u") == "1000"
    assert "permission denied" in inside.says("mount -t tmpfs none /workspace 2>&1")
    assert "must be root" in inside.says("hostname other 2>&1")


def test_sigterm_reaches_the_agent_and_its_exit_code_comes_back(inside: Inside) -> None:
    with inside.start("trap 'exit 7' TERM; touch /workspace/ready; while :; do sleep 0.05; done") as process:
        eventually((inside.workspace / "ready").exists)
        process.send_signal(signal.SIGTERM)
        assert process.wait(10) == 7


def test_sigterm_is_not_lost_while_the_sandbox_is_being_made(inside: Inside) -> None:
    pipe = inside.workspace / "pipe"
    os.mkfifo(pipe)
    # Who writes into a pipe waits for who reads: PID 1 stands still in the middle of making the root.
    inside.specification["files"] = {**inside.specification["files"], "/workspace/pipe": "\n"}
    with inside.start("sleep 20") as process:
        eventually(lambda: _passes_on_sigterm(process.pid))
        process.send_signal(signal.SIGTERM)
        eventually(lambda: not _signals(process.pid, "ShdPnd") & SIGTERM)
        pipe.read_text()
        assert process.wait(10) == 128 + signal.SIGTERM


def _passes_on_sigterm(pid: int) -> bool:
    return bool(_signals(pid, "SigCgt") & ~_signals(pid, "SigBlk") & SIGTERM)


def _signals(pid: int, kind: str) -> int:
    """As /proc shows them: SigCgt are handled, SigBlk blocked, ShdPnd pending."""
    lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    return next(int(line.split()[1], 16) for line in lines if line.startswith(f"{kind}:"))


def test_a_killed_agent_is_told_by_its_signal(inside: Inside) -> None:
    with inside.start("kill -9 $$") as process:
        assert process.wait(10) == 128 + signal.SIGKILL


def test_whatever_is_left_behind_ends_with_the_agent(inside: Inside) -> None:
    with inside.start("setsid sleep 300 & exit 3") as process:
        assert process.wait(10) == 3
    assert not _sees(inside.workspace)


def test_the_sandbox_ends_with_the_one_who_started_it(inside: Inside) -> None:
    with inside.start("touch /workspace/ready; sleep 300") as process:
        eventually((inside.workspace / "ready").exists)
        process.kill()
    eventually(lambda: not _sees(inside.workspace))


def _sees(workspace: Path) -> bool:
    """Whether any process still has this sandbox's mounts."""
    mounts = (mountinfo for mountinfo in Path("/proc").glob("[0-9]*/mountinfo"))
    for mountinfo in mounts:
        try:
            if str(workspace) in mountinfo.read_text():
                return True
        except OSError:
            continue
    return False


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can become another user to try it")
def test_a_user_namespace_serves_where_there_is_no_root(tmp_path: Path) -> None:
    program = tmp_path / "jail.py"
    program.write_text(JAIL.read_text())
    tmp_path.chmod(0o755)
    for parent in tmp_path.parents:
        if parent.stat().st_uid == os.geteuid() and str(parent).startswith(str(Path("/tmp/pytest"))):
            parent.chmod(0o755)
    root = tmp_path / "root"
    root.mkdir()
    os.chown(root, 1234, 1234)
    specification = {
        "isolation": "user namespace",
        "root": str(root),
        "binds": [("/usr", "/usr", "ro")],
        "files": {"/etc/passwd": "sandbox:x:1000:1000::/:/bin/sh\n"},
        "command": ["/bin/sh", "-c", "id -u; cd /proc; echo [0-9]*; touch /usr/x 2>/dev/null || echo read-only"],
        "directory": "/",
        "environment": {"PATH": "/usr/bin"},
    }
    if not Path("/usr/bin/python3").exists():
        pytest.skip("another user needs a Python outside of root's home")
    done = subprocess.run(
        ["setpriv", "--reuid=1234", "--regid=1234", "--clear-groups", "/usr/bin/python3", "-I", "-S", str(program)],
        input=json.dumps(specification),
        text=True,
        capture_output=True,
        check=False,
        timeout=20,
    )
    assert done.stdout.split() == ["1000", "1", "2", "read-only"], done.stderr
