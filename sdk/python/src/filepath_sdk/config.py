"""Where the command line keeps who you are: one JSON file, readable by its owner alone."""

from __future__ import annotations

import json
import os
from dataclasses import asdict, dataclass, field
from pathlib import Path

from filepath_sdk.errors import FilepathError


@dataclass(frozen=True)
class Config:
    """A deployment and a key for it. They belong together: the key is sent to no other URL."""

    url: str | None = None
    api_key: str | None = field(default=None, repr=False)

    def key_for(self, url: str | None) -> str | None:
        return self.api_key if url and self.url and url.rstrip("/") == self.url.rstrip("/") else None


def path() -> Path:
    home = os.environ.get("XDG_CONFIG_HOME")
    return (Path(home) if home else Path.home() / ".config") / "filepath" / "config.json"


def load() -> Config:
    try:
        stored = json.loads(path().read_text())
        return Config(stored.get("url"), stored.get("api_key"))
    except FileNotFoundError:
        return Config()
    except (ValueError, AttributeError) as error:
        raise FilepathError(f"{path()} is not what filepath wrote; delete it and sign in again") from error


def save(config: Config) -> Path:
    """Replaces the file at once: a reader sees the old one or the new one, never half a key."""
    target = path()
    target.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    draft = target.with_name(f".{target.name}.{os.getpid()}")
    descriptor = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    with os.fdopen(descriptor, "w") as file:
        json.dump(asdict(config), file)
        file.write("\n")
    draft.replace(target)
    return target
