"""A layer is unpacked once.

AWS mounts a function's layers into each of its workers.

MiniStack unpacks every layer again for each worker, inside its own process: ten cold calls at once took some 20 s, in
which nothing else was served. Here each layer is unpacked once, by the hash of its bytes, and the workers share it.
"""

# ruff: noqa: SLF001 - a mend reaches into what it mends

from __future__ import annotations

import hashlib
import io
import os
import shutil
import tempfile
import threading
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

_unpacking = threading.Lock()


KEPT = 3
"""Layers of earlier deployments, among them the one that is most likely to be used again."""


def apply(directory: Path) -> None:
    from ministack.core import lambda_runtime

    forget_old(directory)
    lambda_runtime.Worker._spawn = sharing_layers(lambda_runtime.Worker._spawn, directory)


def forget_old(directory: Path) -> None:
    newest_first = sorted(directory.glob("*"), key=lambda layer: layer.stat().st_mtime, reverse=True)
    for layer in newest_first[KEPT:]:
        shutil.rmtree(layer, ignore_errors=True)


def sharing_layers(spawn: Callable[[Any], None], directory: Path) -> Callable[[Any], None]:
    """`spawn`, for a worker that finds its layers unpacked instead of bringing them along."""

    def spawn_with_shared_layers(worker: Any) -> None:
        whole = worker.config
        worker.config = _pointing_at(whole, [unpacked(archive, directory) for archive in _archives(whole)])
        try:
            spawn(worker)
        finally:
            worker.config = whole

    return spawn_with_shared_layers


def _archives(config: dict[str, Any]) -> list[bytes]:
    from ministack.services import lambda_svc

    archives = (lambda_svc._resolve_layer_zip(layer) for layer in config.get("Layers", []))
    return [archive for archive in archives if archive]


def _pointing_at(config: dict[str, Any], layers: list[Path]) -> dict[str, Any]:
    variables = dict(config.get("Environment", {}).get("Variables", {}))
    # The emulator's own way to tell its Python worker where the layers are.
    variables["_LAMBDA_LAYERS_DIRS"] = os.pathsep.join(map(str, layers))
    return {**config, "Layers": [], "Environment": {"Variables": variables}}


def unpacked(archive: bytes, directory: Path) -> Path:
    target = directory / hashlib.sha256(archive).hexdigest()
    with _unpacking:
        if not target.exists():
            directory.mkdir(parents=True, exist_ok=True)
            half = tempfile.mkdtemp(dir=directory)
            with zipfile.ZipFile(io.BytesIO(archive)) as layer:
                layer.extractall(half)
            Path(half).rename(target)
        os.utime(target)
    return target
