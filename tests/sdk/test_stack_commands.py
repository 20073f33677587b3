"""`filepath up`, `down` and `demo`: in a checkout, outside of one, and with a deployment that is named."""

from __future__ import annotations

import json
import signal
from pathlib import Path

import pytest

from filepath_sdk.checkout import MARKERS
from tests.sdk.platform_double import KEY, Platform
from tests.sdk.test_cli import Shell

MAKEFILE = """
up:
\t@echo started in $(CURDIR)
down:
\t@echo cannot stop >&2; exit 7
demo:
\t@echo shown
env:
\t@echo "export FILEPATH_URL=http://stack"; echo "export FILEPATH_SOCKET_URL=ws://stack"
"""


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    """What a repository of filepath looks like from outside, with commands of its own."""
    root = tmp_path / "repository"
    for marker in MARKERS:
        (root / marker).parent.mkdir(parents=True, exist_ok=True)
        (root / marker).touch()
    (root / "Makefile").write_text(MAKEFILE)
    return root


@pytest.fixture
def shell(tmp_path: Path) -> Shell:
    return Shell(tmp_path)


def test_up_works_from_anywhere_in_a_checkout(checkout: Path, shell: Shell) -> None:
    shell.directory = checkout / "sdk" / "python"
    assert shell("up") == (0, f"started in {checkout}\n".encode(), b"")


def test_down_fails_as_the_checkout_does(checkout: Path, shell: Shell) -> None:
    shell.directory = checkout
    code, out, err = shell("down")
    assert (code, out) == (2, b"")
    assert b"cannot stop" in err


def test_a_checkout_elsewhere_is_named_by_a_variable(checkout: Path, shell: Shell) -> None:
    shell.environment["FILEPATH_CHECKOUT"] = str(checkout)
    assert shell("up")[1] == f"started in {checkout}\n".encode()


def test_a_variable_that_names_no_checkout_is_told_so(tmp_path: Path, shell: Shell) -> None:
    shell.environment["FILEPATH_CHECKOUT"] = str(tmp_path)
    code, _, err = shell("up")
    assert code == 1
    assert f"FILEPATH_CHECKOUT is {tmp_path}" in err.decode()


def test_up_as_json_tells_where_the_stack_is(checkout: Path, shell: Shell) -> None:
    shell.directory = checkout
    code, out, err = shell("up", "--json")
    assert (code, err) == (0, f"started in {checkout}\n".encode())
    assert json.loads(out) == {"checkout": str(checkout), "url": "http://stack", "socketUrl": "ws://stack"}


def test_a_signal_ends_what_the_checkout_does(checkout: Path, shell: Shell) -> None:
    (checkout / "Makefile").write_text("up:\n\t@echo began; exec sleep 60\n")
    shell.directory = checkout
    with shell.start("up") as process:
        assert process.stdout is not None
        assert process.stdout.readline() == b"began\n"
        process.terminate()
        assert process.wait(10) == 128 + signal.SIGTERM
        assert process.stdout.read() == b""


@pytest.mark.parametrize("command", ["up", "down", "demo"])
def test_without_a_checkout_both_ways_to_a_stack_are_told(shell: Shell, command: str) -> None:
    code, out, err = shell(command)
    assert (code, out) == (1, b"")
    assert b"export FILEPATH_URL=" in err
    assert b"filepath signup" in err
    assert b"clone" in err


def test_demo_starts_the_checkout_where_no_deployment_is_named(checkout: Path, shell: Shell) -> None:
    shell.directory = checkout
    code, out, err = shell("demo")
    assert (code, out) == (0, b"shown\n")
    assert f"Starting the one of {checkout}" in err.decode()


@pytest.fixture
def short_sleeps(platform: Platform, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """For the platform's commands: the demo has ten seconds of them."""
    programs = tmp_path / "bin"
    programs.mkdir()
    (programs / "sleep").write_text("#!/bin/sh\nexec /bin/sleep 0.01\n")
    (programs / "sleep").chmod(0o755)
    monkeypatch.setenv("PATH", str(programs), prepend=":")


@pytest.mark.usefixtures("short_sleeps")
def test_demo_shows_each_line_with_its_delay_and_closes_its_session(
    platform: Platform, checkout: Path, tmp_path: Path
) -> None:
    shell = Shell(tmp_path, FILEPATH_URL=platform.url, FILEPATH_API_KEY=KEY)
    shell.directory = checkout
    code, out, err = shell("demo")
    lines = out.decode().splitlines()
    assert (code, f"On {platform.url}" in err.decode()) == (0, True)
    assert [line.split()[:2] for line in lines[2:22]] == [["line", str(number + 1)] for number in range(20)]
    assert lines[22].startswith("Delays: median ")
    assert "credits charged: 1" in lines[23]
    assert platform.sessions["ses_1"]["status"] == "closing"
    assert platform.users == {}


@pytest.mark.usefixtures("short_sleeps")
def test_demo_as_json_is_one_document(platform: Platform, tmp_path: Path) -> None:
    code, out, _ = Shell(tmp_path, FILEPATH_URL=platform.url, FILEPATH_API_KEY=KEY)("demo", "--json")
    seen = json.loads(out)
    assert (code, seen["exitCode"], seen["creditsCharged"], len(seen["delaysSeconds"])) == (0, 0, 1, 20)


def test_demo_makes_no_account_where_no_key_is_known(platform: Platform, tmp_path: Path) -> None:
    code, out, err = Shell(tmp_path, FILEPATH_URL=platform.url)("demo")
    assert (code, out) == (1, b"")
    assert b"filepath signup" in err
    assert platform.requests == []
