"""The rules between the table and the tokens (design, section 3), each with its window opened by force.

`wire.before(operation, act)` lets another invocation slip in just before a call of this one leaves: between a read and
the write that rests on it. None of these windows shows itself in an ordinary run.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import pytest

from filepath.aws import keys, logs, sessions, table
from filepath.lifecycle import operator
from filepath.protocol import End
from filepath.session import Reason
from functions.reconcile import handler
from tests.aws.conftest import Clock
from tests.aws.gateway import Invocation
from tests.aws.people import EXITED, Person, Platform, Sandbox
from tests.aws.wire import Wire

GONE_TOKEN_ERRORS = ["TaskTimedOut", "TaskDoesNotExist", "InvalidToken"]


def cancel(person: Person, workflow_id: str) -> None:
    assert person.post(f"/api/workflow/{workflow_id}/cancel").status == 202


def close(person: Person, session_id: str) -> None:
    assert person.delete(f"/api/orchestrator/session/{session_id}").status == 202


def settle(platform: Platform, workflow_id: str) -> None:
    platform.step("settle", workflowId=workflow_id)


# Rule 1: fact first, then wake. Whoever stores a token looks for the fact.


def test_cancel_before_the_token_is_seen_by_who_stores_the_token(ada: Person, wire: Wire) -> None:
    sandbox = ada.sandbox()
    workflow_id = ada.submit(sandbox.session_id)
    cancel(ada, workflow_id)
    assert sandbox.run(workflow_id) in wire.woken


def test_cancel_after_the_token_wakes_it(ada: Person, wire: Wire) -> None:
    sandbox = ada.sandbox()
    workflow_id = ada.submit(sandbox.session_id)
    token = sandbox.run(workflow_id)
    assert token not in wire.woken
    cancel(ada, workflow_id)
    assert token in wire.woken


@pytest.mark.parametrize("moment", ["UpdateItem", "GetItem"])
def test_cancel_while_the_task_is_being_given_ends_it_and_nothing_runs(
    ada: Person, sandbox: Sandbox, wire: Wire, moment: str
) -> None:
    """Before the token is stored, or between that and the look at the session."""
    workflow_id = ada.submit(sandbox.session_id)
    wire.before(moment, lambda: cancel(ada, workflow_id))
    token = sandbox.run(workflow_id)
    assert token in wire.woken
    assert sandbox.given() == []
    settle(sandbox.platform, workflow_id)
    task = sandbox.platform.task(workflow_id)
    assert (task.status, task.charged) == ("cancelled", 0)


def test_a_cancel_whose_wake_was_lost_is_made_good_by_the_next_hello(ada: Person, wire: Wire) -> None:
    """Whoever cancelled died between its write and the wake."""
    sandbox = ada.sandbox()
    workflow_id = ada.submit(sandbox.session_id)
    token = sandbox.run(workflow_id)
    wire.refuse("SendTaskSuccess", "TaskTimedOut")
    cancel(ada, workflow_id)
    assert token not in wire.woken
    sandbox.dial()
    sandbox.hello()
    assert token in wire.woken
    assert sandbox.given() == []


def test_an_exit_before_the_token_is_seen_by_who_stores_the_token(ada: Person, wire: Wire) -> None:
    """A hello gave the task to the sandbox before the task's own machine came to it."""
    sandbox = ada.sandbox()
    workflow_id = ada.submit(sandbox.session_id)
    sandbox.dial()
    sandbox.hello()
    assert sandbox.given() == [workflow_id]
    assert sandbox.exit(workflow_id)["accepted"]
    token = sandbox.run(workflow_id)
    assert token in wire.woken
    assert sandbox.given() == [workflow_id]


def test_an_exit_after_the_token_wakes_it(ada: Person, sandbox: Sandbox, wire: Wire) -> None:
    workflow_id = ada.submit(sandbox.session_id)
    token = sandbox.run(workflow_id)
    sandbox.exit(workflow_id)
    assert token in wire.woken


def test_a_sandbox_gone_before_the_token_is_seen_by_who_stores_the_token(
    ada: Person, sandbox: Sandbox, wire: Wire
) -> None:
    workflow_id = ada.submit(sandbox.session_id)
    sandbox.stopped()
    assert sandbox.run(workflow_id) in wire.woken


def test_a_sandbox_gone_after_the_token_wakes_tasks_and_session(ada: Person, sandbox: Sandbox, wire: Wire) -> None:
    workflow_id = ada.submit(sandbox.session_id)
    token = sandbox.run(workflow_id)
    sandbox.stopped()
    assert {token, sandbox.live_token} <= set(wire.woken)


@pytest.mark.parametrize("moment", ["UpdateItem", "GetItem"])
def test_a_sandbox_gone_while_a_task_enters_its_wait_wakes_it(
    ada: Person, sandbox: Sandbox, wire: Wire, moment: str
) -> None:
    workflow_id = ada.submit(sandbox.session_id)
    wire.before(moment, sandbox.stopped)
    assert sandbox.run(workflow_id) in wire.woken
    settle(sandbox.platform, workflow_id)
    assert sandbox.platform.task(workflow_id).status == "lost"


