"""The clocks of a callback state: local/mends/callbacks.py."""

from __future__ import annotations

import json
import time
from typing import Any

import pytest

from tests.local.emulators import Emulator, eventually


def callback(function: str, **clocks: Any) -> dict[str, Any]:
    return {
        "Wait": {
            "Type": "Task",
            "Resource": "arn:aws:states:::lambda:invoke.waitForTaskToken",
            "Arguments": {
                "FunctionName": function,
                "Payload": {
                    "token": "{% $states.context.Task.Token %}",
                    "name": "{% $states.context.Execution.Name %}",
                },
            },
            "End": True,
            **clocks,
        }
    }


def token_of(emulator: Emulator, execution: str) -> str:
    """From the function's log: it prints the token it was given."""
    logs = emulator.home.logs / "functions.log"
    name = execution.rpartition(":")[2]

    def found() -> str | None:
        lines = logs.read_text().splitlines() if logs.exists() else []
        return next((line.split()[-1] for line in lines if f"TOKEN {name} " in line), None)

    return str(eventually(found))


PRINTS_TOKEN = 'def handler(event, context):\n    print("TOKEN", event["name"], event["token"])\n'


def started(emulator: Emulator, function: str, input_: dict[str, Any] | None = None, **clocks: Any) -> str:
    machine = emulator.machine(callback(function, **clocks))
    client = emulator.client("stepfunctions")
    return str(client.start_execution(stateMachineArn=machine, input=json.dumps(input_ or {}))["executionArn"])


def test_a_state_without_a_beat_ends_with_a_heartbeat_timeout(mended: Emulator) -> None:
    execution = started(mended, mended.function(PRINTS_TOKEN), HeartbeatSeconds=1, TimeoutSeconds=30)
    end = mended.execution_end(execution)
    assert (end["status"], end["error"]) == ("FAILED", "States.HeartbeatTimeout")


def test_beats_keep_a_state_alive_beyond_its_heartbeat(mended: Emulator) -> None:
    execution = started(mended, mended.function(PRINTS_TOKEN), HeartbeatSeconds=2, TimeoutSeconds=30)
    token = token_of(mended, execution)
    client = mended.client("stepfunctions")
    for _ in range(6):
        time.sleep(0.5)
        client.send_task_heartbeat(taskToken=token)
    client.send_task_success(taskToken=token, output='"alive"')
    assert mended.execution_end(execution)["output"] == '"alive"'


def test_both_clocks_may_be_jsonata(mended: Emulator) -> None:
    execution = started(
        mended,
        mended.function(PRINTS_TOKEN),
        {"beat": 1, "all": 30},
        HeartbeatSeconds="{% $states.input.beat %}",
        TimeoutSeconds="{% $states.input.all %}",
    )
    assert mended.execution_end(execution)["error"] == "States.HeartbeatTimeout"


def test_the_timeout_counts_from_the_start_of_the_state(mended: Emulator) -> None:
    slow = mended.function("import time\ndef handler(event, context):\n    time.sleep(2)\n")
    begun = time.monotonic()
    assert mended.execution_end(started(mended, slow, TimeoutSeconds=1))["error"] == "States.Timeout"
    assert time.monotonic() - begun < 5


def test_a_failing_function_fails_its_state_at_once(mended: Emulator) -> None:
    failing = mended.function('def handler(event, context):\n    raise ValueError("no")\n')
    end = mended.execution_end(started(mended, failing, TimeoutSeconds=30), seconds=10)
    assert end["status"] == "FAILED"
    assert "no" in end["cause"]


def test_a_token_of_a_stopped_execution_is_closed(mended: Emulator) -> None:
    client = mended.client("stepfunctions")
    execution = started(mended, mended.function(PRINTS_TOKEN), TimeoutSeconds=30)
    token = token_of(mended, execution)
    client.stop_execution(executionArn=execution)
    with pytest.raises(client.exceptions.TaskTimedOut):
        client.send_task_success(taskToken=token, output="{}")


def test_the_emulator_alone_still_takes_answers_for_a_stopped_execution(plain: Emulator) -> None:
    client = plain.client("stepfunctions")
    machine = plain.machine(callback(plain.function(""), TimeoutSeconds=30))
    execution = client.start_execution(stateMachineArn=machine, name="stopped")["executionArn"]
    client.stop_execution(executionArn=execution)
    assert client.describe_execution(executionArn=execution)["status"] == "ABORTED"


def test_a_token_is_answered_once(mended: Emulator) -> None:
    execution = started(mended, mended.function(PRINTS_TOKEN), TimeoutSeconds=30)
    client = mended.client("stepfunctions")
    token = token_of(mended, execution)
    client.send_task_success(taskToken=token, output='"first"')
    refusals = (client.exceptions.TaskTimedOut, client.exceptions.TaskDoesNotExist)
    with pytest.raises(refusals):
        client.send_task_success(taskToken=token, output='"second"')
    assert mended.execution_end(execution)["output"] == '"first"'


def test_the_emulator_alone_still_ignores_heartbeats(plain: Emulator) -> None:
    execution = started(plain, plain.function(PRINTS_TOKEN), HeartbeatSeconds=1, TimeoutSeconds=4)
    assert plain.execution_end(execution)["error"] == "States.Timeout", "mends/callbacks.py is no longer needed"
