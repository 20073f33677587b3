"""What the agent is told from outside. The only reader of the environment, which commands never inherit."""

from __future__ import annotations

import os
from collections.abc import MutableMapping
from dataclasses import dataclass, fields
from pathlib import Path

from agent import privileges


class SettingsError(ValueError):
    """The environment does not say what the agent needs to know. The message names the variable."""


@dataclass(frozen=True)
class Timing:
    """Seconds. `FILEPATH_AGENT_` and the name in capitals overrides one: for tests, and for a platform in trouble."""

    silence_seconds: float = 15
    """A request without a reply for so long is sent again."""
    renew_seconds: float = 100 * 60
    """API Gateway ends a connection after two hours: from here on, up to a tenth later, a new one is opened."""
    gone_seconds: float = 10 * 60
    shutdown_seconds: float = 25
    """ECS kills what is still there 30 s after SIGTERM."""
    settle_seconds: float = 1
    """How long processes may outlive the last running command before they count as left behind."""
    report_seconds: float = 60
    """How often those are reported: each started minute is charged."""
    quiet_seconds: float = 0.1
    """How long output may pause, after the command's end, before a child that still holds the pipe is let go."""

    @classmethod
    def of(cls, environ: MutableMapping[str, str]) -> Timing:
        given = {field.name: environ.get(f"FILEPATH_AGENT_{field.name.upper()}") for field in fields(cls)}
        try:
            return cls(**{name: float(value) for name, value in given.items() if value})
        except ValueError as error:
            raise SettingsError(f"a FILEPATH_AGENT_…_SECONDS is not a number: {error}") from error


@dataclass(frozen=True)
class Settings:
    agents_url: str
    session_id: str
    token: str
    workspace: Path
    user: privileges.User
    timing: Timing

    def __repr__(self) -> str:
        return f"Settings({self.session_id} at {self.agents_url})"  # without the token: this may reach a log


def take(environ: MutableMapping[str, str] = os.environ) -> Settings:
    """Reads the settings and takes the token out of the environment, also out of what /proc shows of it."""
    token = _required(environ, "FILEPATH_TOKEN")
    privileges.erase_from_proc("FILEPATH_TOKEN")
    del environ["FILEPATH_TOKEN"]
    try:
        user = privileges.User.of(environ.get("FILEPATH_COMMAND_USER"))
    except ValueError as error:
        raise SettingsError(f"FILEPATH_COMMAND_USER: {error}") from error
    return Settings(
        agents_url=_required(environ, "FILEPATH_AGENTS_URL"),
        session_id=_required(environ, "FILEPATH_SESSION"),
        token=token,
        workspace=Path(environ.get("FILEPATH_WORKSPACE") or "/workspace"),
        user=user,
        timing=Timing.of(environ),
    )


def _required(environ: MutableMapping[str, str], name: str) -> str:
    value = environ.get(name)
    if not value:
        raise SettingsError(f"{name} is not set: the platform sets it where it starts a sandbox")
    return value