def test_closing_before_the_token_is_seen_by_who_stores_the_token(ada: Person, wire: Wire) -> None:
    sandbox = ada.sandbox()
    sandbox.dial()
    sandbox.hello()
    close(ada, sandbox.session_id)
    assert sandbox.platform.enter("live", sessionId=sandbox.session_id) in wire.woken


def test_closing_while_the_session_enters_its_wait_wakes_it(ada: Person, wire: Wire) -> None:
    sandbox = ada.sandbox()
    sandbox.dial()
    sandbox.hello()
    wire.before("UpdateItem", lambda: close(ada, sandbox.session_id))
    assert sandbox.platform.enter("live", sessionId=sandbox.session_id) in wire.woken


def test_a_hello_whose_wake_up_was_lost_is_made_good_by_the_next(ada: Person, wire: Wire) -> None:
    """The session was ready by then: whether it became so is not what to ask."""
    sandbox = ada.sandbox()
    sandbox.dial()
    wire.refuse("SendTaskSuccess", "TaskTimedOut")
    sandbox.hello()
    assert sandbox.platform.session(sandbox.session_id).status == "ready"
    assert sandbox.launch_token not in wire.woken
    sandbox.dial()
    sandbox.hello()
    assert sandbox.launch_token in wire.woken


def test_a_launch_that_is_tried_again_while_its_agent_says_hello_is_woken(
    ada: Person, platform: Platform, wire: Wire
) -> None:
    """The new token came after the hello's look at the session and before it wrote that it is ready."""
    sandbox = ada.sandbox()
    sandbox.dial()
    sandbox.heartbeat()
    sandbox.dial()
    later: list[str] = []
    wire.before(
        "PostToConnection",
        lambda: later.append(platform.enter("launch_sandbox", sessionId=sandbox.session_id)),
    )
    sandbox.hello()
    assert later
    assert later[0] in wire.woken


@pytest.mark.parametrize("cause", ["start_timeout", "launch_failed", "no_capacity"])
def test_a_launch_that_failed_of_a_session_that_is_ready_is_none(ada: Person, platform: Platform, cause: str) -> None:
    """Its agent said hello, and nobody came to tell the machine."""
    sandbox = ada.sandbox()
    sandbox.dial()
    sandbox.hello()
    answer = platform.step("close_session", sessionId=sandbox.session_id, cause=cause)
    assert answer["decision"] == "live"
    assert platform.session(sandbox.session_id).status == "ready"


@pytest.mark.parametrize("who", ["caller", "operator"])
def test_closing_again_does_not_wake_what_waits_for_the_sandbox_to_stop(
    ada: Person, sandbox: Sandbox, wire: Wire, who: str
) -> None:
    """The session would be over, and counted off, while its sandbox runs on."""
    close(ada, sandbox.session_id)
    assert sandbox.live_token in wire.woken
    token = sandbox.platform.enter("stop_sandbox", sessionId=sandbox.session_id)
    if who == "caller":
        close(ada, sandbox.session_id)
    else:
        assert operator.close_sessions("shutdown") == {"open": 1}
    assert token not in wire.woken
    sandbox.stopped()
    assert token in wire.woken


def test_a_sandbox_gone_before_its_session_waits_for_that_wakes_it(ada: Person, sandbox: Sandbox, wire: Wire) -> None:
    close(ada, sandbox.session_id)
    sandbox.stopped()
    token = sandbox.platform.enter("stop_sandbox", sessionId=sandbox.session_id)
    assert token in wire.woken
    assert wire.asked("StopTask") == []


def test_a_session_whose_sandbox_is_gone_but_whose_closing_was_not_written_ends(
    ada: Person, sandbox: Sandbox, wire: Wire
) -> None:
    """Whoever declared it gone died between its two writes: the machine must not wake and wait in turn for ever."""
    sessions.gone(sandbox.session_id, Reason.OOM)
    token = sandbox.platform.enter("live", sessionId=sandbox.session_id)
    assert token in wire.woken
    decision = sandbox.platform.step("close_session", sessionId=sandbox.session_id, cause="woken")
    assert decision == {"decision": "stop"}
    session = sandbox.platform.session(sandbox.session_id)
    assert (session.status, session.reason) == ("closing", "oom")


def test_a_late_token_is_never_put_over_a_newer_one(ada: Person, sandbox: Sandbox, wire: Wire) -> None:
    """AWS delivers an invocation at least once, and a doubled one may come late."""
    workflow_id = ada.submit(sandbox.session_id)
    newer = sandbox.platform.enter("run_command", 500_001, workflowId=workflow_id)
    sandbox.platform.enter("run_command", 500_000, workflowId=workflow_id)
    sandbox.platform.enter("run_command", 499_903, workflowId=workflow_id)
    assert sandbox.platform.task(workflow_id).wake_token == newer
    newer = sandbox.platform.enter("live", 600_001, sessionId=sandbox.session_id)
    sandbox.platform.enter("live", 600_000, sessionId=sandbox.session_id)
    assert sandbox.platform.session(sandbox.session_id).wake_token == newer


