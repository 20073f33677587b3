"""A stack of the tests' own: other ports, another home, started once and forgotten at the end."""

from __future__ import annotations

import itertools
import json
import os
import secrets
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

import httpx
import pytest

from filepath_sdk import Filepath, Session
from local import sandbox_choice
from local.home import CHECKOUT, Home
from local.stack import Stack
from local.steps import Failure

T = TypeVar("T")

PASSWORD = "correct horse battery"
START_TIMEOUT_SECONDS = 15


@dataclass(frozen=True)
class RunningStack:
    home: Home
    env: dict[str, str]

    @property
    def url(self) -> str:
        return self.home.front_url

    @property
    def socket_url(self) -> str:
        return self.home.socket_url

    def command(self, name: str, *words: str) -> str:
        """What `python -m local NAME` printed. Fails with it when it failed."""
        done = subprocess.run(
            [sys.executable, "-m", "local", name, *words],
            cwd=CHECKOUT, env=self.env, capture_output=True, text=True, timeout=300, check=False,
        )  # fmt: skip
        assert done.returncode == 0, f"local {name} failed:\n{done.stdout}\n{done.stderr}"
        return done.stdout

    def faults(self, door: str, *, cut: bool = False, **plan: Any) -> int:
        """Sets a door's plan (none: all goes well again) and, with `cut`, breaks its open sockets; says how many."""
        answer = httpx.post(
            f"{self.url}/_local/faults",
            headers={"x-local-secret": self.home.control_secret()},
            json={"door": door, "cut": cut, "plan": plan},
        )
        answer.raise_for_status()
        count: int = answer.json()["cut"]
        return count

    def call_faults(self, **plan: Any) -> dict[str, dict[str, int]]:
        """Sets how the functions' calls to AWS fare (none: well again); the counts of the plan that it ends."""
        answer = httpx.post(
            f"{self.url}/_local/faults",
            headers={"x-local-secret": self.home.control_secret()},
            json={"door": "aws", "plan": plan},
        )
        answer.raise_for_status()
        counts: dict[str, dict[str, int]] = answer.json()
        return counts

    def output(self, name: str) -> str:
        return str(json.loads(self.home.outputs_file.read_text())[name])

    def invoke(self, output: str, payload: dict[str, Any]) -> dict[str, Any]:
        return Stack(self.home).invoke(output, payload)

    def log(self) -> str:
        return (self.home.logs / "functions.log").read_text(errors="replace")

    def account(self, name: str = "test") -> Account:
        with Filepath(url=self.url, socket_url=self.socket_url) as visitor:
            signed_in = visitor.sign_up(f"{name}-{secrets.token_hex(4)}@example.org", PASSWORD, name)
            made = visitor.keys.create(name)
        assert made.key is not None
        return Account(signed_in.token, made.key, made.id)

    def client(self, key: str) -> Filepath:
        return Filepath(api_key=key, url=self.url, socket_url=self.socket_url)


@dataclass(frozen=True)
class Account:
    """`token` may do everything that the account may, `key` what a default key may."""

    token: str
    key: str
    key_id: str


def free_ports(count: int) -> list[int]:
    sockets = [socket.create_server(("127.0.0.1", 0)) for _ in range(count)]
    ports = [each.getsockname()[1] for each in sockets]
    for each in sockets:
        each.close()
    return ports


KINDS = (os.environ[sandbox_choice.VARIABLE],) if sandbox_choice.wanted() else sandbox_choice.KINDS


@pytest.fixture(scope="session", params=KINDS)
def sandboxes(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> str:
    """What the sandboxes are: every test of a stack is run with each kind. The image is built before it is timed."""
    kind: str = request.param
    if kind not in KINDS:
        pytest.skip(f"{sandbox_choice.VARIABLE} asks for other sandboxes")
    if kind == "containers":
        home = Home(tmp_path_factory.mktemp("choice"), 1, 2, 3)
        try:
            sandbox_choice.choose(home, {**os.environ, sandbox_choice.VARIABLE: kind})
        except Failure as refused:
            pytest.skip(str(refused))
    return kind


def started(directory: Path, sandboxes: str, **parameters: str) -> RunningStack:
    ports = dict(zip(("FILEPATH_PORT", "FILEPATH_SANDBOX_PORT", "FILEPATH_EMULATOR_PORT"), free_ports(3), strict=True))
    env = {
        **{name: value for name, value in os.environ.items() if not name.startswith("FILEPATH_")},
        **{name: str(port) for name, port in ports.items()},
        "FILEPATH_LOCAL_HOME": str(directory),
        sandbox_choice.VARIABLE: sandboxes,
        "FILEPATH_PARAMETERS": " ".join(f"{name}={value}" for name, value in parameters.items()),
    }
    running = RunningStack(Home.from_environment(env), env)
    running.command("up")
    return running


@pytest.fixture(scope="session")
def stack(tmp_path_factory: pytest.TempPathFactory, sandboxes: str) -> Iterator[RunningStack]:
    """No function of it was refused anything that it tried, in all of its tests."""
    running = started(
        tmp_path_factory.mktemp("stack"),
        sandboxes,
        StartTimeoutSeconds=str(START_TIMEOUT_SECONDS),
        SandboxesPerAccount="20",
    )
    try:
        yield running
        denied = [line for line in running.log().splitlines() if "AccessDenied" in line]
        assert not denied, denied[0]
    finally:
        running.command("down")
        running.command("reset")


@pytest.fixture
def fp(stack: RunningStack) -> Iterator[Filepath]:
    with stack.client(stack.account().key) as client:
        yield client


@pytest.fixture
def session(fp: Filepath) -> Iterator[Session]:
    with fp.sessions.create(name="test") as session:
        yield session


def eventually(look: Callable[[], T], wanted: Callable[[T], object] = bool, seconds: float = 60) -> T:
    """What `look` sees once it is as wanted. For what the platform does by itself and tells no test of."""
    deadline = time.monotonic() + seconds
    for pause in itertools.chain([0.05] * 20, itertools.repeat(0.25)):
        seen = look()
        if wanted(seen):
            return seen
        assert time.monotonic() < deadline, f"after {seconds} s it is still {seen!r}"
        time.sleep(pause)
    raise AssertionError("unreachable")


def agent_pid(session_id: str) -> int:
    """The process of a session's sandbox agent on this machine."""
    for entry in Path("/proc").glob("[0-9]*"):
        try:
            environment = (entry / "environ").read_bytes().split(b"\0")
            program = (entry / "exe").readlink().name
            command = (entry / "cmdline").read_bytes().split(b"\0")
        except (FileNotFoundError, ProcessLookupError, PermissionError):
            continue
        if (
            f"FILEPATH_SESSION={session_id}".encode() in environment
            and command[-2:] == [b"agent", b""]
            and "python" in program
        ):
            return int(entry.name)
    raise AssertionError(f"no agent of {session_id} runs")
