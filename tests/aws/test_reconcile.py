"""Every minute: what fell between is set right, and what goes its ordinary way is left alone."""

from __future__ import annotations

import pytest

from filepath.protocol import End
from functions.reconcile import handler
from tests.aws.conftest import Clock
from tests.aws.gateway import Invocation
from tests.aws.people import Person, Sandbox
from tests.aws.wire import Wire


def reconcile() -> int:
    return handler.handle({}, Invocation.context())["sessions"]


def started(wire: Wire) -> list[str]:
    return [call["name"] for call in wire.asked("StartExecution")]


def test_what_goes_its_ordinary_way_is_left_alone(ada: Person, sandbox: Sandbox, wire: Wire, clock: Clock) -> None:
    workflow_id = ada.submit(sandbox.session_id)
    sandbox.run(workflow_id)
    sandbox.started(workflow_id)
    clock.pass_(90)
    sandbox.heartbeat(workflow_id)
    clock.pass_(60)
    before = (
        sandbox.platform.session(sandbox.session_id),
        sandbox.platform.task(workflow_id),
        len(wire.calls),
    )
    assert reconcile() == 1
    after = (sandbox.platform.session(sandbox.session_id), sandbox.platform.task(workflow_id), len(wire.calls))
    assert after == before


# Starts that were lost


def test_a_task_queued_over_a_minute_without_a_machine_is_started(
    ada: Person, sandbox: Sandbox, wire: Wire, clock: Clock
) -> None:
    workflow_id = ada.submit(sandbox.session_id)
    clock.pass_(30)
    reconcile()
    assert started(wire).count(workflow_id) == 1
    clock.pass_(31)
    reconcile()
    assert started(wire).count(workflow_id) == 2
    assert len({call["input"] for call in wire.asked("StartExecution") if call["name"] == workflow_id}) == 1


def test_a_task_whose_machine_waits_is_not_started_again(
    ada: Person, sandbox: Sandbox, wire: Wire, clock: Clock
) -> None:
    workflow_id = ada.submit(sandbox.session_id)
    sandbox.run(workflow_id)
    clock.pass_(100)
    sandbox.heartbeat(workflow_id)
    reconcile()
    assert started(wire).count(workflow_id) == 1


def test_a_session_starting_over_a_minute_is_started_again_under_the_same_name(
    ada: Person, wire: Wire, clock: Clock
) -> None:
    session_id = ada.open_session()
    clock.pass_(61)
    reconcile()
    first, second = wire.asked("StartExecution")
    assert first == second
    assert first["name"] == "wf_" + session_id[4:]


def test_a_task_accepted_while_step_functions_was_down_runs_and_is_settled(
    ada: Person, sandbox: Sandbox, wire: Wire, clock: Clock
) -> None:
    wire.refuse("StartExecution", "ServiceUnavailable", 503, times=50)
    workflow_id = ada.submit(sandbox.session_id)
    assert started(wire).count(workflow_id) == 0
    wire.let_through()
    clock.pass_(61)
    reconcile()
    assert started(wire).count(workflow_id) == 1
    sandbox.run(workflow_id)
    assert sandbox.finish(workflow_id).status == "completed"
    assert (ada.money.held, ada.money.charged) == (0, 1)


# Machines that failed without settling


def test_a_task_that_exited_but_whose_machine_is_gone_is_settled(
    ada: Person, sandbox: Sandbox, wire: Wire, clock: Clock
) -> None:
    workflow_id = ada.submit(sandbox.session_id)
    wire.waiting.discard(sandbox.run(workflow_id))
    sandbox.exit(workflow_id)
    clock.pass_(61)
    reconcile()
    assert sandbox.platform.task(workflow_id).status == "completed"
    assert ada.money.held == 0


def test_a_task_that_exited_and_whose_machine_still_waits_is_left_to_it(
    ada: Person, sandbox: Sandbox, wire: Wire, clock: Clock
) -> None:
    """The wake was lost: it is sent again, and the machine settles."""
    workflow_id = ada.submit(sandbox.session_id)
    token = sandbox.run(workflow_id)
    wire.refuse("SendTaskSuccess", "TaskTimedOut")
    sandbox.exit(workflow_id)
    clock.pass_(61)
    reconcile()
    assert token in wire.woken
    assert sandbox.platform.task(workflow_id).status == "queued"


def test_a_step_that_failed_makes_no_task_lost(ada: Person, sandbox: Sandbox, wire: Wire, clock: Clock) -> None:
    """What catches every failure of its machine leads to Settle, while the command runs on."""
    workflow_id = ada.submit(sandbox.session_id)
    wire.waiting.discard(sandbox.run(workflow_id))
    sandbox.started(workflow_id)
    sandbox.platform.step("settle", workflowId=workflow_id)
    assert sandbox.platform.task(workflow_id).status == "running"
    assert ada.money.held == 5
    sandbox.output(workflow_id, 0, b"done\n")
    assert sandbox.exit(workflow_id, 5, End("exited", 61_000, exit_code=3))["accepted"]
    clock.pass_(61)
    reconcile()
    task = sandbox.platform.task(workflow_id)
    assert (task.status, task.exit_code, task.output_bytes, task.charged) == ("completed", 3, 5, 2)
    assert ada.money.held == 0


def test_a_task_beyond_its_backstop_is_settled_as_lost(ada: Person, sandbox: Sandbox, wire: Wire, clock: Clock) -> None:
    workflow_id = ada.submit(sandbox.session_id, timeoutSeconds=60)
    sandbox.run(workflow_id)
    sandbox.started(workflow_id)
    clock.pass_(300 + 60 + 5 + 600 + 121)
    sandbox.heartbeat(workflow_id)
    reconcile()
    task = sandbox.platform.task(workflow_id)
    assert (task.status, task.reason, task.charged) == ("lost", "no_report", 1)


