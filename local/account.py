"""An AWS account on this machine that holds nothing yet: what `make deploy` and `make undeploy` are tried against.

    eval "$(python -m local account)"      # starts it; how AWS's own tools find it, and what differs here
    make deploy ENV=dev
    python -m local doors filepath-dev     # opens the doors to that stack, for the sandboxes first of all

What is deployed so differs from a deployment to AWS in what is exported here, and in nothing else.
"""

from __future__ import annotations

import os
import platform
import shlex
from collections.abc import Mapping

from local import image
from local.deployment import Deployment
from local.engine import Engine, NoEngineError, find
from local.home import REGION, Home

NOT_ITS_OWN = ("AWS_PROFILE", "AWS_SESSION_TOKEN", "AWS_REGION", "AWS_DEFAULT_PROFILE")
"""Of the caller's settings, what would lead elsewhere."""


def exports(home: Home, environment: Mapping[str, str] = os.environ) -> dict[str, str]:
    """For AWS's tools, for the container engine, and for `make deploy`."""
    return {
        **home.root_key().environment(),
        "AWS_ENDPOINT_URL": home.emulator_url,
        "AWS_DEFAULT_REGION": REGION,
        "AWS_CONFIG_FILE": os.devnull,
        "AWS_SHARED_CREDENTIALS_FILE": os.devnull,
        "PARAMETERS": " ".join(f"{name}={value}" for name, value in parameters(home).items()),
        "LAYER_PLATFORM": f"{platform.machine()}-manylinux_2_28",
        **_engine(home, environment),
    }


def parameters(home: Home) -> dict[str, str]:
    rest = f"{home.emulator_url}/_aws/execute-api/{{apiId}}/{{stage}}"
    return {**Deployment(home).own_parameters(), "RestUrl": rest}


def _engine(home: Home, environment: Mapping[str, str]) -> dict[str, str]:
    try:
        engine = find(home, environment)
    except NoEngineError:
        return {}
    told = {name: value for name, value in engine.environment.items() if environment.get(name) != value}
    options = shlex.join(image.build_options(engine, image.base(engine, environment), environment))
    return {**told, **_registry(home, engine), "IMAGE_BUILD_OPTIONS": options}


def _registry(home: Home, engine: Engine) -> dict[str, str]:
    """Docker takes a registry at 127.0.0.1 without TLS; podman has to be told."""
    if not engine.is_podman:
        return {}
    file = home.directory / "registries.conf"
    file.write_text(f'[[registry]]\nlocation = "127.0.0.1:{home.emulator_port}"\ninsecure = true\n')
    return {"CONTAINERS_REGISTRIES_CONF": str(file)}