def test_a_token_for_a_task_that_is_over_is_let_go_at_once(ada: Person, sandbox: Sandbox, wire: Wire) -> None:
    workflow_id = ada.submit(sandbox.session_id)
    sandbox.run(workflow_id)
    sandbox.finish(workflow_id)
    assert sandbox.run(workflow_id) in wire.woken


@pytest.mark.parametrize("code", GONE_TOKEN_ERRORS)
def test_a_token_that_is_gone_means_that_somebody_was_first(
    ada: Person, sandbox: Sandbox, wire: Wire, clock: Clock, code: str
) -> None:
    workflow_id = ada.submit(sandbox.session_id)
    sandbox.run(workflow_id)
    wire.refuse("SendTaskSuccess", code, times=50)
    wire.refuse("SendTaskHeartbeat", code, times=50)
    assert sandbox.exit(workflow_id)["accepted"]
    clock.pass_(10_000)
    assert ada.post(f"/api/orchestrator/session/{sandbox.session_id}/keep-alive").status == 200
    close(ada, sandbox.session_id)
    sandbox.stopped()
    assert sandbox.platform.session(sandbox.session_id).gone == "sandbox_stopped"


def test_any_other_error_of_a_wake_is_no_somebody_was_first(ada: Person, sandbox: Sandbox, wire: Wire) -> None:
    wire.refuse("SendTaskSuccess", "AccessDeniedException", times=50)
    assert ada.delete(f"/api/orchestrator/session/{sandbox.session_id}").status == 500


# Rule 2: idle is a question


def ask_idle(sandbox: Sandbox) -> str:
    answer = sandbox.platform.step("close_session", sessionId=sandbox.session_id, cause="idle")
    return str(answer["decision"])


def test_a_session_in_which_nothing_happened_ends_idle(ada: Person, clock: Clock) -> None:
    sandbox = ada.ready(idleTimeoutSeconds=5)
    clock.pass_(5)
    assert ask_idle(sandbox) == "stop"
    assert sandbox.platform.session(sandbox.session_id).reason == "idle"


def test_an_open_task_keeps_its_session(ada: Person, clock: Clock) -> None:
    sandbox = ada.ready(idleTimeoutSeconds=5)
    ada.submit(sandbox.session_id)
    clock.pass_(1000)
    assert ask_idle(sandbox) == "live"


def test_fresh_activity_keeps_the_session_and_its_clock_is_set_anew(ada: Person, clock: Clock) -> None:
    sandbox = ada.ready(idleTimeoutSeconds=600)
    clock.pass_(500)
    ada.post(f"/api/orchestrator/session/{sandbox.session_id}/keep-alive")
    clock.pass_(500)
    answer = sandbox.platform.step("close_session", sessionId=sandbox.session_id, cause="idle")
    assert answer == {"decision": "live", "clock": {"heartbeatSeconds": 660, "timeoutSeconds": 604_800 - 1000}}


def test_a_task_settled_a_moment_ago_is_activity(ada: Person, clock: Clock) -> None:
    sandbox = ada.ready(idleTimeoutSeconds=5)
    workflow_id = ada.submit(sandbox.session_id)
    sandbox.run(workflow_id)
    clock.pass_(60)
    sandbox.finish(workflow_id)
    clock.pass_(4)
    assert ask_idle(sandbox) == "live"
    clock.pass_(2)
    assert ask_idle(sandbox) == "stop"


def test_a_task_submitted_at_the_very_moment_that_idle_is_decided_keeps_the_session(
    ada: Person, wire: Wire, clock: Clock
) -> None:
    sandbox = ada.ready(idleTimeoutSeconds=5)
    clock.pass_(10)
    submitted: list[str] = []
    wire.before("UpdateItem", lambda: submitted.append(ada.submit(sandbox.session_id)))
    assert ask_idle(sandbox) == "live"
    assert sandbox.platform.session(sandbox.session_id).open_tasks == set(submitted)


def test_a_task_submitted_at_that_moment_by_a_function_that_then_died_keeps_the_session(
    ada: Person, wire: Wire, clock: Clock
) -> None:
    """It came to write the task, but neither to note the activity nor to start the machine: reconcile will."""
    sandbox = ada.ready(idleTimeoutSeconds=5)
    clock.pass_(10)
    request = {"sessionId": sandbox.session_id, "task": "true"}
    wire.refuse("StartExecution", "ServiceUnavailable", 503, times=4)
    wire.before("UpdateItem", lambda: ada.post("/api/orchestrator", request))
    assert ask_idle(sandbox) == "live"
    assert len(sandbox.platform.session(sandbox.session_id).open_tasks) == 1


