"""`make deploy` and `make undeploy`, by their own commands, against an account that holds nothing before or after."""

from __future__ import annotations

import os
import re
import secrets
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import boto3
import pytest

from filepath_sdk import Filepath
from local.account import NOT_ITS_OWN, exports
from local.containers import STACK_LABEL
from local.engine import NoEngineError, find
from local.home import CHECKOUT, Home
from local.sandbox_choice import VARIABLE
from local.stack import Stack
from tests.stack.conftest import PASSWORD, eventually, free_ports

STACK = "filepath-dev"

pytestmark = pytest.mark.timeout(900)  # an image is built and pushed


@dataclass(frozen=True)
class Account:
    home: Home
    env: dict[str, str]

    def make(self, *words: str, **variables: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            ["make", *words], cwd=CHECKOUT, env={**self.env, **variables}, stdin=subprocess.DEVNULL,
            capture_output=True, text=True, timeout=600, check=False,
        )  # fmt: skip

    def client(self, service: str) -> Any:
        key = self.home.root_key()
        client: Any = boto3.Session(key.access_key, key.secret_key, region_name="us-east-1").client
        return client(service, endpoint_url=self.home.emulator_url)

    def outputs(self) -> dict[str, str]:
        (stack,) = self.client("cloudformation").describe_stacks(StackName=STACK)["Stacks"]
        return {output["OutputKey"]: output["OutputValue"] for output in stack["Outputs"]}

    def sandbox_image(self) -> str:
        """What a sandbox started now would run."""
        definition = self.client("ecs").describe_task_definition(taskDefinition=f"{STACK}-sandbox")["taskDefinition"]
        return str(definition["containerDefinitions"][0]["image"])


@pytest.fixture(scope="module")
def account(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Account]:
    front, sandbox, emulator = free_ports(3)
    home = Home(tmp_path_factory.mktemp("account"), front, sandbox, emulator)
    try:
        find(home)
    except NoEngineError as reason:
        pytest.skip(f"no container engine, which builds and pushes the sandbox's image: {reason}")
    own = {name: value for name, value in os.environ.items() if name not in NOT_ITS_OWN}
    running = subprocess.run(
        [sys.executable, "-m", "local", "account"], cwd=CHECKOUT,
        env={**own, **home.environment(), VARIABLE: "containers"},
        capture_output=True, text=True, timeout=600, check=False,
    )  # fmt: skip
    assert running.returncode == 0, running.stderr
    try:
        yield Account(home, {**own, **home.environment(), **exports(home)})
    finally:
        Stack(home).reset()


LISTS: dict[str, Callable[[Any], list[Any]]] = {
    "apigateway": lambda client: client.get_rest_apis()["items"],
    "apigatewayv2": lambda client: client.get_apis()["Items"],
    "cloudformation": lambda client: [
        stack for stack in client.list_stacks()["StackSummaries"] if stack["StackStatus"] != "DELETE_COMPLETE"
    ],
    "cloudwatch": lambda client: client.describe_alarms()["MetricAlarms"],
    "dynamodb": lambda client: client.list_tables()["TableNames"],
    "ec2": lambda client: [
        *client.describe_vpcs()["Vpcs"],
        *client.describe_subnets()["Subnets"],
        *client.describe_internet_gateways()["InternetGateways"],
        *client.describe_route_tables()["RouteTables"],
        *client.describe_security_groups()["SecurityGroups"],
    ],
    "ecr": lambda client: client.describe_repositories()["repositories"],
    "ecs": lambda client: [
        *client.list_clusters()["clusterArns"],
        # One that is being deleted stays listed for a while, on AWS as well.
        *client.list_task_definitions(status="ACTIVE")["taskDefinitionArns"],
        *client.list_task_definitions(status="INACTIVE")["taskDefinitionArns"],
    ],
    "events": lambda client: client.list_rules()["Rules"],
    "iam": lambda client: [*client.list_roles()["Roles"], *client.list_policies(Scope="Local")["Policies"]],
    "lambda": lambda client: [*client.list_functions()["Functions"], *client.list_layers()["Layers"]],
    "logs": lambda client: client.describe_log_groups()["logGroups"],
    "s3": lambda client: client.list_buckets()["Buckets"],
    "scheduler": lambda client: client.list_schedules()["Schedules"],
    "ssm": lambda client: client.describe_parameters()["Parameters"],
    "stepfunctions": lambda client: client.list_state_machines()["stateMachines"],
}
"""Every service that the template asks something of."""


