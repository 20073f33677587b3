"""StartExecution, once and again: local/mends/executions.py and prompt_starts.py."""

from __future__ import annotations

from typing import Any

import pytest

from tests.local.emulators import Emulator

WAITING: dict[str, Any] = {"Wait": {"Type": "Wait", "Seconds": 30, "End": True}}
DONE: dict[str, Any] = {"Pass": {"Type": "Pass", "End": True}}


def test_an_identical_start_of_what_still_runs_is_answered_again(mended: Emulator) -> None:
    client = mended.client("stepfunctions")
    wanted = {"stateMachineArn": mended.machine(WAITING), "name": "once", "input": '{"a": 1}'}
    first, second = client.start_execution(**wanted), client.start_execution(**wanted)
    assert [second[name] for name in ("executionArn", "startDate")] == [first["executionArn"], first["startDate"]]


def test_a_start_with_another_input_is_refused(mended: Emulator) -> None:
    client = mended.client("stepfunctions")
    machine = mended.machine(WAITING)
    client.start_execution(stateMachineArn=machine, name="once", input="{}")
    with pytest.raises(client.exceptions.ExecutionAlreadyExists):
        client.start_execution(stateMachineArn=machine, name="once", input='{"b": 2}')


def test_a_start_of_what_has_ended_is_refused(mended: Emulator) -> None:
    client = mended.client("stepfunctions")
    wanted = {"stateMachineArn": mended.machine(DONE), "name": "once", "input": "{}"}
    mended.execution_end(client.start_execution(**wanted)["executionArn"])
    with pytest.raises(client.exceptions.ExecutionAlreadyExists):
        client.start_execution(**wanted)


def test_the_emulator_alone_still_refuses_an_identical_start(plain: Emulator) -> None:
    client = plain.client("stepfunctions")
    wanted = {"stateMachineArn": plain.machine(WAITING), "name": "once", "input": "{}"}
    client.start_execution(**wanted)
    try:
        client.start_execution(**wanted)
    except client.exceptions.ExecutionAlreadyExists:
        return
    pytest.fail("mends/executions.py is no longer needed")


THE_EMULATORS_SLEEP = 0.15


def shortest(emulator: Emulator) -> float:
    """Seconds from StartExecution to the end of a machine that does nothing, of ten times."""
    client = emulator.client("stepfunctions")
    machine = emulator.machine(DONE)
    starts = [client.start_execution(stateMachineArn=machine)["executionArn"] for _ in range(10)]
    ends = [emulator.execution_end(execution) for execution in starts]
    return min(float((end["stopDate"] - end["startDate"]).total_seconds()) for end in ends)


def test_an_execution_begins_at_once(mended: Emulator) -> None:
    assert shortest(mended) < THE_EMULATORS_SLEEP


def test_the_emulator_alone_still_sleeps_first(plain: Emulator) -> None:
    assert shortest(plain) >= THE_EMULATORS_SLEEP, "mends/prompt_starts.py is no longer needed"
