"""What every state machine definition must keep to.

`sam validate --lint` does not look inside a DefinitionUri, so these do.
"""

import json
import re
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import cfnlint.api
import yaml

from gates.finding import Finding

SECONDS = ("TimeoutSeconds", "HeartbeatSeconds", "Seconds")
States = dict[str, dict[str, Any]]


def state_machines_are_valid(root: Path) -> Iterator[Finding]:
    yield from judge(root, lint)


def every_transition_leads_somewhere(root: Path) -> Iterator[Finding]:
    yield from judge(root, broken_transitions)


def every_task_has_a_timeout(root: Path) -> Iterator[Finding]:
    yield from judge(root, tasks_without_timeout)


def retries_name_their_errors(root: Path) -> Iterator[Finding]:
    """A retry of everything repeats what will fail again, and hides it for as long."""
    yield from judge(root, retries_of_everything)


def substitutions(definition: Any) -> set[str]:
    return set(re.findall(r"\$\{(\w+)\}", json.dumps(definition)))


def judge(root: Path, check: Callable[[Any], Iterator[str]]) -> Iterator[Finding]:
    definitions = sorted((root / "statemachines").glob("*.asl.yaml"))
    if not definitions:
        yield Finding(Path("statemachines"), 1, "holds no *.asl.yaml, so this rule sees nothing")
    for path in definitions:
        for message in check(yaml.safe_load(path.read_text())):
            yield Finding(path.relative_to(root), 1, message)


def lint(definition: Any) -> Iterator[str]:
    """What cfn-lint says of the definition as part of a native state machine."""
    names = sorted(substitutions(definition))
    function = "arn:aws:lambda:us-east-1:123456789012:function:"
    machine = {
        "Type": "AWS::StepFunctions::StateMachine",
        "Properties": {
            "Definition": with_literal_seconds(definition),
            "DefinitionSubstitutions": {name: f"{function}{name}" for name in names},
            "RoleArn": "arn:aws:iam::123456789012:role/machine",
        },
    }
    with tempfile.TemporaryDirectory() as folder:
        template = Path(folder) / "template.json"
        template.write_text(json.dumps({"Resources": {"Machine": machine}}))
        for match in cfnlint.api.lint_file(template):
            yield f"{match.rule.id}: {match.message}"


def with_literal_seconds(node: Any) -> Any:
    """The definition with a number where JSONata gives one: cfn-lint takes only literal seconds."""
    if isinstance(node, list):
        return [with_literal_seconds(item) for item in node]
    if not isinstance(node, dict):
        return node
    return {
        key: 60 if key in SECONDS and str(value).startswith("{%") else with_literal_seconds(value)
        for key, value in node.items()
    }


def broken_transitions(definition: Any) -> Iterator[str]:
    states: States = definition["States"]
    reached = {definition["StartAt"]}
    for name, state in states.items():
        for target in targets(state):
            reached.add(target)
            if target not in states:
                yield f"{name!r} leads to {target!r}, which is not a state"
    if definition["StartAt"] not in states:
        yield f"starts at {definition['StartAt']!r}, which is not a state"
    for name in states.keys() - reached:
        yield f"nothing leads to {name!r}"


def targets(state: dict[str, Any]) -> Iterator[str]:
    for rule in [state, *state.get("Catch", []), *state.get("Choices", [])]:
        yield from (rule[key] for key in ("Next", "Default") if key in rule)


def tasks_without_timeout(definition: Any) -> Iterator[str]:
    states: States = definition["States"]
    for name, state in states.items():
        if state["Type"] == "Task" and not state.keys() & {"TimeoutSeconds", "TimeoutSecondsPath"}:
            yield f"{name!r} has no TimeoutSeconds: a callback that never comes would hold it for a year"


def retries_of_everything(definition: Any) -> Iterator[str]:
    states: States = definition["States"]
    for name, state in states.items():
        for retry in state.get("Retry", []):
            clocks = {"States.ALL", "States.Timeout", "States.HeartbeatTimeout"} & set(retry["ErrorEquals"])
            if clocks and retry.get("MaxAttempts") != 0:
                yield f"{name!r} retries {', '.join(sorted(clocks))}; that would retry its own clocks too"