def test_keeping_alive_at_the_very_moment_that_idle_is_decided_keeps_the_session(
    ada: Person, wire: Wire, clock: Clock
) -> None:
    sandbox = ada.ready(idleTimeoutSeconds=20)
    clock.pass_(30)
    path = f"/api/orchestrator/session/{sandbox.session_id}/keep-alive"
    wire.before("UpdateItem", lambda: ada.post(path))
    assert ask_idle(sandbox) == "live"


def test_a_session_that_closes_while_a_task_is_submitted_refuses_it_and_holds_nothing(
    ada: Person, wire: Wire, clock: Clock
) -> None:
    sandbox = ada.ready(idleTimeoutSeconds=5)
    clock.pass_(10)
    wire.before("TransactWriteItems", lambda: ask_idle(sandbox))
    answer = ada.post("/api/orchestrator", {"sessionId": sandbox.session_id, "task": "true"})
    assert (answer.status, answer.code) == (410, "session_closed")
    assert ada.money.held == 0
    assert not any(call["name"].startswith("wf_") and len(call["name"]) > 23 for call in wire.asked("StartExecution"))


# Rule 3: of many activities in a debounce one beats


def test_of_many_activities_one_beats(ada: Person, wire: Wire, clock: Clock) -> None:
    sandbox = ada.ready(idleTimeoutSeconds=600)
    clock.pass_(61)
    for _ in range(3):
        ada.submit(sandbox.session_id, timeoutSeconds=1)
        ada.post(f"/api/orchestrator/session/{sandbox.session_id}/keep-alive")
        sandbox.heartbeat()
    assert wire.beats == [sandbox.live_token]
    clock.pass_(61)
    sandbox.heartbeat()
    assert wire.beats == [sandbox.live_token] * 2


def test_of_two_activities_at_once_one_beats(ada: Person, sandbox: Sandbox, wire: Wire, clock: Clock) -> None:
    path = f"/api/orchestrator/session/{sandbox.session_id}/keep-alive"
    clock.pass_(10_000)
    wire.before("UpdateItem", lambda: ada.post(path))
    ada.post(path)
    assert wire.beats == [sandbox.live_token]


def test_reading_and_listening_are_no_activity(ada: Person, sandbox: Sandbox, wire: Wire, clock: Clock) -> None:
    before = sandbox.platform.session(sandbox.session_id).last_active
    clock.pass_(10_000)
    ada.get(f"/api/orchestrator/session/{sandbox.session_id}")
    ada.listen(session=sandbox.session_id)
    sandbox.heartbeat()
    assert (sandbox.platform.session(sandbox.session_id).last_active, wire.beats) == (before, [])


def test_the_agents_heartbeat_beats_while_a_task_runs(ada: Person, sandbox: Sandbox, wire: Wire, clock: Clock) -> None:
    ada.submit(sandbox.session_id)
    clock.pass_(10_000)
    sandbox.heartbeat()
    assert wire.beats == [sandbox.live_token]


# Rule 4: the first terminal write wins, in one transaction with the money


def test_settling_twice_charges_once(ada: Person, sandbox: Sandbox) -> None:
    workflow_id = ada.submit(sandbox.session_id)
    sandbox.run(workflow_id)
    first = sandbox.finish(workflow_id)
    settle(sandbox.platform, workflow_id)
    assert sandbox.platform.task(workflow_id) == first
    assert (ada.money.charged, ada.money.held, ada.money.available) == (1, 0, 99)


def test_two_that_settle_at_once_charge_once(ada: Person, sandbox: Sandbox, wire: Wire) -> None:
    """Also while another task holds as much, of which a second settling could take."""
    ada.submit(sandbox.session_id)
    workflow_id = ada.submit(sandbox.session_id)
    sandbox.run(workflow_id)
    sandbox.started(workflow_id)
    sandbox.exit(workflow_id)
    wire.before("TransactWriteItems", lambda: settle(sandbox.platform, workflow_id))
    settle(sandbox.platform, workflow_id)
    assert (ada.money.charged, ada.money.held, ada.money.available) == (1, 5, 94)
    lines = list(table.query_all(keys.user_partition(ada.user_id), prefix="LEDGER#"))
    assert [line["credits"] for line in lines] == [100, -1]


def test_a_conflict_while_settling_is_tried_again(ada: Person, sandbox: Sandbox, wire: Wire) -> None:
    workflow_id = ada.submit(sandbox.session_id)
    sandbox.run(workflow_id)
    sandbox.exit(workflow_id)
    conflict = [{"Code": "TransactionConflict"}]
    wire.refuse("TransactWriteItems", "TransactionCanceledException", times=2, CancellationReasons=conflict)
    settle(sandbox.platform, workflow_id)
    assert sandbox.platform.task(workflow_id).status == "completed"


