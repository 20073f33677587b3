"""One CloudFormation stack: what state it is in, what it holds, and how it gets and goes."""

from __future__ import annotations

import subprocess
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

from botocore.exceptions import ClientError, WaiterError

from deploy.account import Account
from deploy.environment import SAMCONFIG, Environment
from deploy.failure import Failure

if TYPE_CHECKING:
    from mypy_boto3_cloudformation import CloudFormationClient
    from mypy_boto3_cloudformation.type_defs import StackResourceSummaryTypeDef, StackTypeDef

REMEDIES = {
    "ROLLBACK_COMPLETE": "Its first creation failed, and such a stack can only be removed: make undeploy ENV={name}.",
    "ROLLBACK_FAILED": "Its first creation failed, and so did clearing it away: make undeploy ENV={name}.",
    "CREATE_FAILED": "Its first creation failed, and such a stack can only be removed: make undeploy ENV={name}.",
    "DELETE_FAILED": "Its removal stopped half way: run make undeploy ENV={name} again.",
    "UPDATE_ROLLBACK_FAILED": (
        "An update failed, and so did going back. Mend what is named here, then: "
        "aws cloudformation continue-update-rollback --stack-name {stack}"
    ),
}


@dataclass(frozen=True)
class Stack:
    account: Account
    name: str

    @cached_property
    def _client(self) -> CloudFormationClient:
        return self.account.session.client("cloudformation")

    def describe(self) -> StackTypeDef | None:
        try:
            found = self._client.describe_stacks(StackName=self.name)["Stacks"][0]
        except ClientError as error:
            # CloudFormation's way to say that there is none.
            if error.response["Error"].get("Code") == "ValidationError":
                return None
            raise
        # What a change set that was never executed leaves holds nothing.
        return None if found["StackStatus"] in ("REVIEW_IN_PROGRESS", "DELETE_COMPLETE") else found

    def status(self) -> str | None:
        found = self.describe()
        return found["StackStatus"] if found else None

    def outputs(self) -> dict[str, str]:
        found = self.describe()
        return {item["OutputKey"]: item["OutputValue"] for item in found.get("Outputs", [])} if found else {}

    def parameters(self) -> dict[str, str]:
        found = self.describe()
        given = found.get("Parameters", []) if found else []
        return {item["ParameterKey"]: item["ParameterValue"] for item in given}

    def resources(self) -> list[StackResourceSummaryTypeDef]:
        pages = self._client.get_paginator("list_stack_resources").paginate(StackName=self.name)
        return [resource for page in pages for resource in page["StackResourceSummaries"]]

    def physical(self, logical: str) -> str | None:
        """The name that a resource of the template got, while the stack holds it."""
        # A creation that failed leaves its table and bucket (DELETE_SKIPPED), and lists what it has taken back.
        held = (item for item in self.resources() if item["ResourceStatus"] != "DELETE_COMPLETE")
        named = {item["LogicalResourceId"]: item.get("PhysicalResourceId") for item in held}
        return named.get(logical) or None

    def obstacle(self, environment: Environment) -> str | None:
        """Why it cannot be deployed to as it is, or None where it can."""
        status = self.status() or ""
        if status.endswith("_IN_PROGRESS"):
            return f"The stack {self.name} is {status}: somebody is at it. Wait until that is over."
        if remedy := REMEDIES.get(status):
            told = remedy.format(name=environment.name, stack=self.name)
            return "\n".join([f"The stack {self.name} is {status}. {told}", *self.failures()])
        return None

    def failures(self) -> list[str]:
        """What failed by itself in the last operation, oldest first."""
        told: list[str] = []
        for event in self._client.describe_stack_events(StackName=self.name)["StackEvents"]:
            reason, status = event.get("ResourceStatusReason", ""), event.get("ResourceStatus", "")
            begun = event["LogicalResourceId"] == self.name and status in ("CREATE_IN_PROGRESS", "UPDATE_IN_PROGRESS")
            if status.endswith("_FAILED") and "cancelled" not in reason:
                told.append(f"  {event['LogicalResourceId']} ({event.get('ResourceType')}): {reason}")
            if begun:
                break
        return told[::-1]

    def deploy(self, environment: Environment, built: Path, artifacts: str, parameters: dict[str, str]) -> None:
        """By SAM, which shows what it changes and, where samconfig.toml says so, asks first."""
        command = ["sam", "deploy", "--template-file", str(built), "--s3-bucket", artifacts, "--config-file"]
        command += [str(SAMCONFIG), "--config-env", environment.name, "--region", self.account.region]
        command += ["--parameter-overrides", *(f"{key}={value}" for key, value in parameters.items())]
        if subprocess.run(command, env=self.account.environment(), check=False).returncode == 0:
            return
        failures = self.failures() if self.describe() else []
        what = ["`sam deploy` did not end well; what it said is above.", *failures]
        raise Failure("\n".join(what + ([obstacle] if (obstacle := self.obstacle(environment)) else [])))

    def delete(self) -> None:
        self._client.delete_stack(StackName=self.name)
        try:
            # Leaving the subnets can take Fargate's network interfaces some minutes.
            self._client.get_waiter("stack_delete_complete").wait(
                StackName=self.name, WaiterConfig={"Delay": 5, "MaxAttempts": 240}
            )
        except WaiterError:
            told = [f"The stack {self.name} is {self.status()}: not all of it could be removed.", *self.failures()]
            raise Failure("\n".join([*told, "Remove what holds it, then run the same command again."])) from None
