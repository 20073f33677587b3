"""More output than is kept of a task: agents keep the limit, and nothing beyond it is stored where one does not."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from filepath.protocol import End
from tests.aws.conftest import Clock
from tests.aws.people import Person, Sandbox
from tests.aws.wire import Wire

CUT = End("output_limit", 61_000, signal="TERM", message="its output is cut at 10 bytes")


@pytest.fixture
def sandbox(ada: Person, configure: Callable[..., None]) -> Sandbox:
    configure(OUTPUT_LIMIT_BYTES="10")
    return ada.ready()


@pytest.fixture
def workflow_id(ada: Person, sandbox: Sandbox) -> str:
    workflow_id = ada.submit(sandbox.session_id)
    sandbox.run(workflow_id)
    sandbox.started(workflow_id)
    return workflow_id


def test_an_agent_is_told_the_limit(sandbox: Sandbox) -> None:
    assert sandbox.hello()["outputLimitBytes"] == 10


def test_a_task_that_was_stopped_at_the_limit_is_cancelled_and_charged_with_its_log_kept(
    ada: Person, sandbox: Sandbox, workflow_id: str
) -> None:
    sandbox.finish(workflow_id, b"0123456789", CUT)
    status = ada.get(f"/api/workflow/{workflow_id}/status").body
    shown = [status[name] for name in ("status", "reason", "signal", "message", "creditsCharged", "outputBytes")]
    assert shown == ["cancelled", "output_limit", "TERM", CUT.message, 2, 10]
    output = ada.get(f"/api/workflow/{workflow_id}/output").body
    assert (output["chunks"][0]["data"], output["complete"]) == ("0123456789", True)


def test_an_agent_that_keeps_no_limit_is_told_stop_and_its_task_is_settled_with_what_was_within(
    ada: Person, sandbox: Sandbox, workflow_id: str, wire: Wire, clock: Clock
) -> None:
    clients = ada.listen()
    token = sandbox.run(workflow_id)
    sandbox.output(workflow_id, 0, b"01234567")
    clock.pass_(30)
    sandbox.heartbeat(workflow_id)
    assert sandbox.output(workflow_id, 8, b"89abcdef") == {"stored": 10, "stop": True, "watched": True}
    assert [message["params"]["data"] for message in wire.posted(clients.connection_id)] == ["01234567", "89"]
    assert token in wire.woken
    sandbox.platform.step("settle", workflowId=workflow_id)
    task = sandbox.platform.task(workflow_id)
    assert (task.status, task.reason, task.output_bytes, task.charged) == ("cancelled", "output_limit", 10, 1)


def test_what_lies_wholly_beyond_the_limit_is_not_stored(sandbox: Sandbox, workflow_id: str) -> None:
    sandbox.output(workflow_id, 0, b"0123456789")
    assert sandbox.output(workflow_id, 10, b"a") == {"stored": 10, "stop": True, "watched": False}


def test_output_up_to_the_limit_is_no_overrun(sandbox: Sandbox, workflow_id: str, wire: Wire) -> None:
    before = wire.woken
    assert sandbox.output(workflow_id, 0, b"0123456789")["stop"] is False
    assert (sandbox.platform.task(workflow_id).overran, wire.woken) == (False, before)


def test_an_end_that_comes_before_it_is_settled_counts(ada: Person, sandbox: Sandbox, workflow_id: str) -> None:
    sandbox.output(workflow_id, 0, b"0123456789a")
    assert sandbox.finish(workflow_id, b"0123456789", End("exited", 1, exit_code=0)).status == "completed"


@pytest.mark.parametrize("state", ["not given", "over"])
def test_too_much_output_of_a_task_that_does_not_run_changes_nothing(
    ada: Person, sandbox: Sandbox, workflow_id: str, state: str
) -> None:
    if state == "over":
        sandbox.finish(workflow_id)
    else:
        workflow_id = ada.submit(sandbox.session_id)
    before = sandbox.platform.task(workflow_id)
    assert sandbox.output(workflow_id, 0, b"0123456789a")["stop"] is True
    assert sandbox.platform.task(workflow_id) == before