def test_an_exit_after_the_task_was_declared_lost_changes_nothing_and_is_answered_stop(
    ada: Person, sandbox: Sandbox
) -> None:
    workflow_id = ada.submit(sandbox.session_id)
    sandbox.run(workflow_id)
    sandbox.started(workflow_id)
    sandbox.stopped()
    settle(sandbox.platform, workflow_id)
    lost = sandbox.platform.task(workflow_id)
    assert lost.status == "lost"
    assert sandbox.exit(workflow_id) == {"stored": 0, "stop": True, "accepted": True}
    assert sandbox.platform.task(workflow_id) == lost
    assert ada.money.charged == 1


@pytest.mark.parametrize("method", ["started", "ended", "exit", "progress", "output"])
def test_every_message_about_a_task_that_is_over_is_answered_stop(ada: Person, sandbox: Sandbox, method: str) -> None:
    workflow_id = ada.submit(sandbox.session_id)
    sandbox.run(workflow_id)
    before = sandbox.finish(workflow_id, b"abc")
    params = {"offset": 3, "runs": [["stdout", 1]], "data": "YQ==", "percent": 1, "end": EXITED.params()}
    answer = sandbox.socket.call(method, workflowId=workflow_id, outputBytes=3, **params)
    assert answer["stop"] is True
    assert (sandbox.platform.task(workflow_id), logs.get(workflow_id).stored) == (before, 3)


def test_output_stored_while_the_task_is_settled_is_either_counted_or_refused(
    ada: Person, sandbox: Sandbox, wire: Wire
) -> None:
    """The log grew between the look at its length and the settling: the length that is shown must be the log's."""
    workflow_id = ada.submit(sandbox.session_id)
    sandbox.run(workflow_id)
    sandbox.output(workflow_id, 0, b"abc")
    cancelled_by = End("cancelled", 10, signal="TERM")
    sandbox.ended(workflow_id, cancelled_by)
    sandbox.stopped()
    wire.before("TransactWriteItems", lambda: sandbox.output(workflow_id, 3, b"def"))
    settle(sandbox.platform, workflow_id)
    task = sandbox.platform.task(workflow_id)
    assert task.output_bytes == logs.get(workflow_id).stored == 6
    assert ada.get(f"/api/workflow/{workflow_id}/output").body["complete"] is True


def test_the_first_output_of_all_stored_while_the_task_is_settled_is_counted(
    ada: Person, sandbox: Sandbox, wire: Wire
) -> None:
    workflow_id = ada.submit(sandbox.session_id)
    sandbox.run(workflow_id)
    sandbox.stopped()
    wire.before("TransactWriteItems", lambda: sandbox.output(workflow_id, 0, b"abc"))
    settle(sandbox.platform, workflow_id)
    assert sandbox.platform.task(workflow_id).output_bytes == logs.get(workflow_id).stored == 3


def test_an_exit_that_comes_while_the_task_is_called_lost_counts(ada: Person, sandbox: Sandbox, wire: Wire) -> None:
    workflow_id = ada.submit(sandbox.session_id)
    sandbox.run(workflow_id)
    sandbox.started(workflow_id)
    sandbox.stopped()
    wire.before("TransactWriteItems", lambda: sandbox.exit(workflow_id, 0, End("exited", 61_000, exit_code=4)))
    settle(sandbox.platform, workflow_id)
    task = sandbox.platform.task(workflow_id)
    assert (task.status, task.exit_code, task.charged) == ("completed", 4, 2)


def test_a_start_that_comes_while_the_task_is_called_lost_is_charged(ada: Person, sandbox: Sandbox, wire: Wire) -> None:
    workflow_id = ada.submit(sandbox.session_id)
    sandbox.run(workflow_id)
    sandbox.stopped()
    wire.before("TransactWriteItems", lambda: sandbox.started(workflow_id))
    settle(sandbox.platform, workflow_id)
    task = sandbox.platform.task(workflow_id)
    assert task.started_at is not None
    assert (task.status, task.charged) == ("lost", 1)


def test_a_shutdown_in_a_session_that_nobody_closed_is_a_loss_and_no_cancel(ada: Person, sandbox: Sandbox) -> None:
    """Its host ended the agent, which reports that before anybody else knows."""
    workflow_id = ada.submit(sandbox.session_id)
    sandbox.run(workflow_id)
    sandbox.started(workflow_id)
    task = sandbox.finish(workflow_id, end=End("shutdown", 700, signal="TERM"))
    assert (task.status, task.reason, task.signal) == ("lost", "sandbox_stopped", "TERM")


def test_what_became_of_a_task_is_decided_by_the_table_and_not_by_the_path(ada: Person, sandbox: Sandbox) -> None:
    """The machine's backstop rang, but the exit stands in the table: it completed."""
    workflow_id = ada.submit(sandbox.session_id)
    sandbox.run(workflow_id)
    sandbox.exit(workflow_id, 0, End("exited", 5, exit_code=7))
    sandbox.stopped()
    settle(sandbox.platform, workflow_id)
    task = sandbox.platform.task(workflow_id)
    assert (task.status, task.exit_code) == ("completed", 7)


# Rule 5: a broken connection alone never makes a task lost


