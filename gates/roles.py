"""The roles that services take on, held against what they are for, in the template as SAM transforms it.

A function's role is put to the test by the stack tests. These roles, and what a function hands on to ECS, are judged by
AWS alone, or in another way than on one machine, so they are compared here: exactly what is needed, nothing beyond.
"""

import logging
import re
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache, cached_property
from pathlib import Path
from typing import Any

import boto3
import yaml
from cfnlint.decode import cfn_yaml
from samtranslator.parser.parser import Parser
from samtranslator.translator.translator import Translator

from gates.finding import Finding

TEMPLATE = Path("template.yaml")
PSEUDO = {
    "AWS::Partition": "aws",
    "AWS::Region": "us-east-1",
    "AWS::AccountId": "123456789012",
    "AWS::StackName": "stack",
    "AWS::URLSuffix": "amazonaws.com",
}
ECS = "arn:aws:ecs:us-east-1:123456789012"
Resource = dict[str, Any]


def machines_may_invoke_what_their_definitions_name(root: Path) -> Iterator[Finding]:
    deployed = Deployed(root)
    for name, machine in deployed.of_type("AWS::StepFunctions::StateMachine"):
        properties = machine["Properties"]
        yield from differences(
            f"the role of {name}",
            allowed=deployed.allowed_to(properties["RoleArn"]),
            needed={(action, deployed.value(to)) for action, to in deployed.calls(name, properties)},
        )


def schedules_may_invoke_their_targets(root: Path) -> Iterator[Finding]:
    deployed = Deployed(root)
    for name, schedule in deployed.of_type("AWS::Scheduler::Schedule"):
        target = schedule["Properties"]["Target"]
        yield from differences(
            f"the role of {name}",
            allowed=deployed.allowed_to(target["RoleArn"]),
            needed={("lambda:InvokeFunction", deployed.value(target["Arn"]))},
        )


def rules_may_invoke_their_targets(root: Path) -> Iterator[Finding]:
    """A function's own policy lets EventBridge in, for this one rule."""
    deployed = Deployed(root)
    let_in = {
        (deployed.value(properties["FunctionName"]), deployed.value(properties.get("SourceArn", "")))
        for _, permission in deployed.of_type("AWS::Lambda::Permission")
        if (properties := permission["Properties"])["Principal"] == "events.amazonaws.com"
    }
    rules = {
        (deployed.value(target["Arn"]).removesuffix(".Arn"), f"{name}.Arn")
        for name, rule in deployed.of_type("AWS::Events::Rule")
        for target in rule["Properties"]["Targets"]
    }
    for function, rule in sorted(rules - let_in):
        yield Finding(TEMPLATE, 1, f"{function} does not let {rule} invoke it")
    for function, rule in sorted(let_in - rules):
        yield Finding(TEMPLATE, 1, f"{function} lets {rule or 'any rule'} invoke it, of which it is no target")


def only_the_sandboxs_roles_are_passed_on(root: Path) -> Iterator[Finding]:
    """Who may pass on a role has all that it allows."""
    deployed = Deployed(root)
    needed = {deployed.value(role) for role in deployed.sandbox_roles()}
    for name, statement in deployed.statements_with("iam:PassRole"):
        if _listed(statement["Action"]) != ["iam:PassRole"]:
            yield Finding(TEMPLATE, 1, f"{name} may pass a role by a statement for more: give it one of its own")
        if deployed.values(statement["Resource"]) != needed:
            yield Finding(TEMPLATE, 1, f"{name} may pass {_told(deployed, statement)}, and needs {sorted(needed)}")
        if statement.get("Condition") != {"StringEquals": {"iam:PassedToService": "ecs-tasks.amazonaws.com"}}:
            yield Finding(TEMPLATE, 1, f"{name} may pass a role to others than ecs-tasks.amazonaws.com")
    passing = {name for name, _ in deployed.statements_with("iam:PassRole")}
    launching = {name for name, _ in deployed.statements_with("ecs:RunTask")}
    for name in sorted(passing ^ launching):
        yield Finding(TEMPLATE, 1, f"{name} has one of ecs:RunTask and iam:PassRole, which only go together")


def sandboxes_are_started_and_stopped_in_their_cluster(root: Path) -> Iterator[Finding]:
    """AWS judges RunTask on the task definition, StopTask on the task, and ListTasks on no resource."""
    deployed = Deployed(root)
    for cluster, definition in deployed.clusters():
        needed = {
            "ecs:RunTask": {f"{ECS}:task-definition/{definition}:*", f"{ECS}:cluster/{cluster}"},
            "ecs:StopTask": {f"{ECS}:task/{cluster}/*", f"{ECS}:cluster/{cluster}"},
            "ecs:ListTasks": {"*"},
        }
        for action, resources in needed.items():
            for name, statement in deployed.statements_with(action):
                if deployed.values(statement["Resource"]) != resources:
                    told = _told(deployed, statement)
                    yield Finding(TEMPLATE, 1, f"{name} may {action} on {told}, and needs {sorted(resources)}")
                held = deployed.value(statement.get("Condition", {}).get("ArnEquals", {}).get("ecs:cluster", ""))
                if action != "ecs:StopTask" and held != f"{ECS}:cluster/{cluster}":
                    yield Finding(TEMPLATE, 1, f"{name} may {action} in any cluster: hold it to one by ecs:cluster")


def _told(deployed: "Deployed", statement: Any) -> list[str]:
    return sorted(deployed.values(statement["Resource"]))


def differences(what: str, allowed: set[tuple[str, str]], needed: set[tuple[str, str]]) -> Iterator[Finding]:
    for action, resource in sorted(needed - allowed):
        yield Finding(TEMPLATE, 1, f"{what} lacks {action} on {resource}")
    for action, resource in sorted(allowed - needed):
        yield Finding(TEMPLATE, 1, f"{what} allows {action} on {resource}, which nothing needs")


