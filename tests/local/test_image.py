"""The sandbox's image: local/image.py."""

from __future__ import annotations

from pathlib import Path

import pytest

from local import image
from local.containers import Containers
from local.engine import Engine
from local.home import CHECKOUT
from local.image import NoImageError


def test_the_tag_changes_with_what_the_image_is_made_of(tmp_path: Path) -> None:
    for source in image.SOURCES:
        target = tmp_path / source
        target.parent.mkdir(parents=True, exist_ok=True)
        if source.endswith("agent"):
            target.mkdir()
        else:
            target.write_text("first")
    tags = [image.tag({}, tmp_path)]
    (tmp_path / "sandbox/Dockerfile").write_text("second")
    tags.append(image.tag({}, tmp_path))
    (tmp_path / "sandbox/agent/new.py").write_text("")
    tags.append(image.tag({}, tmp_path))
    (tmp_path / "sandbox/progress").chmod(0o755)
    tags.append(image.tag({}, tmp_path))
    (tmp_path / "sandbox/agent/__pycache__").mkdir()
    (tmp_path / "sandbox/agent/__pycache__/new.pyc").write_text("")

    assert len(set(tags)) == len(tags)
    assert image.tag({}, tmp_path) == tags[-1]
    assert image.tag({"BASE_IMAGE": "mine"}, tmp_path) != tags[-1]


def test_an_image_that_is_there_is_not_built_again(containers: Containers) -> None:
    engine = containers.engine
    before = engine.run("image", "inspect", "--format", "{{.Id}}", containers.image)
    assert image.build(engine) == containers.image == image.tag()
    assert engine.run("image", "inspect", "--format", "{{.Id}}", containers.image) == before


def test_a_failed_build_says_its_last_lines(tmp_path: Path) -> None:
    docker = tmp_path / "docker"
    docker.write_text("#!/bin/sh\n[ $1 = build ] && echo 'no such package: jq'\nexit 1\n")
    docker.chmod(0o755)
    engine = Engine(str(docker), {"PATH": "/usr/bin:/bin"})
    with pytest.raises(NoImageError, match="no such package: jq"):
        image.build(engine, {"BASE_IMAGE": "mine"})


def test_the_agent_in_the_image_is_the_checkouts(containers: Containers) -> None:
    look = ["run", "--rm", "--network=none", "--entrypoint", "cat", containers.image]
    for name in ("memory.py", "protocol.py"):
        inside = containers.engine.run(*look, f"/opt/filepath/sandbox/agent/{name}")
        assert inside == (CHECKOUT / "sandbox/agent" / name).read_text()