@pytest.mark.parametrize("broken", ["disconnected", "gone", "silent for a minute"])
def test_a_broken_connection_alone_never_makes_a_task_lost(
    ada: Person, sandbox: Sandbox, wire: Wire, clock: Clock, broken: str
) -> None:
    workflow_id = ada.submit(sandbox.session_id)
    sandbox.run(workflow_id)
    sandbox.started(workflow_id)
    breaks: dict[str, Callable[[], object]] = {
        "disconnected": sandbox.socket.disconnect,
        "gone": lambda: wire.gone.add(sandbox.socket.connection_id),
        "silent for a minute": lambda: clock.pass_(60),
    }
    breaks[broken]()
    clock.pass_(50)
    cancel(ada, workflow_id)
    handler.handle({}, Invocation.context())
    assert sandbox.platform.task(workflow_id).status == "running"
    assert wire.asked("StopTask") == []
    sandbox.dial()
    assert sandbox.hello(workflow_id)["stop"] == []
    assert sandbox.output(workflow_id, 0, b"still here")["stored"] == 10


def test_a_sandbox_that_is_gone_makes_its_task_lost_and_charged_for_what_ran(
    ada: Person, sandbox: Sandbox, clock: Clock
) -> None:
    workflow_id = ada.submit(sandbox.session_id, timeoutSeconds=3600)
    sandbox.run(workflow_id)
    sandbox.started(workflow_id)
    clock.pass_(90)
    sandbox.heartbeat(workflow_id)
    clock.pass_(1000)
    sandbox.stopped(reason="OutOfMemoryError: Container killed due to memory usage")
    settle(sandbox.platform, workflow_id)
    task = sandbox.platform.task(workflow_id)
    assert (task.status, task.reason, task.exit_code, task.charged) == ("lost", "oom", None, 2)


# Rule 6: exec at most once per sandbox


def test_a_task_is_marked_as_given_before_it_is_given(ada: Person, sandbox: Sandbox, wire: Wire) -> None:
    """Given first, an answer of the sandbox could come to a task that nobody had given it."""
    workflow_id = ada.submit(sandbox.session_id)
    marked: list[bool] = []
    wire.before("PostToConnection", lambda: marked.append(sandbox.platform.task(workflow_id).dispatched))
    sandbox.run(workflow_id)
    assert marked == [True]


def test_a_task_submitted_before_hello_is_given_by_the_hello(ada: Person) -> None:
    sandbox = ada.sandbox()
    workflow_id = ada.submit(sandbox.session_id)
    sandbox.run(workflow_id)
    sandbox.dial()
    sandbox.hello()
    assert sandbox.given() == [workflow_id]


def test_a_hello_just_after_the_look_for_a_connection_gives_the_task(ada: Person, wire: Wire) -> None:
    """The machine saw no connection, and the hello comes before the machine has said so."""
    sandbox = ada.sandbox()
    workflow_id = ada.submit(sandbox.session_id)
    sandbox.dial()
    wire.before("GetItem", sandbox.hello)
    sandbox.run(workflow_id)
    assert set(sandbox.given()) == {workflow_id}


def test_a_hello_on_a_new_connection_while_a_task_goes_to_the_old_one_gives_it_again(
    ada: Person, sandbox: Sandbox, wire: Wire
) -> None:
    workflow_id = ada.submit(sandbox.session_id)
    old = sandbox.socket

    def reconnect() -> None:
        sandbox.dial()
        sandbox.hello()

    wire.before("PostToConnection", reconnect)
    wire.gone.add(old.connection_id)
    sandbox.run(workflow_id)
    assert workflow_id in sandbox.given()


def test_a_sandbox_that_is_to_stop_gets_no_new_task(ada: Person, platform: Platform) -> None:
    """Neither from its hello nor from the task's own machine."""
    sandbox = ada.sandbox()
    early, late = ada.submit(sandbox.session_id), ada.submit(sandbox.session_id)
    sandbox.run(early)
    close(ada, sandbox.session_id)
    sandbox.dial()
    sandbox.hello()
    sandbox.heartbeat()
    sandbox.run(late)
    assert sandbox.given() == []
    sandbox.stopped()
    for workflow_id in (early, late):
        settle(platform, workflow_id)
        task = platform.task(workflow_id)
        assert (task.status, task.reason, task.charged) == ("cancelled", "session_closed", 0)


def test_a_doubled_hello_that_names_the_task_does_not_get_it_again(ada: Person, sandbox: Sandbox) -> None:
    workflow_id = ada.submit(sandbox.session_id)
    sandbox.run(workflow_id)
    for _ in range(2):
        sandbox.hello(workflow_id)
    assert sandbox.given() == [workflow_id]
    assert sandbox.posted("superseded") == []


def test_a_late_disconnect_of_an_old_connection_removes_nothing_newer(ada: Person, sandbox: Sandbox) -> None:
    old = sandbox.socket
    sandbox.dial()
    sandbox.hello()
    old.disconnect()
    workflow_id = ada.submit(sandbox.session_id)
    sandbox.run(workflow_id)
    assert sandbox.given() == [workflow_id]


