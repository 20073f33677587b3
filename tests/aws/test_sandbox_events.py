"""ECS tells that a task stopped."""

from __future__ import annotations

import pytest

from functions.sandbox_events import handler
from tests.aws.gateway import Invocation
from tests.aws.people import Person, stopped_event
from tests.aws.wire import Wire


def test_a_sandbox_that_stopped_closes_its_session_and_wakes_what_waited(ada: Person, wire: Wire) -> None:
    sandbox = ada.ready()
    workflow_id = ada.submit(sandbox.session_id)
    token = sandbox.run(workflow_id)
    handler.handle(stopped_event(sandbox.session_id), Invocation.context())
    session = sandbox.platform.session(sandbox.session_id)
    assert (session.status, session.reason, session.gone) == ("closing", "sandbox_stopped", "sandbox_stopped")
    assert session.connection_id is None
    assert {token, sandbox.live_token} <= set(wire.woken)


def test_an_out_of_memory_kill_is_told_as_such(ada: Person) -> None:
    sandbox = ada.ready()
    reason = "OutOfMemoryError: Container killed due to memory usage"
    handler.handle(stopped_event(sandbox.session_id, reason=reason), Invocation.context())
    assert sandbox.platform.session(sandbox.session_id).reason == "oom"


def test_a_doubled_event_keeps_the_first_reason(ada: Person) -> None:
    sandbox = ada.ready()
    handler.handle(stopped_event(sandbox.session_id), Invocation.context())
    handler.handle(stopped_event(sandbox.session_id, reason="OutOfMemoryError"), Invocation.context())
    assert sandbox.platform.session(sandbox.session_id).gone == "sandbox_stopped"


def test_a_session_that_was_closing_keeps_its_own_reason(ada: Person) -> None:
    sandbox = ada.ready()
    ada.delete(f"/api/orchestrator/session/{sandbox.session_id}")
    handler.handle(stopped_event(sandbox.session_id), Invocation.context())
    session = sandbox.platform.session(sandbox.session_id)
    assert (session.reason, session.gone) == ("user", "sandbox_stopped")


@pytest.mark.parametrize("status", ["PROVISIONING", "RUNNING", "STOPPING", "DEPROVISIONING"])
def test_any_other_change_of_state_changes_nothing(ada: Person, status: str) -> None:
    sandbox = ada.ready()
    before = sandbox.platform.session(sandbox.session_id)
    handler.handle(stopped_event(sandbox.session_id, status), Invocation.context())
    assert sandbox.platform.session(sandbox.session_id) == before


def test_a_task_of_somebody_elses_in_the_cluster_is_let_pass(ada: Person, unknown_session: str, wire: Wire) -> None:
    for started_by in ("ecs-svc/123", "", unknown_session):
        handler.handle(stopped_event(started_by), Invocation.context())
    assert wire.woken == []


def test_an_event_after_the_session_is_over_changes_nothing(ada: Person) -> None:
    sandbox = ada.ready()
    ada.delete(f"/api/orchestrator/session/{sandbox.session_id}")
    sandbox.platform.step("end_session", sessionId=sandbox.session_id)
    over = sandbox.platform.session(sandbox.session_id)
    handler.handle(stopped_event(sandbox.session_id), Invocation.context())
    assert sandbox.platform.session(sandbox.session_id) == over
