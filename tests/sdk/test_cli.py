"""The `filepath` command as a real process: bytes, exit codes, signals and files."""

from __future__ import annotations

import json
import os
import signal
import stat
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

import filepath_sdk
from tests.sdk.platform_double import KEY, Platform

SOURCE = str(Path(filepath_sdk.__file__).parent.parent)


class Shell:
    """A user's shell: an environment, and a home."""

    def __init__(self, home: Path, **environment: str) -> None:
        self.directory = home
        self.config = home / "filepath" / "config.json"
        self.environment = {
            "PATH": os.environ["PATH"],
            "XDG_CONFIG_HOME": str(home),
            "PYTHONPATH": SOURCE,
            "PYTHONWARNINGS": "error",
            **environment,
        }

    def start(self, *arguments: str, **options: Any) -> subprocess.Popen[bytes]:
        command = [sys.executable, "-m", "filepath_sdk.cli", *arguments]
        pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "stdin": subprocess.DEVNULL}
        return subprocess.Popen(command, env=self.environment, cwd=self.directory, **{**pipes, **options})

    def __call__(self, *arguments: str, sent: bytes | None = None) -> tuple[int, bytes, bytes]:
        with self.start(*arguments, stdin=subprocess.DEVNULL if sent is None else subprocess.PIPE) as process:
            out, err = process.communicate(sent, timeout=20)
        return process.returncode, out, err


@pytest.fixture
def shell(platform: Platform, tmp_path: Path) -> Shell:
    return Shell(tmp_path, FILEPATH_URL=platform.url, FILEPATH_API_KEY=KEY)


def test_run_passes_both_streams_byte_for_byte_and_the_exit_code(platform: Platform, shell: Shell) -> None:
    code, out, err = shell("run", "--", "printf 'a\\xff\\0b'; printf 'c\\xfe' >&2; exit 7")
    assert (code, out, err) == (7, b"a\xff\0b", b"c\xfe")
    assert platform.sessions["ses_1"]["status"] == "closing"


def test_run_joins_several_words_as_a_shell_needs_them(platform: Platform, shell: Shell) -> None:
    code, out, _ = shell("run", "-e", "A=1", "--", "printf", "%s|", "a b", "$A", "--json")
    assert (code, out) == (0, b"a b|$A|--json|")


def test_run_uses_a_session_that_is_given_and_leaves_it_open(platform: Platform, shell: Shell) -> None:
    _, session, _ = shell("sessions", "create", "--name", "build")
    session_id = session.decode().strip()
    assert shell("run", "--session", session_id, "--", "echo x > kept")[0] == 0
    assert shell("run", "-s", session_id, "--", "cat kept")[1] == b"x\n"
    assert platform.sessions[session_id]["status"] == "ready"
    assert shell("sessions", "close", session_id)[0] == 0
    assert b"closing" in shell("sessions", "list")[1]


def test_run_shows_output_as_it_is_written(shell: Shell) -> None:
    with shell.start("run", "--", "echo first; sleep 1; echo second") as process:
        assert process.stdout is not None
        assert process.stdout.readline() == b"first\n"
        first = time.monotonic()
        assert process.stdout.readline() == b"second\n"
    assert time.monotonic() - first > 0.6


def test_run_exits_as_a_shell_does_when_a_signal_ended_the_command(shell: Shell) -> None:
    assert shell("run", "--", "kill -KILL $$")[0] == 128 + signal.SIGKILL


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_an_interrupt_cancels_the_command_and_shows_its_last_words(
    platform: Platform, shell: Shell, number: signal.Signals
) -> None:
    with shell.start("run", "--", "trap 'echo bye; exit' TERM; echo up; sleep 60 & wait") as process:
        assert process.stdout is not None
        assert process.stdout.readline() == b"up\n"
        process.send_signal(number)
        out, err = process.communicate(timeout=10)
    assert (process.returncode, out, err) == (128 + number, b"bye\n", b"filepath: cancelled, wf_1\n")
    assert platform.tasks["wf_1"].cancelled
    assert platform.sessions["ses_1"]["status"] == "closing"