def test_a_disconnect_of_the_present_connection_is_noted_and_a_heartbeat_takes_it_back(
    ada: Person, sandbox: Sandbox
) -> None:
    """AWS may tell of a connection's end that the agent never noticed, or that came before it dialled again."""
    sandbox.socket.disconnect()
    assert sandbox.platform.session(sandbox.session_id).connection_id is None
    sandbox.dial()
    sandbox.heartbeat()
    assert sandbox.platform.session(sandbox.session_id).connection_id == sandbox.socket.address


def test_a_late_heartbeat_of_an_old_connection_takes_nothing_from_a_newer(ada: Person, sandbox: Sandbox) -> None:
    old = sandbox.socket
    sandbox.dial()
    sandbox.hello()
    old.call("heartbeat", tasks=[])
    workflow_id = ada.submit(sandbox.session_id)
    sandbox.run(workflow_id)
    assert sandbox.given() == [workflow_id]


def test_a_connection_that_a_late_hello_named_though_it_was_gone_is_forgotten_for_the_one_that_lives(
    ada: Person, sandbox: Sandbox, wire: Wire
) -> None:
    """The line broke as soon as hello was out, and a cold function handled it behind the hello of the next line, and
    behind the end of its own: nobody comes to take its address away."""
    dead = sandbox.dial()

    def reconnect() -> None:
        wire.gone.add(dead.connection_id)
        sandbox.dial()
        sandbox.hello()
        dead.disconnect()

    wire.before("UpdateItem", reconnect)
    dead.call("hello", instance=sandbox.instance, version="1", tasks=[])
    assert sandbox.platform.session(sandbox.session_id).connection_id == dead.address
    workflow_id = ada.submit(sandbox.session_id)
    sandbox.run(workflow_id)
    assert sandbox.given() == []
    sandbox.heartbeat()
    assert sandbox.given() == [workflow_id]


def test_a_connection_that_could_not_be_posted_to_for_another_reason_is_kept(
    ada: Person, sandbox: Sandbox, wire: Wire
) -> None:
    wire.refuse("PostToConnection", "LimitExceededException", 429)
    sandbox.run(ada.submit(sandbox.session_id))
    assert sandbox.platform.session(sandbox.session_id).connection_id == sandbox.socket.address


def test_the_overtaken_connection_is_told_that_it_is_superseded(sandbox: Sandbox, wire: Wire) -> None:
    old = sandbox.socket
    sandbox.dial()
    sandbox.hello()
    assert wire.posted(old.connection_id)[-1] == {"jsonrpc": "2.0", "method": "superseded", "params": {}}
    assert sandbox.posted("superseded") == []


def test_a_task_cancelled_after_it_was_given_ends_cancelled_even_where_it_never_arrived(
    ada: Person, sandbox: Sandbox, wire: Wire
) -> None:
    """Exec and signal were both lost with the old connection: the agent gets both again, and reports."""
    workflow_id = ada.submit(sandbox.session_id)
    wire.gone.add(sandbox.socket.connection_id)
    token = sandbox.run(workflow_id)
    cancel(ada, workflow_id)
    sandbox.dial()
    answer = sandbox.hello()
    assert answer["tasks"] == [{"workflowId": workflow_id, "signal": "TERM"}]
    assert sandbox.given() == [workflow_id]
    assert token not in wire.woken
    sandbox.exit(workflow_id, 0, End("not_started", 0, message="cancelled before it began"))
    assert token in wire.woken
    settle(sandbox.platform, workflow_id)
    task = sandbox.platform.task(workflow_id)
    assert (task.status, task.charged) == ("cancelled", 0)


def test_a_signal_goes_to_the_sandbox_once_it_has_the_task(ada: Person, sandbox: Sandbox, wire: Wire) -> None:
    workflow_id = ada.submit(sandbox.session_id)
    token = sandbox.run(workflow_id)
    cancel(ada, workflow_id)
    assert [message["params"] for message in sandbox.posted("signal")] == [
        {"workflowId": workflow_id, "signal": "TERM"}
    ]
    assert token not in wire.woken


# Rule 7: launch once


def test_every_try_to_launch_asks_for_the_same_with_the_same_client_token(ada: Person, wire: Wire) -> None:
    """The first try reached ECS, and then its function died."""
    session_id = ada.open_session(cpu=512, memory=1024)
    wire.before("RunTask", lambda: wire.refuse("UpdateItem", "InternalServerError", 500, times=4))
    with pytest.raises(Exception, match="InternalServerError"):
        ada.sandbox(session_id)
    sandbox = ada.sandbox(session_id)
    first, second = wire.asked("RunTask")
    assert first == second
    assert (first["clientToken"], first["startedBy"], first["count"]) == (session_id, session_id, 1)
    assert (first["overrides"]["cpu"], first["overrides"]["memory"]) == ("512", "1024")
    assert len(wire.sandboxes) == 1
    sandbox.dial()
    sandbox.hello()


