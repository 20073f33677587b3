"""The session machine's steps, end to end: how a session starts, lives and ends."""

from __future__ import annotations

import pytest

from filepath.aws import keys, table
from filepath.protocol import End
from tests.aws.conftest import Clock
from tests.aws.people import Person, Platform, Sandbox
from tests.aws.wire import Wire


def end(sandbox: Sandbox, cause: str) -> None:
    """As the machine goes once its clock rang or its launch failed."""
    platform, session_id = sandbox.platform, sandbox.session_id
    assert platform.step("close_session", sessionId=session_id, cause=cause) == {"decision": "stop"}
    platform.enter("stop_sandbox", sessionId=session_id)
    sandbox.stopped()
    platform.step("end_session", sessionId=session_id)


def sandboxes_counted(person: Person) -> tuple[int, int]:
    account, stack = table.get(keys.credit(person.user_id)), table.get(keys.STACK)
    assert account is not None
    assert stack is not None
    return account["sandboxes"], stack["sandboxes"]


@pytest.mark.parametrize("cause", ["start_timeout", "no_capacity", "launch_failed"])
def test_a_sandbox_that_never_says_hello_fails_its_session_and_frees_its_tasks_hold(
    ada: Person, platform: Platform, cause: str
) -> None:
    sandbox = ada.sandbox()
    workflow_id = ada.submit(sandbox.session_id)
    sandbox.run(workflow_id)
    end(sandbox, cause)
    session, task = platform.session(sandbox.session_id), platform.task(workflow_id)
    assert (session.status, session.reason) == ("failed", cause)
    assert (task.status, task.reason, task.charged) == ("failed", cause, 0)
    assert (ada.money.held, ada.money.available) == (0, 100)
    assert sandboxes_counted(ada) == (0, 0)


def test_a_session_that_was_closed_cancels_its_tasks_as_their_agent_reports_them(
    ada: Person, platform: Platform
) -> None:
    sandbox = ada.ready()
    workflow_id = ada.submit(sandbox.session_id)
    sandbox.run(workflow_id)
    sandbox.started(workflow_id)
    ada.delete(f"/api/orchestrator/session/{sandbox.session_id}")
    sandbox.output(workflow_id, 0, b"so far")
    sandbox.exit(workflow_id, 6, End("shutdown", 61_000, signal="TERM"))
    end(sandbox, "woken")
    task = platform.task(workflow_id)
    assert (task.status, task.reason, task.signal, task.charged) == ("cancelled", "session_closed", "TERM", 2)
    assert ada.get(f"/api/workflow/{workflow_id}/output").body["chunks"][0]["data"] == "so far"
    shown = ada.get(f"/api/orchestrator/session/{sandbox.session_id}").body
    assert (shown["status"], shown["reason"], shown["openTasks"]) == ("closed", "user", [])
    assert shown["closedAt"] >= shown["readyAt"]


def test_a_session_ends_at_its_maximum_age_even_with_open_tasks(ada: Person, clock: Clock) -> None:
    sandbox = ada.ready(maxAgeSeconds=60)
    ada.submit(sandbox.session_id)
    clock.pass_(61)
    end(sandbox, "max_age")
    session = sandbox.platform.session(sandbox.session_id)
    assert (session.status, session.reason, session.open_tasks) == ("closed", "max_age", frozenset())


def test_stopping_asks_ecs_and_waits_for_its_word(ada: Person, wire: Wire) -> None:
    sandbox = ada.ready()
    ada.delete(f"/api/orchestrator/session/{sandbox.session_id}")
    token = sandbox.platform.enter("stop_sandbox", sessionId=sandbox.session_id)
    (asked,) = wire.asked("StopTask")
    assert (asked["task"], asked["reason"]) == (sandbox.task_arn, "filepath: user")
    assert token not in wire.woken
    sandbox.stopped()
    assert token in wire.woken


@pytest.mark.parametrize("known_to_ecs", [False, True])
def test_stopping_what_does_not_run_any_more_goes_on_at_once(ada: Person, wire: Wire, known_to_ecs: bool) -> None:
    """ECS forgets a stopped task after an hour, and an event may never come."""
    sandbox = ada.ready()
    ada.delete(f"/api/orchestrator/session/{sandbox.session_id}")
    if known_to_ecs:
        wire.sandboxes[sandbox.task_arn]["lastStatus"] = "STOPPED"
    else:
        wire.sandboxes.clear()
    token = sandbox.platform.enter("stop_sandbox", sessionId=sandbox.session_id)
    assert token in wire.woken
    assert sandbox.platform.session(sandbox.session_id).gone == "sandbox_stopped"


def test_stopping_finds_the_sandbox_of_a_launch_whose_reply_was_lost(ada: Person, wire: Wire) -> None:
    session_id = ada.open_session()
    wire.before("RunTask", lambda: wire.refuse("UpdateItem", "InternalServerError", 500, times=4))
    with pytest.raises(Exception, match="InternalServerError"):
        ada.sandbox(session_id)
    ada.delete(f"/api/orchestrator/session/{session_id}")
    ada.platform.enter("stop_sandbox", sessionId=session_id)
    assert [asked["task"] for asked in wire.asked("StopTask")] == list(wire.sandboxes)


def test_the_end_is_written_once_and_counts_the_sandbox_off_once(ada: Person, wire: Wire) -> None:
    socket = ada.listen()
    other = ada.ready()
    sandbox = ada.ready()
    ada.delete(f"/api/orchestrator/session/{sandbox.session_id}")
    wire.before("TransactWriteItems", lambda: sandbox.platform.step("end_session", sessionId=sandbox.session_id))
    for _ in range(2):
        sandbox.platform.step("end_session", sessionId=sandbox.session_id)
    assert sandboxes_counted(ada) == (1, 1)
    assert other.platform.session(other.session_id).status == "ready"
    ends = [m for m in wire.posted(socket.connection_id) if m["params"].get("status") == "closed"]
    assert len(ends) == 1


def test_the_end_settles_what_its_machine_did_not(ada: Person) -> None:
    sandbox = ada.ready()
    workflow_ids = [ada.submit(sandbox.session_id) for _ in range(2)]
    ada.delete(f"/api/orchestrator/session/{sandbox.session_id}")
    sandbox.platform.step("end_session", sessionId=sandbox.session_id)
    assert [sandbox.platform.task(workflow_id).status for workflow_id in workflow_ids] == ["cancelled", "cancelled"]
    assert ada.money.held == 0


def test_a_step_that_no_machine_knows_is_an_error(platform: Platform) -> None:
    with pytest.raises(ValueError, match="no step takes"):
        platform.step("dance", sessionId="ses_1")


def test_a_session_that_is_not_there_is_an_error_and_not_an_end(platform: Platform, unknown_session: str) -> None:
    with pytest.raises(LookupError):
        platform.step("end_session", sessionId=unknown_session)
