"""Whether this stack's sandboxes are containers or processes: chosen by `make up`, and kept for the emulator.

Containers where an engine of this machine runs them within their limits and the image can be had; else processes.
FILEPATH_SANDBOXES=containers or =processes chooses by hand, and is refused where it cannot be.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass

from local import engine, image, sandboxes
from local.containers import Containers, tried
from local.home import Home
from local.steps import Failure

VARIABLE = "FILEPATH_SANDBOXES"
KINDS = ("containers", "processes")


@dataclass(frozen=True)
class Choice:
    """Processes where there are no `containers`; `reason` says why."""

    containers: Containers | None
    reason: str = ""

    def description(self) -> str:
        """What holds here and what does not, for the one who starts the stack."""
        if self.containers:
            return self.containers.description()
        return f"{sandboxes.description()} No containers: {self.reason}."


def wanted(environment: Mapping[str, str] = os.environ) -> str:
    """`containers`, `processes`, or nothing: as this machine allows. Raises Failure."""
    kind = environment.get(VARIABLE, "")
    if kind and kind not in KINDS:
        raise Failure(f"{VARIABLE} is {kind}. Set it to {' or '.join(KINDS)}, or unset it: this machine decides.")
    return kind


def choose(home: Home, environment: Mapping[str, str] = os.environ) -> Choice:
    """Raises Failure where neither can be had, or not the one that is wanted."""
    kind = wanted(environment)
    if kind == "processes":
        return _processes(f"{VARIABLE}={kind}", environment)
    try:
        found = engine.find(home, environment)
        return Choice(tried(found, image.build(found, environment)))
    except (engine.NoEngineError, engine.EngineFailedError, image.NoImageError) as error:
        if kind:
            raise Failure(f"{VARIABLE} asks for containers, which cannot be had: {error}.") from None
        return _processes(str(error), environment)


def _processes(reason: str, environment: Mapping[str, str]) -> Choice:
    if not sandboxes.allowed(environment):
        raise Failure(sandboxes.REFUSAL)
    return Choice(None, reason)


def keep(home: Home, choice: Choice) -> None:
    if choice.containers is None:
        home.containers_file.unlink(missing_ok=True)
        return
    temporary = home.containers_file.with_suffix(".new")
    temporary.write_text(choice.containers.to_json())
    temporary.rename(home.containers_file)


def kept(home: Home) -> Containers | None:
    try:
        return Containers.from_json(home.containers_file.read_text())
    except FileNotFoundError:
        return None
