"""Images that containers run from the registry behind ECR: pulled before a container starts, as ECS does it.

The stack of `make up` pushes nothing: its repository is empty, and its containers run the image of `image.py`.
"""

from __future__ import annotations

import json
from dataclasses import replace

from local.engine import Engine
from local.home import Home
from local.mends import registry

SECONDS = 300.0


def is_in_use(home: Home, image: str) -> bool:
    """Whether it is of a repository that was pushed to. Asked within the emulator."""
    from ministack.services import ecr

    address, _, name = image.partition("/")
    images = ecr._images.get(name.partition(":")[0])  # noqa: SLF001 - as the registry itself looks them up
    return address == registry.address(home.emulator_port) and bool(images)


def pull(home: Home, engine: Engine, image: str) -> None:
    """Raises EngineFailedError."""
    if not engine.has("image", image):
        # Docker takes a registry at 127.0.0.1 without TLS; podman has to be told.
        insecure = ("--tls-verify=false",) if engine.is_podman else ()
        _signed_in(home, engine).run("pull", "--quiet", *insecure, image, seconds=SECONDS)


def _signed_in(home: Home, engine: Engine) -> Engine:
    """The engine with the registry's token in a file of the stack's own, and not in its user's."""
    folder = home.directory / "registry"
    folder.mkdir(mode=0o700, exist_ok=True)
    file = folder / "config.json"
    entry = {"auth": registry.authorization()}
    file.write_text(json.dumps({"auths": {registry.address(home.emulator_port): entry}}))
    told = {"REGISTRY_AUTH_FILE": str(file), "DOCKER_CONFIG": str(folder)}
    return replace(engine, environment={**engine.environment, **told})


def forget(home: Home, engine: Engine) -> None:
    """Images by names that lead nowhere once the stack's state is forgotten."""
    listed = engine.run("image", "ls", "--format", "{{.Repository}}:{{.Tag}}").split()
    ours = [name for name in listed if name.startswith(f"{registry.address(home.emulator_port)}/")]
    if ours:
        engine.run("image", "rm", "--force", *ours)
