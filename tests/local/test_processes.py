"""Background programs: local/processes.py and what a home keeps."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from local.home import Home
from local.processes import Program, started_at
from tests.local.emulators import eventually

WAITS = "import time\nprint('here', flush=True)\ntime.sleep(60)\n"
STAYS = (
    "import signal, time\nsignal.signal(signal.SIGTERM, signal.SIG_IGN)\nprint('here', flush=True)\ntime.sleep(60)\n"
)


@pytest.fixture
def home(tmp_path: Path) -> Home:
    home = Home(tmp_path / "home", 1, 2, 3)
    home.prepare()
    return home


@pytest.fixture
def waiting(home: Home) -> Iterator[Program]:
    program = Program(home, "waiting", [sys.executable, "-c", WAITS])
    program.start(dict(os.environ))
    yield program
    program.stop(5)


def test_a_program_runs_until_it_is_stopped(waiting: Program) -> None:
    assert waiting.pid() is not None
    assert waiting.stop(5)
    assert waiting.pid() is None


def test_a_program_that_does_not_stop_is_killed(home: Home) -> None:
    program = Program(home, "staying", [sys.executable, "-c", STAYS])
    program.start(dict(os.environ))
    eventually(lambda: "here" in program.log.read_text())
    pid = program.pid()
    assert pid is not None
    assert not program.stop(0.2)
    assert started_at(pid) is None


def test_another_process_with_the_same_id_is_left_alone(waiting: Program, home: Home) -> None:
    """A file of an earlier boot, say."""
    other = Program(home, "other", [])
    (home.run / "other.json").write_text(json.dumps({"pid": waiting.pid(), "started": "1", "ports": [1, 2, 3]}))
    assert other.pid() is None
    assert other.stop(1)
    assert waiting.pid() is not None


def test_the_ports_of_the_first_up_are_kept(tmp_path: Path) -> None:
    where = {"FILEPATH_LOCAL_HOME": str(tmp_path / "home")}
    Home.from_environment({**where, "FILEPATH_PORT": "9000"}).prepare()
    assert Home.from_environment(where).ports == (9000, 8081, 4566)
    assert Home.from_environment({**where, "FILEPATH_PORT": "9001"}).ports == (9001, 8081, 4566)


def test_a_stacks_root_key_stays_and_is_its_own(tmp_path: Path) -> None:
    one, two = Home(tmp_path / "one", 1, 2, 3), Home(tmp_path / "two", 1, 2, 3)
    assert one.root_key() == one.root_key() != two.root_key()
    assert (tmp_path / "one" / "root.json").stat().st_mode & 0o077 == 0
