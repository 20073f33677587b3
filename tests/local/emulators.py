"""A running emulator, as the tests of the mends see it."""

from __future__ import annotations

import io
import json
import socket
import sys
import time
import urllib.request
import uuid
import zipfile
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, TypeVar

import boto3
import httpx
import pytest
from botocore.config import Config

from local.home import REGION, Home

RUNTIME = f"python{sys.version_info.major}.{sys.version_info.minor}"


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


@dataclass(frozen=True)
class Emulator:
    """A running emulator, and what its tests need of AWS."""

    home: Home

    def client(self, service: str, access_key: str | None = None, secret_key: str | None = None) -> Any:
        root = self.home.root_key()
        key = (access_key or root.access_key, secret_key or root.secret_key)
        client: Any = boto3.Session(*key, region_name=REGION).client  # the service is a variable: any client
        return client(
            service,
            endpoint_url=self.home.emulator_url,
            config=Config(retries={"total_max_attempts": 1}, s3={"addressing_style": "path"}),
        )

    def role(self, *actions: str) -> str:
        iam = self.client("iam")
        name = f"role-{uuid.uuid4().hex[:8]}"
        role = iam.create_role(RoleName=name, AssumeRolePolicyDocument="{}")["Role"]
        statement = {"Effect": "Allow", "Action": [*actions, "logs:*"], "Resource": "*"}
        policy = json.dumps({"Version": "2012-10-17", "Statement": [statement]})
        iam.put_role_policy(RoleName=name, PolicyName="all", PolicyDocument=policy)
        return str(role["Arn"])

    def function(self, code: str, *, layers: tuple[str, ...] = (), actions: tuple[str, ...] = ()) -> str:
        """A Lambda function of this handler; its ARN."""
        return str(
            self.client("lambda").create_function(
                FunctionName=f"fn-{uuid.uuid4().hex[:8]}",
                Runtime=RUNTIME,
                Role=self.role(*actions),
                Handler="handler.handler",
                Code={"ZipFile": archive({"handler.py": code})},
                Layers=list(layers),
                Timeout=20,
            )["FunctionArn"]
        )

    def machine(self, states: dict[str, Any]) -> str:
        definition = {"QueryLanguage": "JSONata", "StartAt": next(iter(states)), "States": states}
        return str(
            self.client("stepfunctions").create_state_machine(
                name=f"machine-{uuid.uuid4().hex[:8]}", definition=json.dumps(definition), roleArn=self.role("*")
            )["stateMachineArn"]
        )

    def stack(self, name: str, template: str, **parameters: str) -> dict[str, str]:
        """The outputs of a stack made from this template; AssertionError with the reason where it cannot be."""
        client = self.client("cloudformation")
        client.create_stack(
            StackName=name,
            TemplateBody=template,
            Capabilities=["CAPABILITY_IAM", "CAPABILITY_AUTO_EXPAND"],
            Parameters=[{"ParameterKey": key, "ParameterValue": value} for key, value in parameters.items()],
        )

        def ended() -> dict[str, Any] | None:
            found: dict[str, Any] = client.describe_stacks(StackName=name)["Stacks"][0]
            return None if found["StackStatus"].endswith("IN_PROGRESS") else found

        stack = eventually(ended)
        assert stack["StackStatus"] == "CREATE_COMPLETE", stack.get("StackStatusReason")
        return {output["OutputKey"]: output["OutputValue"] for output in stack.get("Outputs", [])}

    def execution_end(self, execution: str, seconds: float = 20) -> dict[str, Any]:
        """The execution as it is once it no longer runs."""
        client = self.client("stepfunctions")

        def ended() -> dict[str, Any] | None:
            found: dict[str, Any] = client.describe_execution(executionArn=execution)
            return found if found["status"] != "RUNNING" else None

        return eventually(ended, seconds)


def archive(files: dict[str, str]) -> bytes:
    data = io.BytesIO()
    with zipfile.ZipFile(data, "w") as target:
        for name, content in files.items():
            target.writestr(name, content)
    return data.getvalue()


T = TypeVar("T")


def eventually(observe: Callable[[], T | None], seconds: float = 20) -> T:
    """What `observe` returns, as soon as it is not None or False."""
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        if seen := observe():
            return seen
        time.sleep(0.05)
    pytest.fail(f"Nothing came within {seconds} s.")


def answers(url: str) -> bool:
    try:
        with urllib.request.urlopen(url, timeout=2) as answer:
            return bool(answer.status == 200)
    except OSError:
        return False


@dataclass(frozen=True)
class Deployed:
    """The small stack of template.yaml, behind its doors."""

    emulator: Emulator
    outputs: dict[str, str]

    @property
    def home(self) -> Home:
        return self.emulator.home

    @property
    def direct_socket(self) -> str:
        """The emulator's own address of the socket, without a door."""
        api = f"/_aws/execute-api/{self.outputs['ClientsApiId']}/Prod"
        return f"ws://127.0.0.1:{self.home.emulator_port}{api}"

    def control(self, **wanted: Any) -> dict[str, Any]:
        """Ask the doors to misbehave."""
        answer = httpx.post(
            f"{self.home.front_url}/_local/faults",
            json=wanted,
            headers={"x-local-secret": self.home.control_secret()},
        )
        assert answer.status_code == 200, answer.text
        content: dict[str, Any] = answer.json()
        return content
