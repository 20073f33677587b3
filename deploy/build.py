"""Functions and layer, built by SAM for the Python that the stack runs on."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Mapping
from pathlib import Path

from deploy.environment import CHECKOUT, TEMPLATE
from deploy.failure import Failure
from gates import layer
from gates.template import ARCHITECTURES, architectures, read_template


def build(environment: Mapping[str, str], runtime: str) -> Path:
    """The built template. Each runtime has a folder of its own: SAM's cache does not see for which one a layer is."""
    folder = CHECKOUT / ".aws-sam" / runtime
    version = runtime.removeprefix("python")
    command = ["sam", "build", "--template-file", str(TEMPLATE), "--build-dir", str(folder / "build")]
    command += ["--cache-dir", str(folder / "cache"), "--parameter-overrides", f"PythonRuntime={runtime}"]
    done = subprocess.run(
        command, cwd=CHECKOUT, env={**environment, "LAYER_PYTHON": version}, check=False,
        stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
    )  # fmt: skip
    if done.returncode:
        raise Failure(f"`sam build` failed:\n{done.stdout.strip()}")
    return folder / "build" / "template.yaml"


def misfits_of(built: Path, runtime: str) -> list[str]:
    """What Lambda could not load, which is seen only at the first call: a runtime older than the layer's wheels."""
    site, version = built.parent / "CommonLayer" / "python", runtime.removeprefix("python")
    machines = [ARCHITECTURES[name].rstrip("-") for name in architectures(read_template(CHECKOUT))]
    found = (misfit for machine in machines for misfit in layer.misfits(site, version, machine))
    return [f"{path.relative_to(site)} {message}" for path, message in found]


def has_python(version: str) -> bool:
    """Whether the layer can be compiled here, as its makefile looks for it."""
    found = subprocess.run(
        ["uv", "python", "find", "--no-project", version],
        env={**os.environ, "UV_PYTHON_DOWNLOADS": "never"}, capture_output=True, check=False,
    )  # fmt: skip
    pyenv = Path(os.environ.get("PYENV_ROOT") or Path.home() / ".pyenv")
    return found.returncode == 0 or any(pyenv.glob(f"versions/{version}.*/bin/python"))


def missing_tools() -> list[str]:
    return [tool for tool in ("sam", "uv", "make") if shutil.which(tool) is None]
