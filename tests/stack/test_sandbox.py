"""What a command finds inside its sandbox, and what it does not."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from filepath_sdk import Filepath, Session
from tests.stack.conftest import RunningStack, agent_pid


def test_a_command_runs_as_another_user_than_the_agent(session: Session) -> None:
    uid = int(session.run("id -u").stdout)
    agent = session.run("stat -c %u /proc/$PPID").stdout

    assert uid != 0
    assert int(agent) != uid


def test_no_secret_of_the_platform_is_in_any_environment_it_can_read(session: Session) -> None:
    session.run("true")
    told = session.run("env; cat /proc/*/environ 2>/dev/null | tr '\\0' '\\n'").stdout

    assert "PATH=" in told
    assert not re.search(r"^(AWS_|ECS_)|TOKEN|FILEPATH_AGENTS", told, re.MULTILINE), told


def test_the_agents_memory_and_files_are_closed_to_it(session: Session) -> None:
    result = session.run("cat /proc/$PPID/environ; cat /proc/$PPID/mem; ls /proc/$PPID/fd")

    assert result.stdout == ""
    assert result.stderr.count("Permission denied") == 3, result.stderr


def test_nothing_listens_in_the_sandbox(session: Session, stack: RunningStack) -> None:
    """The host's own listeners are seen too where the network is not isolated: none of them may be the agent's."""
    session.run("true")
    pid = agent_pid(session.id)
    listening = {
        line.split()[9]
        for table in ("tcp", "tcp6")
        for line in Path(f"/proc/{pid}/net/{table}").read_text().splitlines()[1:]
        if line.split()[3] == "0A"
    }
    held = {str(link.readlink()) for link in Path(f"/proc/{pid}/fd").iterdir()}

    assert not held & {f"socket:[{inode}]" for inode in listening}


def test_another_sessions_workspace_is_not_there(fp: Filepath, session: Session, stack: RunningStack) -> None:
    session.run("echo mine > secret-of-the-first")
    with fp.sessions.create() as other:
        found = other.run(f"ls /workspace; ls -d {stack.home.directory}; find / -name 'secret-of-*' 2>/dev/null; true")

    assert found.stdout == ""


def test_processes_of_others_are_not_seen(session: Session) -> None:
    shown = session.run("cat /proc/[0-9]*/comm | sort -u").stdout.split()

    assert "bash" in shown
    assert not {"make", "pytest", "hypercorn"} & set(shown), shown


@pytest.mark.parametrize("access_key", ["test", "123456789012", "000000000000"])
def test_the_platforms_api_refuses_a_sandbox(session: Session, stack: RunningStack, access_key: str) -> None:
    """Within reach, since the network is shared here, but of no use: guessable keys are nobody."""
    signed = (
        "import datetime, hashlib, hmac, sys, urllib.request, urllib.error\n"
        f"host, key = '127.0.0.1:{stack.home.emulator_port}', '{access_key}'\n"
        "now = datetime.datetime.now(datetime.timezone.utc).strftime('%Y%m%dT%H%M%SZ')\n"
        "body = b'{}'\n"
        "scope = now[:8] + '/us-east-1/dynamodb/aws4_request'\n"
        "canonical = '\\n'.join(['POST', '/', '', 'host:' + host, 'x-amz-date:' + now,"
        " 'x-amz-target:DynamoDB_20120810.ListTables', '', 'host;x-amz-date;x-amz-target',"
        " hashlib.sha256(body).hexdigest()])\n"
        "text = '\\n'.join(['AWS4-HMAC-SHA256', now, scope, hashlib.sha256(canonical.encode()).hexdigest()])\n"
        "signer = ('AWS4' + key).encode()\n"
        "for part in scope.split('/'):\n"
        "    signer = hmac.new(signer, part.encode(), 'sha256').digest()\n"
        "signature = hmac.new(signer, text.encode(), 'sha256').hexdigest()\n"
        "authorization = f'AWS4-HMAC-SHA256 Credential={key}/{scope},'"
        " f' SignedHeaders=host;x-amz-date;x-amz-target, Signature={signature}'\n"
        "request = urllib.request.Request('http://' + host, body, {'X-Amz-Date': now,"
        " 'X-Amz-Target': 'DynamoDB_20120810.ListTables', 'Authorization': authorization,"
        " 'Content-Type': 'application/x-amz-json-1.0'})\n"
        "try:\n"
        "    print(urllib.request.urlopen(request, timeout=5).status)\n"
        "except urllib.error.HTTPError as error:\n"
        "    print('refused', error.code)\n"
        "except OSError:\n"
        "    print('refused: out of reach')\n"
    )

    assert session.run("python3 -", stdin=signed).stdout.startswith("refused")


def test_no_child_gains_privileges(session: Session) -> None:
    assert "NoNewPrivs:\t1" in session.run("grep NoNewPrivs /proc/self/status").stdout


def test_what_an_agents_work_needs_is_there(session: Session) -> None:
    assert session.run("for t in bash python3 git curl; do command -v $t >/dev/null || echo no $t; done").stdout == ""