def test_an_interrupt_in_a_flood_of_output_loses_none_of_it(shell: Shell) -> None:
    flood = "trap 'echo bye; exit' TERM; i=0; while [ $i -lt 200000 ]; do i=$((i+1)); echo $i; done"
    with shell.start("run", "--", flood) as process:
        assert process.stdout is not None
        first = os.read(process.stdout.fileno(), 100)
        process.send_signal(signal.SIGINT)
        rest, err = process.communicate(timeout=20)
    *counted, last = (first + rest).decode().splitlines()
    assert (process.returncode, err, last) == (130, b"filepath: cancelled, wf_1\n", "bye")
    assert counted == [str(number + 1) for number in range(len(counted))]


def test_a_reader_who_leaves_ends_the_command(platform: Platform, shell: Shell) -> None:
    with shell.start("run", "--", "while echo y; do sleep 0.01; done") as process:
        assert process.stdout is not None
        process.stdout.readline()
        process.stdout.close()
        assert process.wait(10) == 128 + signal.SIGPIPE
        assert process.stderr is not None
        assert process.stderr.read() == b""
    assert platform.tasks["wf_1"].cancelled


def test_run_as_json_is_one_document(shell: Shell) -> None:
    code, out, err = shell("run", "--json", "--", "echo hi; exit 2")
    document = json.loads(out)
    assert (code, err) == (2, b"")
    assert (document["stdout"], document["exitCode"], document["creditsCharged"]) == ("hi\n", 2, 1)


def test_run_sends_its_input_when_asked_to(shell: Shell) -> None:
    assert shell("run", "--stdin", "--", "tr a b", sent=b"banana")[1] == b"bbnbnb"


def test_status_output_and_cancel_take_a_task_by_its_id(shell: Shell) -> None:
    _, out, _ = shell("run", "--json", "--", "printf 'o\\xff'; sleep 0.1; printf e >&2")
    task = json.loads(out)["workflowId"]
    assert shell("output", task)[1] == b"o\xffe"
    assert shell("output", task, "--stream", "stderr")[1] == b"e"
    assert shell("output", task, "--after", "2")[1] == b"e"
    assert json.loads(shell("status", task, "--json")[1])["outputBytes"] == 3
    assert b"status: completed" in shell("status", task)[1]
    assert shell("cancel", task)[0] == 0


def test_signup_keeps_a_key_for_its_owner_alone_and_says_where(platform: Platform, tmp_path: Path) -> None:
    shell = Shell(tmp_path, FILEPATH_URL=platform.url, FILEPATH_PASSWORD="a long password")
    code, out, err = shell("signup", "--email", "a@example.com")
    assert (code, err) == (0, b"")
    assert str(shell.config) in out.decode()
    assert stat.S_IMODE(shell.config.stat().st_mode) == 0o600
    assert "keys:write" in platform.keys["key_1"]["scopes"]
    del shell.environment["FILEPATH_URL"]
    assert b"990 available" in shell("credits")[1]
    assert json.loads(shell("credits", "--json")[1]) == {"balance": 1000, "held": 10, "available": 990}


def test_a_stored_key_is_sent_to_its_own_deployment_only(platform: Platform, tmp_path: Path) -> None:
    shell = Shell(tmp_path, FILEPATH_URL=platform.url, FILEPATH_PASSWORD="a long password")
    shell("signup", "--email", "a@example.com")
    with Platform() as other:
        code, _, err = shell("credits", "--url", other.url)
        assert other.requests == []
    assert code == 1
    assert b"FILEPATH_API_KEY" in err


def test_signin_makes_another_key_for_an_account_that_exists(platform: Platform, tmp_path: Path) -> None:
    shell = Shell(tmp_path, FILEPATH_URL=platform.url, FILEPATH_PASSWORD="a long password")
    assert shell("signup", "--email", "a@example.com")[0] == 0
    assert shell("signup", "--email", "a@example.com")[0] == 1
    assert shell("signin", "--email", "a@example.com", "--json")[0] == 0
    assert len(platform.keys) == 2


def test_signup_without_a_terminal_says_how_to_give_the_password(platform: Platform, tmp_path: Path) -> None:
    shell = Shell(tmp_path, FILEPATH_URL=platform.url)
    code, out, err = shell("signup", "--email", "a@example.com")
    assert (code, out) == (1, b"")
    assert b"What to do: Set FILEPATH_PASSWORD." in err
    assert platform.requests == []


