"""Where one local stack lives: its directory, its ports and its root key.

Read here and nowhere else: FILEPATH_LOCAL_HOME, FILEPATH_PORT, FILEPATH_SANDBOX_PORT, FILEPATH_EMULATOR_PORT, and
FILEPATH_PARAMETERS ("Name=value Name=value", over the template's). Two stacks side by side differ in the first four.
The ports that a stack was started with are kept, so that only the first `up` has to name them.
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
PORTS = {"FILEPATH_PORT": 8080, "FILEPATH_SANDBOX_PORT": 8081, "FILEPATH_EMULATOR_PORT": 4566}


class PortsError(ValueError):
    """The ports asked for cannot be had. The message says which, and what to do."""


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
    parameters: tuple[tuple[str, str], ...] = ()
    """Of the template, beside those that every local stack sets."""

    @classmethod
    def from_environment(cls, environment: Mapping[str, str] = os.environ) -> Home:
        directory = Path(environment.get("FILEPATH_LOCAL_HOME") or CHECKOUT / ".local").resolve()
        kept = _read(directory / "ports.json")
        ports = [_port(name, environment.get(name) or kept.get(name) or port) for name, port in PORTS.items()]
        if len(set(ports)) < len(ports):
            raise PortsError(f"{', '.join(PORTS)} are {ports}. Give each a port of its own.")
        front, sandbox, emulator = ports
        parameters = (pair.partition("=")[::2] for pair in environment.get("FILEPATH_PARAMETERS", "").split())
        return cls(directory, front, sandbox, emulator, tuple((name, value) for name, value in parameters))

    def environment(self) -> dict[str, str]:
        """What a process started for this stack needs in order to find it."""
        return {
            "FILEPATH_LOCAL_HOME": str(self.directory),
            **dict(zip(PORTS, map(str, self.ports), strict=True)),
        }

    @property
    def ports(self) -> tuple[int, int, int]:
        return self.port, self.sandbox_port, self.emulator_port

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
    def calls(self) -> Path:
        """What each function asked of AWS, line by line: see `calls.py`."""
        return self.logs / "calls.jsonl"

    @property
    def run(self) -> Path:
        """Process ids."""
        return self.directory / "run"

    @property
    def scratch(self) -> Path:
        """Unpacked functions: worth nothing once the emulator has ended."""
        return self.directory / "tmp"

    @property
    def layers(self) -> Path:
        """Unpacked layers, by the hash of what they hold."""
        return self.directory / "layers"

    @property
    def sandboxes(self) -> Path:
        return self.directory / "sandboxes"

    @property
    def containers_file(self) -> Path:
        """How sandboxes are made, where they are containers."""
        return self.directory / "containers.json"

    @property
    def build(self) -> Path:
        return self.directory / "build"

    @property
    def outputs_file(self) -> Path:
        """The stack's outputs, where the doors find the ids of the APIs."""
        return self.directory / "outputs.json"

    @property
    def gateway_responses_file(self) -> Path:
        """How the template words API Gateway's own refusals."""
        return self.directory / "gateway-responses.json"

    def prepare(self) -> None:
        self.directory.mkdir(parents=True, exist_ok=True)
        self.directory.chmod(0o700)
        for directory in (self.state, self.logs, self.run, self.scratch, self.sandboxes):
            directory.mkdir(exist_ok=True)
        kept = dict(zip(PORTS, self.ports, strict=True))
        (self.directory / "ports.json").write_text(json.dumps(kept))

    def root_key(self) -> RootKey:
        """Made at the first call, then the same for as long as the stack's state is kept."""
        access_key = "AKIA" + "".join(secrets.choice(string.ascii_uppercase + "234567") for _ in range(16))
        return RootKey(**self._secret("root.json", access_key=access_key, secret_key=secrets.token_urlsafe(30)))

    def control_secret(self) -> str:
        """What a test shows the doors to have them cut, delay or refuse."""
        return self._secret("control.json", secret=secrets.token_urlsafe(30))["secret"]

    def _secret(self, name: str, **fresh: str) -> dict[str, str]:
        """What the file holds; what is given, the first time."""
        path = self.directory / name
        if not path.exists():
            self.directory.mkdir(parents=True, exist_ok=True)
            temporary = path.with_suffix(".new")
            with os.fdopen(os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "w") as file:
                json.dump(fresh, file)
            temporary.rename(path)
        return _read(path)


def _port(name: str, wanted: str | int) -> int:
    if not str(wanted).isdecimal() or not 0 < int(wanted) < 65536:
        raise PortsError(f"{name} is {wanted}, which is no port. Set it to a number between 1 and 65535.")
    return int(wanted)


def _read(path: Path) -> dict[str, str]:
    content: dict[str, str] = json.loads(path.read_text()) if path.exists() else {}
    return content
