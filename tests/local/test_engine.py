"""Which container engine is found, and what it is told: local/engine.py."""

from __future__ import annotations

from pathlib import Path

import pytest

from local import engine
from local.engine import EngineFailedError, NoEngineError
from local.home import Home


@pytest.fixture
def home(tmp_path: Path) -> Home:
    return Home(tmp_path / "home", 1, 2, 3)


def program(directory: Path, name: str, script: str) -> None:
    """An engine that answers as the script says; everything beyond is a real call of a real program."""
    directory.mkdir(exist_ok=True)
    file = directory / name
    file.write_text(f"#!/bin/sh\n{script}\n")
    file.chmod(0o755)


def environment(directory: Path, **variables: str) -> dict[str, str]:
    return {"PATH": f"{directory}:/usr/bin:/bin", "HOME": str(directory), **variables}


def test_a_machine_without_an_engine_is_told_what_was_looked_for(home: Home, tmp_path: Path) -> None:
    with pytest.raises(NoEngineError, match="docker is not installed; podman is not installed"):
        engine.find(home, {"PATH": str(tmp_path)})


def test_a_docker_whose_daemon_answers_is_taken(home: Home, tmp_path: Path) -> None:
    program(tmp_path / "bin", "docker", "echo 28.0")
    program(tmp_path / "bin", "podman", "echo 5.0")
    found = engine.find(home, environment(tmp_path / "bin", DOCKER_HOST="unix:///run/d.sock", AWS_SECRET_KEY="no"))
    assert found.program == "docker"
    assert found.environment["DOCKER_HOST"] == "unix:///run/d.sock"
    assert "AWS_SECRET_KEY" not in found.environment


def test_podman_is_taken_where_dockers_daemon_is_silent(home: Home, tmp_path: Path) -> None:
    program(tmp_path / "bin", "docker", '[ "$1" = context ] && echo unix:///run/d.sock || exit 1')
    program(tmp_path / "bin", "podman", "echo 5.0")
    assert engine.find(home, environment(tmp_path / "bin")).program == "podman"


def test_an_engine_on_another_machine_is_none(home: Home, tmp_path: Path) -> None:
    program(tmp_path / "bin", "docker", "echo 28.0")
    program(tmp_path / "bin", "podman", "exit 1")
    with pytest.raises(NoEngineError, match="another machine"):
        engine.find(home, environment(tmp_path / "bin", DOCKER_HOST="tcp://192.0.2.1:2375"))


def test_podman_gets_settings_beside_those_of_its_owner(home: Home, tmp_path: Path) -> None:
    program(tmp_path / "bin", "podman", "echo 5.0")
    own = tmp_path / "mine.conf"
    own.write_text("[engine]\n")
    found = engine.find(home, environment(tmp_path / "bin", CONTAINERS_CONF=str(own)))
    assert found.environment["CONTAINERS_CONF"] == str(own)
    assert "nproc=" in Path(found.environment["CONTAINERS_CONF_OVERRIDE"]).read_text()


def test_a_refused_call_says_the_engines_last_words(home: Home, tmp_path: Path) -> None:
    program(tmp_path / "bin", "podman", '[ "$1" = version ] || { echo "Error: no space" >&2; exit 125; }')
    found = engine.find(home, environment(tmp_path / "bin"))
    with pytest.raises(EngineFailedError, match="podman pull: Error: no space"):
        found.run("pull", "image")
