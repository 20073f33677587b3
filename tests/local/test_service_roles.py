"""Who lets a service invoke a function: local/mends/service_roles.py."""

from __future__ import annotations

import json
import uuid
from datetime import UTC, datetime
from typing import Any

import pytest

from tests.local.emulators import Emulator, eventually

SAYS_WHO = 'def handler(event, context):\n    print("INVOKED", event["detail"]["name"])\n'


def machine(emulator: Emulator, role: str, resource: str = "lambda:invoke") -> str:
    arguments = {"FunctionName": emulator.function("def handler(event, context):\n    return {}\n"), "Payload": {}}
    state = {
        "Type": "Task",
        "Resource": f"arn:aws:states:::{resource}",
        "Arguments": arguments,
        "TimeoutSeconds": 10,
        "End": True,
    }
    definition = {"QueryLanguage": "JSONata", "StartAt": "Step", "States": {"Step": state}}
    made = emulator.client("stepfunctions").create_state_machine(
        name=f"machine-{uuid.uuid4().hex[:8]}", definition=json.dumps(definition), roleArn=role
    )
    return str(made["stateMachineArn"])


def end(emulator: Emulator, machine_arn: str) -> dict[str, Any]:
    started = emulator.client("stepfunctions").start_execution(stateMachineArn=machine_arn)
    return emulator.execution_end(started["executionArn"])


def test_a_machine_whose_role_allows_it_invokes_its_function(mended: Emulator) -> None:
    assert end(mended, machine(mended, mended.role("lambda:InvokeFunction")))["status"] == "SUCCEEDED"


@pytest.mark.parametrize("resource", ["lambda:invoke", "lambda:invoke.waitForTaskToken"])
def test_a_machine_whose_role_lacks_it_fails_with_the_denial(mended: Emulator, resource: str) -> None:
    ended = end(mended, machine(mended, mended.role("lambda:GetFunction"), resource))
    assert (ended["status"], ended["error"]) == ("FAILED", "Lambda.AWSLambdaException")
    assert "lambda:InvokeFunction" in ended["cause"]
    assert "AccessDenied" in ended["cause"]


def test_the_emulator_alone_still_asks_no_machines_role(plain: Emulator) -> None:
    ended = end(plain, machine(plain, plain.role("lambda:GetFunction")))
    assert ended["status"] == "SUCCEEDED", "mends/service_roles.py is no longer needed"


def rule(emulator: Emulator, function: str, name: str, *, let_in: bool) -> None:
    events = emulator.client("events")
    arn = events.put_rule(Name=name, EventPattern=json.dumps({"source": ["tests"], "detail": {"name": [name]}}))
    events.put_targets(Rule=name, Targets=[{"Id": "function", "Arn": function}])
    if let_in:
        emulator.client("lambda").add_permission(
            FunctionName=function,
            StatementId=name,
            Action="lambda:InvokeFunction",
            Principal="events.amazonaws.com",
            SourceArn=arn["RuleArn"],
        )


def send(emulator: Emulator, name: str) -> None:
    entry = {"Source": "tests", "DetailType": "test", "Detail": json.dumps({"name": name})}
    emulator.client("events").put_events(Entries=[entry])


def logged(emulator: Emulator, file: str, words: str) -> bool:
    log = emulator.home.logs / file
    return log.exists() and words in log.read_text(errors="replace")


def test_a_rule_reaches_only_a_function_that_lets_it_in(mended: Emulator) -> None:
    function = mended.function(SAYS_WHO)
    rule(mended, function, "let-in", let_in=True)
    rule(mended, function, "shut-out", let_in=False)
    for name in ("shut-out", "let-in"):
        send(mended, name)

    assert eventually(lambda: logged(mended, "functions.log", "INVOKED let-in"))
    assert eventually(lambda: logged(mended, "emulator.log", "rule/shut-out may not perform lambda:InvokeFunction"))
    assert not logged(mended, "functions.log", "INVOKED shut-out")


def test_a_schedule_invokes_by_its_role(mended: Emulator) -> None:
    function = mended.function("def handler(event, context):\n    print('RANG')\n")
    for name, actions in (("may", ("lambda:InvokeFunction",)), ("may-not", ("lambda:GetFunction",))):
        mended.client("scheduler").create_schedule(
            Name=name,
            ScheduleExpression=f"at({datetime.now(UTC):%Y-%m-%dT%H:%M:%S})",
            FlexibleTimeWindow={"Mode": "OFF"},
            Target={"Arn": function, "RoleArn": mended.role(*actions)},
        )

    assert eventually(lambda: logged(mended, "functions.log", "RANG"))
    assert eventually(lambda: logged(mended, "emulator.log", "default/may-not may not perform lambda:InvokeFunction"))
