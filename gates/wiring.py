"""How template.yaml wires up functions with API Gateway, the schedule and the state machines.

The emulator is kinder in each of these points, so no test of a stack would show them.
"""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import yaml

from gates.boundaries import parse, python_files
from gates.finding import Finding
from gates.machines import substitutions
from gates.template import TEMPLATE, read_template

OPERATIONS = Path("layers/common/filepath/operations")
INTEGRATION_SECONDS = 29
SCHEDULE_SECONDS = {"rate(1 minute)": 60}
LAMBDAS_OWN_TIMEOUT = 3
Resources = dict[str, dict[str, Any]]


def resources_of(root: Path) -> tuple[dict[str, Any], Resources]:
    template = read_template(root)
    return template, template.get("Resources", {})


def of_type(resources: Resources, kind: str) -> Iterator[tuple[str, dict[str, Any]]]:
    for name, resource in resources.items():
        if resource["Type"] == kind:
            yield name, resource.get("Properties", {})


def socket_answers_are_returned(root: Path) -> Iterator[Finding]:
    """API Gateway drops what a function answers to a message, but where the route asks for it and has a response."""
    _, resources = resources_of(root)
    responding = {
        (response["ApiId"], response["RouteId"])
        for _, response in of_type(resources, "AWS::ApiGatewayV2::RouteResponse")
        if response.get("RouteResponseKey") == "$default"
    }
    for name, api in of_type(resources, "AWS::Serverless::WebSocketApi"):
        route = api.get("Routes", {}).get("$default", {})
        if route.get("RouteResponseSelectionExpression") != "$default":
            yield Finding(TEMPLATE, 1, f"{name}: $default has no RouteResponseSelectionExpression: $default")
        # The name that SAM gives the route.
        if (name, f"{name}DefaultRoute") not in responding:
            yield Finding(TEMPLATE, 1, f"{name}: {name}DefaultRoute has no AWS::ApiGatewayV2::RouteResponse")


def every_verb_of_an_operation_is_routed(root: Path) -> Iterator[Finding]:
    """By name: `any` would do on AWS, and is dropped when an API is imported."""
    _, resources = resources_of(root)
    routed = {
        event["Properties"]["Method"].upper()
        for _, function in of_type(resources, "AWS::Serverless::Function")
        for event in function.get("Events", {}).values()
        if event["Type"] == "Api" and event["Properties"]["Path"] == "/{proxy+}"
    }
    if "ANY" in routed:
        yield Finding(TEMPLATE, 1, "routes ANY on /{proxy+}; name the verbs")
    for path in python_files(root / OPERATIONS):
        for verb, line in verbs(path):
            if verb not in routed:
                yield Finding(path.relative_to(root), line, f"is bound to {verb}, which template.yaml does not route")


def verbs(path: Path) -> Iterator[tuple[str, int]]:
    for node in ast.walk(parse(path)):
        match node:
            case ast.Call(func=ast.Name(id="operation"), args=[ast.Constant(value=str(verb)), *_]):
                yield verb, node.lineno


def functions_end_while_somebody_waits(root: Path) -> Iterator[Finding]:
    """API Gateway answers 504 after 29 s, whatever the function does then; a schedule starts the next call."""
    template, resources = resources_of(root)
    usual = template.get("Globals", {}).get("Function", {}).get("Timeout", LAMBDAS_OWN_TIMEOUT)
    for name, function in of_type(resources, "AWS::Serverless::Function"):
        timeout = function.get("Timeout", usual)
        for longest, caller in patience(name, function, resources):
            if timeout > longest:
                yield Finding(TEMPLATE, 1, f"{name} may take {timeout} s, {caller} waits {longest}")


def patience(name: str, function: dict[str, Any], resources: Resources) -> Iterator[tuple[int, str]]:
    for event in function.get("Events", {}).values():
        if event["Type"] == "Api":
            yield INTEGRATION_SECONDS, "API Gateway"
        if event["Type"] == "ScheduleV2":
            yield SCHEDULE_SECONDS[event["Properties"]["ScheduleExpression"]] - 1, "its schedule"
    for api, socket in of_type(resources, "AWS::Serverless::WebSocketApi"):
        if any(route["FunctionArn"] == f"{name}.Arn" for route in socket.get("Routes", {}).values()):
            yield INTEGRATION_SECONDS, api


def definitions_get_what_they_substitute(root: Path) -> Iterator[Finding]:
    """What is missing stays as it is written, `${Name}`, and fails at the first execution."""
    _, resources = resources_of(root)
    used = {
        machine["DefinitionUri"]: set(machine.get("DefinitionSubstitutions", {}))
        for _, machine in of_type(resources, "AWS::Serverless::StateMachine")
    }
    for path in sorted((root / "statemachines").glob("*.asl.yaml")):
        name = path.relative_to(root)
        wanted, given = substitutions(yaml.safe_load(path.read_text())), used.get(str(name))
        if given is None:
            yield Finding(name, 1, "is the definition of no state machine in template.yaml")
        elif given != wanted:
            yield Finding(name, 1, f"substitutes {sorted(wanted)}, and is given {sorted(given)}")
