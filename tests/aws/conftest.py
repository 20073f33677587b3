"""The functions as they run on AWS: real handlers, real boto3, a table made from the template's own definition."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterator
from functools import cache
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import yaml
from moto import mock_aws

from filepath import ids
from filepath.aws import clients
from filepath.settings import settings
from tests.aws.gateway import AGENTS_API, CLIENTS_API, STAGE
from tests.aws.people import Person, Platform, Sandbox
from tests.aws.scenes import TABLE, played_once, scene
from tests.aws.wire import CLUSTER, Wire

ROOT = Path(__file__).parents[2]

ENVIRONMENT = {
    "AWS_REGION": "us-east-1",
    "AWS_DEFAULT_REGION": "us-east-1",
    "AWS_ACCESS_KEY_ID": "made-up",
    "AWS_SECRET_ACCESS_KEY": "made-up",
    "TABLE": TABLE,
    "BUCKET": "filepath-objects",
    "STAGE": STAGE,
    "AGENTS_URL": "wss://{apiId}.execute-api.{region}.amazonaws.com/{stage}",
    "SOCKET_URL": "wss://{apiId}.execute-api.{region}.amazonaws.com/{stage}",
    "MANAGEMENT_ENDPOINT": "https://{apiId}.execute-api.{region}.amazonaws.com/{stage}",
    "CLIENTS_API_ID": CLIENTS_API,
    "AGENTS_API_ID": AGENTS_API,
    "SESSION_MACHINE": "arn:aws:states:us-east-1:123456789012:stateMachine:session",
    "TASK_MACHINE": "arn:aws:states:us-east-1:123456789012:stateMachine:task",
    "CLUSTER": CLUSTER,
    "TASK_DEFINITION": "arn:aws:ecs:us-east-1:123456789012:task-definition/sandbox:1",
    "SUBNETS": "subnet-a,subnet-b",
    "SECURITY_GROUP": "sg-sandbox",
    "SIGN_UP": "open",
    "SIGN_UP_CREDITS": "100",
    "SIGN_UPS_PER_ADDRESS": "1000",
    "SIGN_INS_PER_ADDRESS": "1000",
    "SIGN_IN_FAILURES_PER_ACCOUNT": "1000",
    "SANDBOXES_PER_ACCOUNT": "3",
    "SANDBOXES_PER_STACK": "5",
    "RETENTION_DAYS": "30",
    "START_TIMEOUT_SECONDS": "300",
}


class Clock:
    """Stands where the layer reads the time. Each look is a millisecond after the last, so that order is certain."""

    def __init__(self) -> None:
        self.begun_ms = self.now_ms = time.time_ns() // 1_000_000
        self.meanwhile: Iterator[Callable[[], object]] = iter(())
        """What happens in each pause that somebody makes, in turn."""

    def sleep(self, seconds: float) -> None:
        self.pass_(seconds)
        next(self.meanwhile, lambda: None)()

    def time_ns(self) -> int:
        self.now_ms += 1
        return self.now_ms * 1_000_000

    def pass_(self, seconds: float) -> None:
        self.now_ms += int(seconds * 1000)


@pytest.fixture(scope="session")
def wire_of_all() -> Iterator[Wire]:
    """One for all clients, which are made once: making them costs more than most tests."""
    with pytest.MonkeyPatch.context() as patch:
        for name in [name for name in os.environ if name.startswith("AWS_")]:
            patch.delenv(name)
        for name, value in ENVIRONMENT.items():
            patch.setenv(name, value)
        settings.cache_clear()
        yield _standing()
        settings.cache_clear()


@cache
def _standing() -> Wire:
    """One in a process, whichever folder of tests asks for it: botocore asks all that stand there."""
    wire = Wire()
    wire.stand_before(clients._session())
    return wire


@pytest.fixture
def wire(wire_of_all: Wire) -> Wire:
    wire_of_all.reset()
    return wire_of_all


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    clock = Clock()
    monkeypatch.setattr("filepath.clock.time", clock)
    return clock


@pytest.fixture(autouse=True)
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    """The SDK waits seconds between its tries; how often it tries stays as it is."""
    monkeypatch.setattr("botocore.endpoint.time", SimpleNamespace(sleep=lambda seconds: None, time=time.time))


@pytest.fixture
def platform(wire: Wire, clock: Clock, monkeypatch: pytest.MonkeyPatch) -> Iterator[Platform]:
    """An empty stack."""
    for name, value in ENVIRONMENT.items():
        monkeypatch.setenv(name, value)
    settings.cache_clear()
    with mock_aws():
        clients.dynamodb().create_table(TableName=ENVIRONMENT["TABLE"], **table_of_the_template())
        clients.s3().create_bucket(Bucket=ENVIRONMENT["BUCKET"])
        yield Platform(wire, clock)


@pytest.fixture
def configure(platform: Platform, monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    """Sets parameters of the stack to other values."""

    def set_parameters(**parameters: str) -> None:
        for name, value in parameters.items():
            monkeypatch.setenv(name, value)
        settings.cache_clear()

    yield set_parameters
    settings.cache_clear()


@pytest.fixture
def ada(platform: Platform) -> Person:
    return scene("ada", platform, lambda: platform.person("ada@example.org"))


@pytest.fixture
def bob(platform: Platform) -> Person:
    return scene("bob", platform, lambda: platform.person("bob@example.org"))


@cache
def template() -> dict[str, Any]:
    parsed: dict[str, Any] = yaml.load((ROOT / "template.yaml").read_text(), _Loader)  # noqa: S506
    return parsed


def table_of_the_template() -> dict[str, Any]:
    """CreateTable's parameters, as the template has them."""
    properties = template()["Resources"]["Table"]["Properties"]
    taken = ("BillingMode", "AttributeDefinitions", "KeySchema", "GlobalSecondaryIndexes")
    return {name: properties[name] for name in taken}


class _Loader(yaml.SafeLoader):
    """Reads CloudFormation's tags as plain values."""


def _untagged(loader: yaml.SafeLoader, _: str, node: yaml.Node) -> Any:
    match node:
        case yaml.ScalarNode():
            return loader.construct_scalar(node)
        case yaml.SequenceNode():
            return loader.construct_sequence(node)
        case yaml.MappingNode():
            return loader.construct_mapping(node)
    raise TypeError(node)


_Loader.add_multi_constructor("!", _untagged)


@pytest.fixture
def unknown_session() -> str:
    return ids.session_id(0, b"nobody's")


@pytest.fixture
@played_once
def sandbox(ada: Person) -> Sandbox:
    return ada.ready()


@pytest.fixture
@played_once
def workflow_id(ada: Person, sandbox: Sandbox) -> str:
    """A task that runs."""
    workflow_id = ada.submit(sandbox.session_id)
    sandbox.run(workflow_id)
    sandbox.started(workflow_id)
    return workflow_id
