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
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar

import httpx
import pytest
from xdist.scheduler import LoadScopeScheduling

from filepath.aws.table import Key
from filepath_sdk import Filepath, Session
from local import sandbox_choice
from local.deployment import client_options
from local.deployment import session as session_of
from local.home import CHECKOUT, Home
from local.stack import Stack
from local.steps import Failure
from tests.stack import grants
from tests.stack.grants import Denial

T = TypeVar("T")

PASSWORD = "correct horse battery"
START_TIMEOUT_SECONDS = 25
OUTPUT_LIMIT_BYTES = 12 * 1024 * 1024

WHOLE_RUN = pytest.StashKey[bool]()
"""Whether every stack test is run: only then can be told that something was used by none."""


@pytest.hookimpl(tryfirst=True)  # before pytest puts the tests of each kind of sandboxes together
def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    here = Path(__file__).parent
    chosen = {item.path for item in items}
    narrowed = any(config.getoption(option) for option in ("keyword", "markexpr", "deselect", "lf"))
    narrowed = narrowed or any("::" in word for word in config.args)
    config.stash[WHOLE_RUN] = not narrowed and chosen >= set(here.glob("test_*.py"))
    config.hook.pytest_deselected(items=[item for item in items if _is_again(item)])
    items[:] = [item for item in items if not _is_again(item)]
    items.sort(key=lambda item: item.get_closest_marker("last") is not None)


class EachKindByItself(LoadScopeScheduling):  # type: ignore[misc]  # published without types
    """Gives all tests of one kind of sandboxes to one process, and so to one stack.

    xdist's own groups are of no effect with the node ids of pytest 9.2: pytest-xdist#1386."""

    def _split_scope(self, nodeid: str) -> str:
        return next((kind for kind in KINDS if f"[{kind}" in nodeid), nodeid)


def pytest_xdist_make_scheduler(config: pytest.Config, log: object) -> LoadScopeScheduling:
    return EachKindByItself(config, log)


def _is_again(item: pytest.Item) -> bool:
    """Whether it is to be run once, and this is another kind's turn."""
    parameters = item.callspec.params if isinstance(item, pytest.Function) and hasattr(item, "callspec") else {}
    return item.get_closest_marker("once") is not None and parameters.get("sandboxes", KINDS[-1]) != KINDS[-1]


@dataclass(frozen=True)
class RunningStack:
    home: Home
    env: dict[str, str]
    expected_denials: list[Denial] = field(default_factory=list)
    """Of what a test took out of a role for a while; all else that is denied is a fault."""

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

    # What only the owner of the account can do

    def aws(self, service: str) -> Any:
        client: Any = session_of(self.home).client  # the service is a variable: any client
        return client(service, **client_options(self.home))

    def item(self, key: Key) -> dict[str, Any]:
        """What stands in the table, in DynamoDB's own form."""
        found = self.aws("dynamodb").get_item(TableName=self.output("Table"), Key=_key(key), ConsistentRead=True)
        return dict(found.get("Item", {}))

    def change(self, key: Key, expression: str, **numbers: int) -> None:
        self.aws("dynamodb").update_item(
            TableName=self.output("Table"),
            Key=_key(key),
            UpdateExpression=expression,
            **({"ExpressionAttributeValues": {f":{n}": {"N": str(v)} for n, v in numbers.items()}} if numbers else {}),
        )

    def turn_back(self, key: Key, seconds: int, *times: str) -> None:
        """Makes what happened then to have happened that much earlier, so that no test waits for it."""
        self.change(key, "SET " + ", ".join(f"{name} = {name} - :ms" for name in times), ms=seconds * 1000)

    def stop_machine(self, output: str, name: str) -> None:
        """As somebody may in the console: the machine ends, and nothing that it was to do happens."""
        execution = self.output(output).replace(":stateMachine:", ":execution:") + f":{name}"
        self.aws("stepfunctions").stop_execution(executionArn=execution)

    def reconcile(self) -> None:
        self.invoke("ReconcileFunction", {})

    @contextmanager
    def without(self, function: str, action: str, resource: str = "*") -> Iterator[Denial]:
        """While it lasts, the function's role lacks the action on resources of such a name."""
        with grants.taken_out(self.home, function, action, resource) as denial:
            self.expected_denials.append(denial)
            yield denial

    def unexpected_denials(self) -> list[str]:
        logged = [line for line in self.log().splitlines() if "AccessDenied" in line]
        recorded = grants.denials(self.home)
        return [
            *(line for line in logged if not any(each.is_in(line) for each in self.expected_denials)),
            *(str(one) for one in recorded if not any(one.is_like(each) for each in self.expected_denials)),
        ]

    def forget(self) -> None:
        """Stops it and removes its state; what its functions made use of is kept for the test of the roles."""
        if Stack(self.home).is_up():
            grants.note_used(self.home)
        self.command("reset")

    def account(self, name: str = "test") -> Account:
        with Filepath(url=self.url, socket_url=self.socket_url) as visitor:
            signed_in = visitor.sign_up(f"{name}-{secrets.token_hex(4)}@example.org", PASSWORD, name)
            made = visitor.keys.create(name)
        assert made.key is not None
        return Account(signed_in.token, made.key, made.id)

    def client(self, key: str) -> Filepath:
        return Filepath(api_key=key, url=self.url, socket_url=self.socket_url)


def _key(key: Key) -> dict[str, Any]:
    return {name: {"S": value} for name, value in key.items()}


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


once = pytest.mark.once
"""For tests of what is the same whatever the sandboxes are: run with the kind that every machine has."""


@pytest.fixture(scope="session", params=KINDS)
def sandboxes(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> str:
    """What the sandboxes are: a test of a stack is run with each kind, unless it says `once`. The kinds are run side by
    side. The image is built before it is timed."""
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
        OutputLimitBytes=str(OUTPUT_LIMIT_BYTES),
        SandboxesPerAccount="20",
    )
    try:
        yield running
        grants.note_used(running.home)
        denied = running.unexpected_denials()
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


def eventually(
    look: Callable[[], T], wanted: Callable[[T], object] = bool, seconds: float = 60, *, every: float = 0.25
) -> T:
    """What `look` sees once it is as wanted. For what the platform does by itself and tells no test of."""
    deadline = time.monotonic() + seconds
    for pause in itertools.chain([0.05] * 20, itertools.repeat(every)):
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