def test_a_session_left_closing_by_its_machine_is_ended(
    ada: Person, sandbox: Sandbox, wire: Wire, clock: Clock
) -> None:
    workflow_id = ada.submit(sandbox.session_id)
    ada.delete(f"/api/orchestrator/session/{sandbox.session_id}")
    reconcile()
    assert sandbox.platform.session(sandbox.session_id).status == "closing"
    clock.pass_(121)
    assert reconcile() == 1
    assert [call["task"] for call in wire.asked("StopTask")] == list(wire.sandboxes)
    assert sandbox.platform.session(sandbox.session_id).status == "closed"
    assert sandbox.platform.task(workflow_id).status == "cancelled"
    assert (ada.money.held, reconcile()) == (0, 0)


def test_a_session_whose_sandbox_cannot_be_stopped_is_not_forgotten(
    ada: Person, sandbox: Sandbox, wire: Wire, clock: Clock
) -> None:
    """It is counted, and looked at each minute, until ECS takes the order."""
    ada.delete(f"/api/orchestrator/session/{sandbox.session_id}")
    wire.refuse("StopTask", "AccessDeniedException", times=2)
    with pytest.raises(Exception, match="AccessDenied"):
        sandbox.platform.step("end_session", sessionId=sandbox.session_id)
    clock.pass_(121)
    assert reconcile() == 1
    assert wire.refusals_left == 0
    session = sandbox.platform.session(sandbox.session_id)
    assert (session.status, session.gone) == ("closing", None)
    assert reconcile() == 1
    assert [call["task"] for call in wire.asked("StopTask")] == [sandbox.task_arn]
    assert sandbox.platform.session(sandbox.session_id).status == "closed"
    assert reconcile() == 0


# Agents not heard of


def test_an_agent_with_open_tasks_unheard_of_for_two_minutes_is_stopped_and_its_task_lost(
    ada: Person, sandbox: Sandbox, wire: Wire, clock: Clock
) -> None:
    workflow_id = ada.submit(sandbox.session_id)
    token = sandbox.run(workflow_id)
    sandbox.started(workflow_id)
    clock.pass_(110)
    reconcile()
    assert wire.asked("StopTask") == []
    clock.pass_(15)
    reconcile()
    assert [call["task"] for call in wire.asked("StopTask")] == [sandbox.task_arn]
    assert {token, sandbox.live_token} <= set(wire.woken)
    sandbox.platform.step("settle", workflowId=workflow_id)
    task = sandbox.platform.task(workflow_id)
    assert (task.status, task.reason) == ("lost", "silent")


def test_a_stop_that_fails_does_not_keep_the_task_from_being_lost_next_time(
    ada: Person, sandbox: Sandbox, wire: Wire, clock: Clock
) -> None:
    workflow_id = ada.submit(sandbox.session_id)
    sandbox.run(workflow_id)
    clock.pass_(125)
    wire.refuse("StopTask", "ServerException", 500, times=4)
    reconcile()
    assert sandbox.platform.session(sandbox.session_id).gone is None
    reconcile()
    assert sandbox.platform.session(sandbox.session_id).gone == "silent"


# Clocks that ran out unnoticed


def test_a_session_whose_alarm_never_rang_ends_idle(sandbox: Sandbox, wire: Wire, ada: Person, clock: Clock) -> None:
    quiet = ada.ready(idleTimeoutSeconds=60)
    clock.pass_(60 + 15 + 121)
    sandbox.heartbeat()
    quiet.heartbeat()
    reconcile()
    session = quiet.platform.session(quiet.session_id)
    assert (session.status, session.reason) == ("closing", "idle")
    assert quiet.live_token in wire.woken
    assert sandbox.platform.session(sandbox.session_id).status == "ready"


def test_a_session_over_its_maximum_age_is_closed(ada: Person, clock: Clock) -> None:
    old = ada.ready(maxAgeSeconds=60)
    ada.submit(old.session_id)
    clock.pass_(60 + 115)
    old.heartbeat()
    reconcile()
    assert old.platform.session(old.session_id).status == "ready"
    clock.pass_(10)
    reconcile()
    assert old.platform.session(old.session_id).reason == "max_age"


def test_a_session_that_never_became_ready_is_closed_after_its_start_timeout(ada: Person, clock: Clock) -> None:
    sandbox = ada.sandbox()
    clock.pass_(300 + 121)
    reconcile()
    session = sandbox.platform.session(sandbox.session_id)
    assert (session.status, session.reason) == ("closing", "start_timeout")


# One bad apple


def test_a_session_that_cannot_be_reconciled_does_not_keep_the_others_waiting(
    ada: Person, bob: Person, wire: Wire, clock: Clock
) -> None:
    """Sessions come in the order of their age: the first is the one that fails."""
    broken, fine = ada.ready(), bob.ready()
    for sandbox, person in ((broken, ada), (fine, bob)):
        person.submit(sandbox.session_id)
    clock.pass_(125)
    wire.refuse("StopTask", "AccessDeniedException", times=1)
    assert reconcile() == 2
    gone = [sandbox.platform.session(sandbox.session_id).gone for sandbox in (broken, fine)]
    assert gone == [None, "silent"]


def test_reconciling_twice_does_nothing_twice(ada: Person, sandbox: Sandbox, clock: Clock) -> None:
    workflow_id = ada.submit(sandbox.session_id)
    sandbox.run(workflow_id)
    sandbox.started(workflow_id)
    clock.pass_(125)
    for _ in range(3):
        reconcile()
        clock.pass_(121)
    assert sandbox.platform.session(sandbox.session_id).status == "closed"
    assert (ada.money.charged, ada.money.held) == (1, 0)