def test_signup_for_an_address_that_has_an_account_points_to_signin(platform: Platform, tmp_path: Path) -> None:
    shell = Shell(tmp_path, FILEPATH_URL=platform.url, FILEPATH_PASSWORD="a long password")
    shell("signup", "--email", "a@example.com")
    _, _, err = shell("signup", "--email", "a@example.com")
    assert b"What to do: Use `filepath signin`." in err


def test_without_a_deployment_the_ways_to_name_one_are_told(tmp_path: Path) -> None:
    code, _, err = Shell(tmp_path)("credits")
    assert code == 1
    assert b"--url" in err
    assert b"filepath signup" in err


def test_a_url_without_its_scheme_is_told_so(tmp_path: Path) -> None:
    code, _, err = Shell(tmp_path, FILEPATH_URL="localhost:8080")("credits")
    assert code == 1
    assert b"lacks its scheme: localhost:8080" in err


def test_tasks_are_listed_with_how_they_ended(shell: Shell) -> None:
    shell("run", "--", "exit 3")
    shell("run", "--", "echo " + "x" * 80)
    rows = shell("tasks", "list", "--session", "ses_1")[1].decode().splitlines()
    assert rows[1].split() == ["wf_1", "completed", "3", "2026-11-22", "20:00:00+00:00", "exit", "3"]
    assert len(rows) == 2
    documents = json.loads(shell("--json", "tasks", "list", "--limit", "1")[1])["workflows"]
    assert [one["workflowId"] for one in documents] == ["wf_2"]
    assert b"echo xxx" in shell("tasks", "list")[1]


def test_a_command_that_never_ran_says_why_and_claims_no_output(platform: Platform, shell: Shell) -> None:
    with shell.start("run", "--", "# played by the test") as process:
        while "wf_1" not in platform.tasks:
            assert process.poll() is None
            time.sleep(0.02)
        platform.never_start(platform.tasks["wf_1"], "no such directory or program: /workspace/nowhere")
        _, err = process.communicate(timeout=10)
    assert process.returncode == 1
    assert b"(not_started): no such directory or program: /workspace/nowhere" in err
    assert b"has its output" not in err


def test_usage_is_shown_by_day_or_as_asked_for(platform: Platform, shell: Shell) -> None:
    rows = shell("usage", "--from", "2026-11-01")[1].decode().splitlines()
    assert [row.split() for row in rows] == [
        ["DAY", "CREDITS", "TASKS"],
        ["2026-11-22", "12", "3"],
        ["total", "12", "3"],
    ]
    assert shell("usage", "--by", "key")[1].decode().splitlines()[1].split() == ["-", "12", "3"]
    assert json.loads(shell("usage", "--by", "session", "--json")[1])["rows"][0]["sessionId"] == "ses_1"
    assert shell("usage", "--by", "moon")[0] == 2
    assert platform.periods[0] == ("2026-11-01", None)


def test_keys_are_made_listed_and_revoked(platform: Platform, shell: Shell) -> None:
    assert shell("keys", "create", "ci", "--scope", "tasks:read")[1] == b"fp_1\n"
    assert b"key_1  ci" in shell("keys", "list")[1]
    assert shell("keys", "delete", "key_1")[0] == 0
    assert platform.keys == {}


def test_an_error_says_what_happened_and_what_to_do(shell: Shell) -> None:
    code, out, err = shell("status", "wf_9")
    assert (code, out) == (1, b"")
    assert err.decode().splitlines()[0] == "filepath: There is no task wf_9. (request req-1)"
    assert "What to do: Check the id" in err.decode()


def test_an_error_as_json_is_the_envelope(shell: Shell) -> None:
    code, _, err = shell("status", "wf_9", "--json")
    assert code == 1
    assert json.loads(err)["error"]["code"] == "not_found"


@pytest.mark.parametrize(
    "arguments",
    [("run",), ("nonsense",), ("run", "--env", "A", "--", "x"), ("output", "wf_1", "--stream", "x")],
)
def test_a_wrong_call_exits_with_2(shell: Shell, arguments: tuple[str, ...]) -> None:
    assert shell(*arguments)[0] == 2


def test_help_does_not_load_the_http_library(shell: Shell) -> None:
    check = "import sys; import filepath_sdk.cli; sys.exit('httpx' in sys.modules or 'websockets' in sys.modules)"
    command = [sys.executable, "-c", check]
    assert subprocess.run(command, env=shell.environment, check=False).returncode == 0
    assert b"sessions" in shell("--help")[1]