def test_a_launch_repeated_after_the_agent_came_launches_nothing_and_lets_go(ada: Person, wire: Wire) -> None:
    sandbox = ada.sandbox()
    sandbox.dial()
    sandbox.hello()
    token = sandbox.platform.enter("launch_sandbox", sessionId=sandbox.session_id)
    assert len(wire.asked("RunTask")) == 1
    assert token in wire.woken


def test_a_launch_repeated_before_the_agent_that_came_said_hello_waits_for_the_hello(
    ada: Person, platform: Platform, wire: Wire
) -> None:
    sandbox = ada.sandbox()
    sandbox.dial()
    token = platform.enter("launch_sandbox", sessionId=sandbox.session_id)
    assert len(wire.asked("RunTask")) == 1
    assert wire.woken == []
    sandbox.hello()
    assert wire.woken == [token]


def test_a_session_closed_while_its_sandbox_is_launched_has_it_stopped(
    ada: Person, platform: Platform, wire: Wire
) -> None:
    """The machine looked for a sandbox to stop before there was one."""
    session_id = ada.open_session()

    def end() -> None:
        close(ada, session_id)
        platform.enter("stop_sandbox", sessionId=session_id)
        platform.step("end_session", sessionId=session_id)

    wire.before("RunTask", end)
    platform.enter("launch_sandbox", sessionId=session_id)
    assert platform.session(session_id).status == "closed"
    assert [call["task"] for call in wire.asked("StopTask")] == list(wire.sandboxes)
    assert len(wire.sandboxes) == 1


def test_a_session_closed_before_its_launch_is_not_launched(ada: Person, wire: Wire) -> None:
    session_id = ada.open_session()
    close(ada, session_id)
    assert ada.platform.enter("launch_sandbox", sessionId=session_id) in wire.woken
    assert wire.asked("RunTask") == []


@pytest.mark.parametrize(
    ("reason", "error"),
    [
        ("Capacity is unavailable at this time", "NoCapacity"),
        ("RESOURCE:MEMORY", "NoCapacity"),
        ("MISSING", "LaunchRefused"),
    ],
)
def test_a_failure_in_a_reply_of_status_200_is_an_error_by_the_name_that_the_machine_catches(
    ada: Person, wire: Wire, reason: str, error: str
) -> None:
    wire.no_room = reason
    with pytest.raises(Exception, match=reason.split(":", maxsplit=1)[0]) as refused:
        ada.sandbox()
    assert type(refused.value).__name__ == error


def test_an_event_that_comes_before_runtask_returned_is_not_lost(ada: Person, wire: Wire) -> None:
    session_id = ada.open_session()
    early = Sandbox(ada.platform, session_id, "")
    wire.before("RunTask", early.stopped)
    token = ada.platform.enter("launch_sandbox", sessionId=session_id)
    session = ada.platform.session(session_id)
    assert (session.status, session.gone) == ("closing", "sandbox_stopped")
    assert session.task_arn is not None
    assert token in wire.woken


def test_a_sandboxs_environment_has_its_token_and_no_other_secret(ada: Person, wire: Wire) -> None:
    ada.sandbox(env={"TOKEN": "s3cret"})
    (asked,) = wire.asked("RunTask")
    variables = {entry["name"] for entry in asked["overrides"]["containerOverrides"][0]["environment"]}
    assert variables == {"FILEPATH_AGENTS_URL", "FILEPATH_SESSION", "FILEPATH_TOKEN"}
    assert "s3cret" not in str(asked)


# Tokens never leave Lambda


def test_no_callback_token_is_shown_or_sent_to_anybody(ada: Person, sandbox: Sandbox, wire: Wire) -> None:
    socket = ada.listen()
    workflow_id = ada.submit(sandbox.session_id)
    token = sandbox.run(workflow_id)
    answers = [
        ada.get(f"/api/workflow/{workflow_id}").text,
        ada.get(f"/api/orchestrator/session/{sandbox.session_id}").text,
        str(sandbox.hello(workflow_id)),
    ]
    sandbox.finish(workflow_id)
    answers += [str(wire.posted()), str(wire.posted(socket.connection_id)), str(wire.asked("StartExecution"))]
    assert not any(secret in text for text in answers for secret in (token, sandbox.live_token, sandbox.launch_token))


def test_a_session_as_it_is_remembered_has_forgotten_its_secrets(ada: Person, sandbox: Sandbox) -> None:
    close(ada, sandbox.session_id)
    sandbox.stopped()
    sandbox.platform.step("end_session", sessionId=sandbox.session_id)
    session = sandbox.platform.session(sandbox.session_id)
    assert session == replace(session, token=None, wake_token=None, connection_id=None)
    assert "tokenHash" not in (table.get(keys.session(sandbox.session_id)) or {})
    assert table.get(keys.session_env(sandbox.session_id)) is None
