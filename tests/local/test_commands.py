"""What a newcomer is told: local/__main__.py, run as `make` runs it."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
from pathlib import Path

import pytest

from local.home import CHECKOUT, PORTS
from tests.local.emulators import free_port


def told(home: Path, *words: str, **environment: str) -> tuple[int, str]:
    """The exit code and all that was printed, a traceback too."""
    ports = {name: str(free_port()) for name in PORTS}
    done = subprocess.run(
        [sys.executable, "-m", "local", *words], cwd=CHECKOUT, capture_output=True, text=True, timeout=60, check=False,
        env={**os.environ, **ports, "FILEPATH_LOCAL_HOME": str(home), **environment},
    )  # fmt: skip
    return done.returncode, done.stdout + done.stderr


@pytest.mark.parametrize("variable", list(PORTS))
def test_a_taken_port_is_named_with_the_way_out(tmp_path: Path, variable: str) -> None:
    with socket.create_server(("127.0.0.1", 0)) as other:
        port = other.getsockname()[1]
        code, said = told(tmp_path, "up", **{variable: str(port)})
    assert code == 1
    assert f"Port {port} is in use" in said
    assert f"{variable}={port + 100} make up" in said


@pytest.mark.parametrize("wanted", ["http", "0", "65536", "-1", "[/bold]"])
def test_what_is_no_port_is_refused(tmp_path: Path, wanted: str) -> None:
    code, said = told(tmp_path, "up", FILEPATH_PORT=wanted)
    assert (code, said.strip()) == (
        1, f"✗ FILEPATH_PORT is {wanted}, which is no port. Set it to a number between 1 and 65535.",
    )  # fmt: skip


def test_two_ports_cannot_be_one(tmp_path: Path) -> None:
    code, said = told(tmp_path, "up", FILEPATH_PORT="9000", FILEPATH_EMULATOR_PORT="9000")
    assert code == 1
    assert "Give each a port of its own." in said
    assert not list(tmp_path.iterdir())


def test_down_says_that_nothing_is_up(tmp_path: Path) -> None:
    assert told(tmp_path, "down") == (0, "The stack is not running; there is nothing to stop.\n")


@pytest.mark.parametrize("words", [("invite",), ("grant", "a@example.org", "5")])
def test_an_operators_command_says_that_nothing_is_up(tmp_path: Path, words: tuple[str, ...]) -> None:
    code, said = told(tmp_path, *words)
    assert (code, said.strip()) == (1, "✗ The stack is not running. Start it: `make up`.")


def test_logs_of_nothing_say_so_and_wait(tmp_path: Path) -> None:
    environment = {**os.environ, "FILEPATH_LOCAL_HOME": str(tmp_path), "PYTHONUNBUFFERED": "1"}
    following = subprocess.Popen(
        [sys.executable, "-m", "local", "logs"], cwd=CHECKOUT, env=environment, stdout=subprocess.PIPE, text=True
    )
    try:
        assert following.stdout is not None
        assert "`make up`" in following.stdout.readline()
        (tmp_path / "logs").mkdir()
        for name in ("sam-deploy", "doors"):
            (tmp_path / "logs" / f"{name}.log").write_text("hello\n")
        assert following.stdout.readline() == "doors  hello\n"
    finally:
        following.kill()
        following.communicate()