def holdings(account: Account) -> dict[str, list[Any]]:
    return {service: list_all(account.client(service)) for service, list_all in LISTS.items()}


def key_of_a_member(account: Account, url: str, invite: str) -> str:
    email = f"owner-{secrets.token_hex(4)}@example.org"
    with Filepath(url=url) as visitor:
        visitor.sign_up(email, PASSWORD, "The owner", invite=invite)
        key = visitor.keys.create("gate").key
    request = f'{{"action": "grant", "email": "{email}", "credits": 100}}'
    account.client("lambda").invoke(FunctionName=account.outputs()["OperatorFunction"], Payload=request)
    assert key is not None
    return key


def test_a_deployment_is_made_used_changed_and_removed_without_a_trace(account: Account) -> None:
    before = holdings(account)

    first = account.make("deploy", "ENV=dev")
    assert first.returncode == 0, first.stdout + first.stderr
    url = found(r"^FILEPATH_URL=(\S+)$", first.stdout)
    invite = found(r"The first invite, good for one account: (\S+)$", first.stdout)
    assert float(found(r"^\s+([\d.]+)  in all", first.stdout)) < 1
    image = account.sandbox_image()
    repository, _, tag = image.rpartition(":")
    assert repository == account.outputs()["SandboxRepository"]
    pushed = account.client("ecr").describe_images(repositoryName=repository.partition("/")[2])["imageDetails"]
    assert [details["imageTags"] for details in pushed] == [[tag]]
    assert pushed[0]["imageSizeInBytes"] > 50e6

    Stack(account.home).open_doors(STACK)
    key = key_of_a_member(account, url, invite)
    gate_env = {"FILEPATH_URL": url, "FILEPATH_API_KEY": key}
    gate = subprocess.run(
        [CHECKOUT / "gates" / "agents-sdk-e2e.sh"], env={**account.env, **gate_env},
        capture_output=True, text=True, timeout=600, check=False,
    )  # fmt: skip
    assert gate.returncode == 0, gate.stdout + gate.stderr
    # Pulled for the gate's session, under the name that the task definition has for it.
    assert find(account.home).has("image", image)

    second = account.make("deploy", "ENV=dev", PARAMETERS=f"{account.env['PARAMETERS']} SandboxesPerStack=3")
    assert second.returncode == 0, second.stdout + second.stderr
    assert (account.sandbox_image(), "Pushing" in second.stdout, "The first invite" in second.stdout) == (
        image,
        False,
        False,
    )

    refused = account.make("undeploy", "ENV=dev", CONFIRM="filepath")
    assert refused.returncode != 0
    assert "Nothing was removed" in refused.stderr
    assert account.outputs()

    with Filepath(api_key=key, url=url, socket_url=account.home.socket_url) as member:
        assert member.sessions.create().run("echo still here").exit_code == 0
    assert running_containers(account) != []
    removed = account.make("undeploy", "ENV=dev", CONFIRM=STACK)
    assert removed.returncode == 0, removed.stdout + removed.stderr
    assert (holdings(account), running_containers(account)) == (before, [])
    again = account.make("undeploy", "ENV=dev", CONFIRM=STACK)
    assert again.returncode == 0, again.stdout + again.stderr


def running_containers(account: Account) -> list[str]:
    return find(account.home).run("ps", "--quiet", "--filter", f"label={STACK_LABEL}={account.home.directory}").split()


