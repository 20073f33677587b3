"""The layer as its makefile builds it for Lambda: what is in it fits the template's Python and processor."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

from gates import layer
from gates.template import read_template
from local.home import CHECKOUT


def test_the_layer_is_built_for_the_python_of_the_template_and_for_no_other(tmp_path: Path) -> None:
    runtime = read_template(CHECKOUT)["Parameters"]["PythonRuntime"]["Default"].removeprefix("python")
    own = {name: value for name, value in os.environ.items() if not name.startswith(("LAYER_", "MAKE"))}
    subprocess.run(
        ["make", "-C", CHECKOUT / "layers" / "common", "build-CommonLayer", f"ARTIFACTS_DIR={tmp_path}"],
        env={**own, "PATH": f"{CHECKOUT / '.tools' / 'bin'}:{os.environ['PATH']}"}, check=True, timeout=240,
    )  # fmt: skip
    site = tmp_path / "python"
    assert list(layer.misfits(site, runtime, "x86_64")) == []
    assert {path.name.split(".")[0] for path, _ in layer.misfits(site, "3.12", "x86_64")} >= {"_pydantic_core", "WHEEL"}
    assert list(layer.misfits(site, runtime, "aarch64")) != []