@cache
def transformed(text: str) -> dict[str, Resource]:
    """The resources that SAM makes of a template, as it is before the build. It asks AWS for nothing."""
    template = cfn_yaml.loads(text)
    for resource in template["Resources"].values():
        for uri in {"CodeUri", "ContentUri", "DefinitionUri"} & resource.get("Properties", {}).keys():
            resource["Properties"][uri] = f"s3://built/{resource['Properties'][uri]}"
    logging.getLogger("samtranslator.metrics").setLevel(logging.ERROR)  # it misses metrics that nobody asked for
    translator = Translator({}, Parser(), boto_session=boto3.Session(region_name="us-east-1"))
    found: dict[str, Resource] = translator.translate(template, {})["Resources"]
    return found


@dataclass(frozen=True)
class Deployed:
    """The template as CloudFormation gets it, its references read as the names and ARNs that they come to."""

    root: Path

    @cached_property
    def resources(self) -> dict[str, Resource]:
        return transformed((self.root / TEMPLATE).read_text())

    def of_type(self, wanted: str) -> Iterator[tuple[str, Resource]]:
        return ((name, resource) for name, resource in self.resources.items() if resource["Type"] == wanted)

    # What references come to

    def values(self, values: Any) -> set[str]:
        return {self.value(value) for value in (values if isinstance(values, list) else [values])}

    def value(self, value: Any) -> str:
        match value:
            case {"Ref": name}:
                return self._reference(name)
            case {"Fn::GetAtt": [name, attribute]}:
                return self._attribute(name, attribute)
            case {"Fn::GetAtt": str(dotted)}:
                return self._attribute(*dotted.split("."))
            case {"Fn::Sub": str(text)}:
                return re.sub(r"\$\{([^}]+)\}", lambda match: self._substituted(match[1]), text)
        return str(value)

    def _substituted(self, name: str) -> str:
        return self._attribute(*name.split(".")) if "." in name else self._reference(name)

    def _reference(self, name: str) -> str:
        resource = self.resources.get(name, {})
        own_name = resource.get("Properties", {}).get("ClusterName")
        return PSEUDO.get(name) or (self.value(own_name) if own_name else name)

    def _attribute(self, name: str, attribute: str) -> str:
        if attribute == "Arn" and self.resources.get(name, {}).get("Type") == "AWS::ECS::Cluster":
            return f"{ECS}:cluster/{self._reference(name)}"
        return f"{name}.{attribute}"

    # What roles allow

    def allowed_to(self, role_arn: Any) -> set[tuple[str, str]]:
        """Each action on each resource that a role of the template allows; its managed policies by their names."""
        name = self.value(role_arn).removesuffix(".Arn")
        allowed = {
            (action, resource)
            for statement in self._statements(name)
            for action in _listed(statement["Action"])
            for resource in self.values(statement["Resource"])
        }
        managed = self.resources.get(name, {}).get("Properties", {}).get("ManagedPolicyArns", [])
        return allowed | {("all", self.value(policy)) for policy in managed}

    def _statements(self, role: str) -> Iterator[Any]:
        for policy in self.resources.get(role, {}).get("Properties", {}).get("Policies", []):
            yield from policy["PolicyDocument"]["Statement"]
        for _, policy in self.of_type("AWS::IAM::Policy"):
            if {"Ref": role} in policy["Properties"]["Roles"]:
                yield from policy["Properties"]["PolicyDocument"]["Statement"]

    def statements_with(self, action: str) -> list[tuple[str, Any]]:
        """The statements that allow this action, also by a wildcard, with the roles that have them."""
        return [
            (name, statement)
            for name, _ in self.of_type("AWS::IAM::Role")
            for statement in self._statements(name)
            if any(_matches(pattern, action) for pattern in _listed(statement["Action"]))
        ]

    # What is needed

    def calls(self, machine: str, properties: Any) -> Iterator[tuple[str, Any]]:
        """What a machine's definition asks of AWS: the action, and on what."""
        location = properties["DefinitionS3Location"]
        path = location["Key"] if isinstance(location, dict) else location
        definition = yaml.safe_load((self.root / path).read_text())
        substitutions = properties.get("DefinitionSubstitutions", {})
        for state in definition["States"].values():
            resource = state.get("Resource", "")
            if resource.removesuffix(".waitForTaskToken") == "arn:aws:states:::lambda:invoke":
                name = str(state["Arguments"]["FunctionName"]).strip("${}")
                yield "lambda:InvokeFunction", substitutions.get(name, f"{name}, which {machine} has no value for")
            elif resource:
                yield f"what {resource} does", "a resource that this rule does not know"

    def sandbox_roles(self) -> Iterator[Any]:
        for _, definition in self.of_type("AWS::ECS::TaskDefinition"):
            for role in ("ExecutionRoleArn", "TaskRoleArn"):
                if role in definition["Properties"]:
                    yield definition["Properties"][role]

    def clusters(self) -> Iterator[tuple[str, str]]:
        """Names of the clusters, each with those of the families of tasks that run there."""
        for cluster, _ in self.of_type("AWS::ECS::Cluster"):
            for _, definition in self.of_type("AWS::ECS::TaskDefinition"):
                yield self._reference(cluster), self.value(definition["Properties"]["Family"])


def _listed(value: Any) -> list[str]:
    return [value] if isinstance(value, str) else list(value)


def _matches(pattern: str, action: str) -> bool:
    return re.fullmatch(re.escape(pattern).replace(r"\*", ".*"), action, re.IGNORECASE) is not None
