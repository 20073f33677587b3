"""Where one local stack lives: its directory, its ports and its root key.

Read here and nowhere else: FILEPATH_LOCAL_HOME, FILEPATH_PORT, FILEPATH_SANDBOX_PORT, FILEPATH_EMULATOR_PORT.
Two stacks side by side differ in these four.
"""

from __future__ import annotations

import json
import os
import secrets
import string
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

CHECKOUT = Path(__file__).resolve().parent.parent
REGION = "us-east-1"
STACK = "filepath-local"


@dataclass(frozen=True)
class RootKey:
    """The one AWS key that the emulator takes as the account's root. Nobody who reaches its port can guess it."""

    access_key: str
    secret_key: str

    def environment(self) -> dict[str, str]:
        return {"AWS_ACCESS_KEY_ID": self.access_key, "AWS_SECRET_ACCESS_KEY": self.secret_key}


@dataclass(frozen=True)
class Home:
    directory: Path
    port: int
    sandbox_port: int
    emulator_port: int

    @classmethod
    def from_environment(cls, environment: Mapping[str, str] = os.environ) -> Home:
        return cls(
            directory=Path(environment.get("FILEPATH_LOCAL_HOME") or CHECKOUT / ".local").resolve(),
            port=int(environment.get("FILEPATH_PORT") or 8080),
            sandbox_port=int(environment.get("FILEPATH_SANDBOX_PORT") or 8081),
            emulator_port=int(environment.get("FILEPATH_EMULATOR_PORT") or 4566),
        )

    def environment(self) -> dict[str, str]:
        """What a process started for this stack needs in order to find it."""
        return {
            "FILEPATH_LOCAL_HOME": str(self.directory),
            "FILEPATH_PORT": str(self.port),
            "FILEPATH_SANDBOX_PORT": str(self.sandbox_port),
            "FILEPATH_EMULATOR_PORT": str(self.emulator_port),
        }

    @property
    def front_url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    @property
    def socket_url(self) -> str:
        return f"ws://127.0.0.1:{self.port}/socket"

    @property
    def sandbox_url(self) -> str:
        return f"http://127.0.0.1:{self.sandbox_port}"

    @property
    def emulator_url(self) -> str:
        return f"http://127.0.0.1:{self.emulator_port}"

    @property
    def state(self) -> Path:
        """What the emulator writes at a clean shutdown and reads at its start."""
        return self.directory / "state"

    @property
    def logs(self) -> Path:
        return self.directory / "logs"

    @property
    def run(self) -> Path:
        """Process ids."""
        return self.directory / "run"

    @property
    def scratch(self) -> Path:
        """Unpacked functions and layers: worth nothing once the emulator has ended."""
        return self.directory / "tmp"

    @property
    def sandboxes(self) -> Path:
        return self.directory / "sandboxes"

    @property
    def build(self) -> Path:
        return self.directory / "build"

    @property
    def outputs_file(self) -> Path:
        """The stack's outputs, where the doors find the ids of the APIs."""
        return self.directory / "outputs.json"

    def prepare(self) -> None:
        self.directory.mkdir(parents=True, exist_ok=True)
        self.directory.chmod(0o700)
        for directory in (self.state, self.logs, self.run, self.scratch, self.sandboxes):
            directory.mkdir(exist_ok=True)

    def root_key(self) -> RootKey:
        """Made at the first call, then the same for as long as the stack's state is kept."""
        path = self.directory / "root.json"
        if not path.exists():
            alphabet = string.ascii_uppercase + "234567"
            access_key = "AKIA" + "".join(secrets.choice(alphabet) for _ in range(16))
            _write_secret(path, {"access_key": access_key, "secret_key": secrets.token_urlsafe(30)})
        return RootKey(**json.loads(path.read_text()))

    def control_secret(self) -> str:
        """What a test shows the doors to have them cut, delay or refuse."""
        path = self.directory / "control.json"
        if not path.exists():
            _write_secret(path, {"secret": secrets.token_urlsafe(30)})
        secret: str = json.loads(path.read_text())["secret"]
        return secret


def _write_secret(path: Path, content: dict[str, str]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_suffix(".new")
    with os.fdopen(os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "w") as file:
        json.dump(content, file)
    temporary.rename(path)