def found(pattern: str, text: str) -> str:
    match = re.search(pattern, text, re.MULTILINE)
    assert match, f"nothing like {pattern} in:\n{text}"
    return match[1]


BROKEN = """
Resources:
  Policy:
    Type: AWS::IAM::Policy
    Properties: { PolicyName: a, Roles: [of-nobody], PolicyDocument: { Version: "2012-10-17", Statement: [] } }
"""


def test_a_stack_whose_creation_failed_is_explained_and_can_be_removed(account: Account) -> None:
    cloudformation = account.client("cloudformation")
    cloudformation.create_stack(StackName=STACK, TemplateBody=BROKEN, Capabilities=["CAPABILITY_IAM"])
    eventually(
        lambda: cloudformation.describe_stacks(StackName=STACK)["Stacks"][0]["StackStatus"],
        lambda status: status == "ROLLBACK_COMPLETE",
    )
    refused = account.make("deploy", "ENV=dev")
    assert refused.returncode != 0
    for words in ("Nothing was changed", "can only be removed: make undeploy ENV=dev", "Policy (AWS::IAM::Policy)"):
        assert words in refused.stderr, refused.stdout + refused.stderr
    removed = account.make("undeploy", "ENV=dev", CONFIRM=STACK)
    assert removed.returncode == 0, removed.stdout + removed.stderr


DATA = """
Resources:
  Table:
    Type: AWS::DynamoDB::Table
    DeletionPolicy: Retain
    Properties:
      BillingMode: PAY_PER_REQUEST
      AttributeDefinitions: [{ AttributeName: pk, AttributeType: S }]
      KeySchema: [{ AttributeName: pk, KeyType: HASH }]
  Bucket: { Type: AWS::S3::Bucket, DeletionPolicy: Retain }
"""


@pytest.mark.parametrize("keep", ["data", ""])
def test_table_and_bucket_stay_where_their_owner_wants_to_keep_them(account: Account, keep: str) -> None:
    cloudformation, dynamodb, s3 = (account.client(name) for name in ("cloudformation", "dynamodb", "s3"))
    cloudformation.create_stack(StackName=STACK, TemplateBody=DATA)
    eventually(lambda: dynamodb.list_tables()["TableNames"] and s3.list_buckets()["Buckets"])
    (table,), (bucket,) = dynamodb.list_tables()["TableNames"], s3.list_buckets()["Buckets"]
    s3.put_object(Bucket=bucket["Name"], Key="output", Body=b"kept")
    removed = account.make("undeploy", "ENV=dev", CONFIRM=STACK, KEEP=keep)
    assert removed.returncode == 0, removed.stdout + removed.stderr
    assert cloudformation.describe_stacks()["Stacks"] == []
    if not keep:
        assert dynamodb.list_tables()["TableNames"] + s3.list_buckets()["Buckets"] == []
        return
    assert f"Kept, and paid for until you delete them: table {table}, bucket {bucket['Name']}" in removed.stdout
    s3.delete_object(Bucket=bucket["Name"], Key="output")
    s3.delete_bucket(Bucket=bucket["Name"])
    dynamodb.delete_table(TableName=table)


def test_problems_are_told_at_once_and_nothing_is_changed(account: Account, tmp_path: Path) -> None:
    before = holdings(account)
    path = f"{tmp_path}:{account.env['PATH']}"
    for engine in ("docker", "podman"):
        (tmp_path / engine).write_text("#!/bin/sh\nexit 1\n")
        (tmp_path / engine).chmod(0o755)
    done = account.make("deploy", "ENV=dev", PATH=path, PARAMETERS="PythonRuntime=python3.99 AgentsConcurrency=100000")
    assert done.returncode != 0
    for words in ("Nothing was changed", "Python 3.99", "Neither docker nor podman", "AgentsConcurrency is 100000"):
        assert words in done.stderr, done.stdout + done.stderr
    assert holdings(account) == before
