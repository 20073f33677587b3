"""What the deployed roles of the functions allow, one action on one resource at a time, and what was used of it."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from fnmatch import fnmatchcase
from typing import Any

from local import calls
from local.deployment import client_options, session
from local.home import STACK, Home


@dataclass(frozen=True, order=True)
class Grant:
    """`place` tells it apart from the others of its role in any stack made from the template."""

    function: str
    action: str
    place: tuple[str, int, int]

    def __str__(self) -> str:
        return f"{self.function}: {self.action}"


@dataclass(frozen=True)
class Policy:
    """An inline policy of a function's role, or of `Machines`, the role of the state machines."""

    function: str
    role: str
    name: str
    statements: list[dict[str, Any]]

    def grants(self) -> Iterator[tuple[Grant, str]]:
        """Each with the resource it is for, as it is called in this stack."""
        for number, statement in enumerate(self.statements):
            for position, resource in enumerate(_listed(statement["Resource"])):
                for action in _listed(statement["Action"]):
                    yield Grant(self.function, action, (self.name, number, position)), resource

    def allows(self, action: str, resource: str) -> bool:
        return self.without(action, resource) != self.statements

    def without(self, action: str, resource: str) -> list[dict[str, Any]]:
        """Its statements without this action on resources whose name matches."""
        left = []
        for statement in self.statements:
            if action in _listed(statement["Action"]):
                others = [each for each in _listed(statement["Action"]) if each != action]
                kept = [each for each in _listed(statement["Resource"]) if not fnmatchcase(each, resource)]
                left += [{**statement, "Action": others}] if others else []
                left += [{**statement, "Action": action, "Resource": kept}] if kept else []
            else:
                left.append(statement)
        return left


def policies(home: Home) -> list[Policy]:
    """Of the functions' roles; `function` is the function's name in the template."""
    iam = session(home).client("iam", **client_options(home))
    return [
        Policy(function, role, name, _statements(iam.get_role_policy(RoleName=role, PolicyName=name)))
        for function, role in _roles(home)
        for name in iam.list_role_policies(RoleName=role)["PolicyNames"]
    ]


def attached(home: Home) -> set[str]:
    """Policies that the functions' roles share with others."""
    iam = session(home).client("iam", **client_options(home))
    return {
        str(policy["PolicyArn"])
        for _, role in _roles(home)
        for policy in iam.list_attached_role_policies(RoleName=role)["AttachedPolicies"]
    }


def _roles(home: Home) -> Iterator[tuple[str, str]]:
    for name, physical_name in _physical_names(home).items():
        if name.endswith("FunctionRole") or name == "MachinesRole":
            yield name.removesuffix("Role"), physical_name


def _physical_names(home: Home) -> dict[str, str]:
    cloudformation = session(home).client("cloudformation", **client_options(home))
    return {
        resource["LogicalResourceId"]: resource["PhysicalResourceId"]
        for page in cloudformation.get_paginator("list_stack_resources").paginate(StackName=STACK)
        for resource in page["StackResourceSummaries"]
    }


def _statements(policy: Any) -> list[dict[str, Any]]:
    document = policy["PolicyDocument"]
    found: list[dict[str, Any]] = (json.loads(document) if isinstance(document, str) else document)["Statement"]
    return found


def _listed(value: Any) -> list[str]:
    return [value] if isinstance(value, str) else list(value)


USED: set[Grant] = set()
"""By any stack of this run; kept here before the stack is forgotten."""


def held(home: Home) -> dict[Grant, tuple[str, str]]:
    """All that the functions' roles allow, with the role and the resource as they are called in this stack."""
    return {grant: (policy.role, resource) for policy in policies(home) for grant, resource in policy.grants()}


def note_used(home: Home) -> None:
    """Adds the grants that some recorded call of this stack rested on."""
    recorded, _ = calls.read(home.calls)
    asked = {(call.role, check.action, check.resource) for call in recorded for check in call.checks if check.allowed}
    for grant, (role, pattern) in held(home).items():
        if any((role, grant.action) == each[:2] and fnmatchcase(each[2], pattern) for each in asked):
            USED.add(grant)


@dataclass(frozen=True)
class Denial:
    function: str
    action: str
    resource: str

    def is_in(self, line: str) -> bool:
        return f"/{self.function} is not authorized to perform: {self.action} " in line

    def is_like(self, expected: Denial) -> bool:
        named = (self.function, self.action) == (expected.function, expected.action)
        return named and fnmatchcase(self.resource, expected.resource)


def denials(home: Home) -> set[Denial]:
    recorded, _ = calls.read(home.calls)
    return {
        Denial(call.function, check.action, check.resource)
        for call in recorded
        for check in call.checks
        if not check.allowed
    }


@contextmanager
def taken_out(home: Home, function: str, action: str, resource: str) -> Iterator[Denial]:
    """While it lasts, the function's role does not allow this action on resources of such a name."""
    iam = session(home).client("iam", **client_options(home))
    changed = [each for each in policies(home) if each.function == function and each.allows(action, resource)]
    assert changed, f"{function} is not allowed {action} on {resource} to begin with"

    def put(policy: Policy, statements: list[dict[str, Any]]) -> None:
        name = {"RoleName": policy.role, "PolicyName": policy.name}
        if statements:
            document = {"Version": "2012-10-17", "Statement": statements}
            iam.put_role_policy(**name, PolicyDocument=json.dumps(document))
        else:
            iam.delete_role_policy(**name)

    for policy in changed:
        put(policy, policy.without(action, resource))
    try:
        yield Denial(_physical_names(home).get(function, ""), action, resource)
    finally:
        for policy in changed:
            put(policy, policy.statements)
