"""What is looked at before anything is changed: every problem is told at once, with what to do about it."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from botocore.exceptions import BotoCoreError, ClientError

from deploy.account import Account
from deploy.build import has_python, missing_tools
from deploy.environment import Environment
from deploy.image import Engine
from deploy.stack import Stack

UNRESERVED = 100
"""Concurrent executions that Lambda wants left for the functions that reserve none."""
FARGATE_VCPUS = ("fargate", "L-3032A538")
VPCS = ("vpc", "L-F678F1CE")


@dataclass
class Findings:
    problems: list[str] = field(default_factory=list)
    """These stop the deployment."""
    notes: list[str] = field(default_factory=list)


def look(
    account: Account, stack: Stack, environment: Environment, parameters: dict[str, str], *, uncompiled: bool
) -> Findings:
    """`parameters` are all that the stack will have."""
    found = Findings()
    _tools(found, parameters, uncompiled=uncompiled)
    if obstacle := stack.obstacle(environment):
        found.problems.append(obstacle)
    _lambda_quota(account, parameters, found)
    _fargate_quota(account, parameters, found)
    if stack.status() is None:
        _vpc_quota(account, found)
    return found


def _tools(found: Findings, parameters: dict[str, str], *, uncompiled: bool) -> None:
    if missing := missing_tools():
        found.problems.append(f"Not installed: {', '.join(missing)}. Run `make setup`.")
    elif not uncompiled and not has_python(version := parameters["PythonRuntime"].removeprefix("python")):
        found.problems.append(
            f"Python {version}, which the layer is for, is not on this machine. Uncompiled, the layer makes every "
            "cold start take twice as long. Install that Python (`uv python install` has it too), or accept that: "
            "UNCOMPILED=1."
        )
    if not parameters["SandboxImage"] and Engine.at_hand() is None:
        found.problems.append(
            "Neither docker nor podman answers here, which build the sandbox's image and push it. Start one of them "
            "(`docker info` or `podman info` says what is wrong), or name an image that ECS can pull: "
            "PARAMETERS=SandboxImage=…"
        )


def _lambda_quota(account: Account, parameters: dict[str, str], found: Findings) -> None:
    settings = account.session.client("lambda").get_account_settings()
    most, reserved = settings["AccountLimit"]["ConcurrentExecutions"], int(parameters["AgentsConcurrency"])
    if reserved and reserved > most - UNRESERVED:
        found.problems.append(
            f"AgentsConcurrency is {reserved}, but of this account's {most} concurrent executions {UNRESERVED} must "
            "stay unreserved. Lower it, or ask AWS for a higher quota (Service Quotas, Lambda, Concurrent executions)."
        )
    elif most < UNRESERVED:
        found.notes.append(
            f"This account runs at most {most} functions at once, as new accounts do: with some sandboxes at work, "
            "calls will be throttled. Ask AWS for more (Service Quotas, Lambda, Concurrent executions)."
        )


def _fargate_quota(account: Account, parameters: dict[str, str], found: Findings) -> None:
    most, wanted = _quota(account, FARGATE_VCPUS, found), int(parameters["SandboxesPerStack"])
    if most is not None and most < wanted:
        found.notes.append(
            f"Fargate runs at most {most:.0f} vCPU here, while SandboxesPerStack allows {wanted} sandboxes of one or "
            "more: those above it will fail to start. Ask AWS for more (Service Quotas, Fargate On-Demand vCPU)."
        )


def _vpc_quota(account: Account, found: Findings) -> None:
    most = _quota(account, VPCS, found)
    there = len(account.session.client("ec2").describe_vpcs()["Vpcs"])
    if most is not None and there >= most:
        found.problems.append(
            f"The stack needs a VPC, and {account.region} has {there} of at most {most:.0f}. Delete one, or ask AWS "
            "for more (Service Quotas, VPC, VPCs per Region)."
        )


def _quota(account: Account, quota: tuple[str, str], found: Findings) -> float | None:
    service, code = quota
    quotas: Any = account.session.client("service-quotas")
    try:
        return float(quotas.get_service_quota(ServiceCode=service, QuotaCode=code)["Quota"]["Value"])
    except (BotoCoreError, ClientError) as error:
        found.notes.append(f"The quota {code} of {service} could not be read, so it was not checked: {error}")
        return None
