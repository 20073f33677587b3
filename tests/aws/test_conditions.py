"""What the writes demand that no ordinary path runs into: what a late, doubled or mistaken call must not change.

`make mutate` takes each condition out in turn; those that the tests of the paths do not hold are held here.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest

from filepath import credit, ids
from filepath.aws import accounts, credits, keys, logs, sessions, table, tasks
from filepath.aws.accounts import ApiKey, User
from filepath.aws.table import TransactionRefused
from filepath.errors import Conflict, FilepathError, SessionClosed
from filepath.protocol import Chunk, End, Run
from filepath.session import Reason, Session, SessionStatus, WaitState
from filepath.task import Outcome, TaskStatus
from tests.aws.conftest import Clock
from tests.aws.people import EXITED, Person, Platform, Sandbox
from tests.aws.wire import Wire

# Accounts and their money


def test_an_account_is_never_opened_over_another(ada: Person) -> None:
    again = User(ada.user_id, "eve@example.org", "Eve", 1, "no password opens it")
    with pytest.raises(FilepathError):
        accounts.sign_up(again, 5, None)
    assert accounts.user_by_email("eve@example.org") is None
    assert ada.money.available == 100


def test_a_key_is_never_put_over_another(ada: Person) -> None:
    key = ApiKey("key_1", ada.user_id, "first", "fp_", "hash of one", frozenset(), 1)
    accounts.create_key(key, None, {})
    with pytest.raises(Conflict):
        accounts.create_key(replace(key, key_id="key_2", user_id="usr_eve"), None, {})
    assert accounts.list_keys("usr_eve") == []
    assert (table.get(keys.secret("hash of one")) or {})["userId"] == ada.user_id


def test_a_grant_that_stands_in_the_ledger_is_not_made_again(ada: Person) -> None:
    accounts.grant(ada.user_id, 50, 7, "request-1")
    with pytest.raises(TransactionRefused):
        accounts.grant(ada.user_id, 50, 7, "request-1")
    assert ada.money.granted == 150


def test_a_grant_to_nobody_makes_no_account(platform: Platform) -> None:
    with pytest.raises(TransactionRefused):
        accounts.grant("usr_nobody", 50, 7, "request-1")
    assert table.get(keys.credit("usr_nobody")) is None


def test_more_is_never_settled_than_is_held(ada: Person, sandbox: Sandbox) -> None:
    ada.submit(sandbox.session_id, timeoutSeconds=180)
    with pytest.raises(TransactionRefused):
        table.transact([credits.settled(ada.user_id, 4, 1)])
    assert (ada.money.held, ada.money.charged) == (3, 0)


def test_a_task_is_settled_once_however_many_are_held(ada: Person, sandbox: Sandbox) -> None:
    """Two settle it at once, and the hold of another task would cover the second."""
    first, _ = ada.submit(sandbox.session_id), ada.submit(sandbox.session_id)
    platform, read = sandbox.platform, sandbox.platform.task(first)
    became = Outcome(TaskStatus.LOST, "no_report", run_ms=61_000)
    assert tasks.settle(read, platform.session(sandbox.session_id), became, 0, 8) is not None
    assert tasks.settle(read, platform.session(sandbox.session_id), became, 0, 9) is None
    assert (ada.money.held, ada.money.charged) == (credit.hold_for(300), 2)


def test_a_task_is_submitted_once(ada: Person, sandbox: Sandbox) -> None:
    task = sandbox.platform.task(ada.submit(sandbox.session_id))
    with pytest.raises(TransactionRefused):
        tasks.submit(replace(task, command="another"), {}, {}, None)
    assert sandbox.platform.task(task.workflow_id) == task
    assert ada.money.held == task.held


def test_a_task_is_not_submitted_to_somebody_elses_session(ada: Person, bob: Person, sandbox: Sandbox) -> None:
    """Whose it is was read before; here it counts once more, with the write."""
    task = sandbox.platform.task(ada.submit(sandbox.session_id))
    other = ids.task_id(sandbox.session_id, 1, b"another's entropy"[:16])
    with pytest.raises(SessionClosed):
        tasks.submit(replace(task, workflow_id=other, user_id=bob.user_id), {}, {}, None)
    assert bob.money.held == 0


def test_a_task_is_not_submitted_to_a_sandbox_known_to_be_gone(ada: Person, sandbox: Sandbox) -> None:
    """That the session closes is written next, by whoever declared the sandbox gone."""
    sessions.gone(sandbox.session_id, Reason.OOM)
    assert ada.post("/api/orchestrator", {"sessionId": sandbox.session_id, "task": "true"}).status == 410
    assert ada.money.held == 0


# Sessions


def test_a_session_is_never_created_over_another(ada: Person, sandbox: Sandbox) -> None:
    session = sandbox.platform.session(sandbox.session_id)
    with pytest.raises(TransactionRefused):
        sessions.create(replace(session, name="another"), {"A": "1"}, {}, None)
    assert sandbox.platform.session(session.session_id).name is None
    assert sessions.environment(session.session_id) == {}
    counted = table.get(keys.STACK)
    assert counted is not None
    assert counted["sandboxes"] == 1


@pytest.mark.parametrize(
    "write",
    [
        lambda session_id: sessions.heard(session_id, "api/stage/connection", 1),
        lambda session_id: sessions.launched(session_id, "arn"),
        lambda session_id: sessions.awaits(session_id, WaitState.LIVE, "token", 1),
    ],
    ids=["heard", "launched", "awaits"],
)
def test_nothing_is_written_about_a_session_that_is_not_there(
    platform: Platform, unknown_session: str, write: Callable[[str], Session | None]
) -> None:
    assert write(unknown_session) is None
    assert table.get(keys.session(unknown_session)) is None


def test_a_connection_of_another_agent_does_not_become_the_sessions(ada: Person, sandbox: Sandbox) -> None:
    before = sandbox.platform.session(sandbox.session_id).connection_id
    assert sessions.connected(sandbox.session_id, "another instance", "api/stage/another", 1) is None
    assert sandbox.platform.session(sandbox.session_id).connection_id == before


def test_a_hello_after_the_sandbox_was_declared_gone_is_told_to_end(ada: Person, sandbox: Sandbox) -> None:
    sandbox.stopped()
    refused = sandbox.socket.refusal("hello", instance=sandbox.instance, version="1", tasks=[])
    assert refused["data"]["error"]["code"] == "session_closed"
    assert sandbox.platform.session(sandbox.session_id).connection_id is None


def test_activity_in_a_session_that_ends_is_none(ada: Person, sandbox: Sandbox, clock: Clock, wire: Wire) -> None:
    read = sandbox.platform.session(sandbox.session_id)
    sessions.close(sandbox.session_id, Reason.USER, 1)
    clock.pass_(100_000)
    assert not sessions.active(read, clock.now_ms)


def test_of_two_activities_at_once_one_beats_the_alarm(sandbox: Sandbox, clock: Clock) -> None:
    read = sandbox.platform.session(sandbox.session_id)
    clock.pass_(100_000)
    assert sessions.active(read, clock.now_ms)
    assert not sessions.active(read, clock.now_ms)


def test_a_session_closed_as_idle_is_decided_keeps_the_reason_of_its_caller(
    ada: Person, sandbox: Sandbox, clock: Clock
) -> None:
    read = sandbox.platform.session(sandbox.session_id)
    sessions.close(sandbox.session_id, Reason.USER, 1)
    clock.pass_(100_000)
    assert sessions.close_if_idle(read, clock.now_ms) is None
    assert sandbox.platform.session(sandbox.session_id).reason == "user"


def test_a_session_with_an_open_task_is_not_over(ada: Person, sandbox: Sandbox) -> None:
    ada.submit(sandbox.session_id)
    sessions.close(sandbox.session_id, Reason.USER, 1)
    read = sandbox.platform.session(sandbox.session_id)
    assert not sessions.finish(read, SessionStatus.CLOSED, 2)
    assert sandbox.platform.session(sandbox.session_id) == read


# Tasks and their logs


def over(ada: Person, sandbox: Sandbox) -> str:
    workflow_id = ada.submit(sandbox.session_id)
    sandbox.run(workflow_id)
    sandbox.finish(workflow_id)
    return workflow_id


def test_a_task_that_is_over_waits_for_nothing(ada: Person, sandbox: Sandbox) -> None:
    workflow_id = over(ada, sandbox)
    assert tasks.awaits(workflow_id, "late token", 10**9) is None
    assert sandbox.platform.task(workflow_id).wake_token is None


def test_a_task_settled_as_it_is_given_again_is_not_given(ada: Person, sandbox: Sandbox, wire: Wire) -> None:
    """Its agent comes back, knows nothing of it, and would run it after its end."""
    workflow_id = ada.submit(sandbox.session_id)
    sandbox.run(workflow_id)
    sandbox.exit(workflow_id)
    read = sandbox.platform.task(workflow_id)
    sandbox.platform.step("settle", workflowId=workflow_id)
    assert tasks.dispatch(read.workflow_id) is None


@pytest.mark.parametrize(
    ("method", "params"),
    [
        ("started", {}),
        ("progress", {"percent": 50}),
        ("ended", {"end": EXITED.params()}),
        ("exit", {"end": EXITED.params(), "outputBytes": 0}),
    ],
)
def test_what_an_agent_says_of_a_task_it_was_not_given_is_answered_stop(
    ada: Person, sandbox: Sandbox, method: str, params: dict[str, Any]
) -> None:
    workflow_id = ada.submit(sandbox.session_id)
    read = sandbox.platform.task(workflow_id)
    assert sandbox.socket.call(method, workflowId=workflow_id, **params)["stop"]
    assert sandbox.platform.task(workflow_id) == read


def test_a_task_settled_as_its_output_runs_over_stays_as_it_ended(ada: Person, sandbox: Sandbox) -> None:
    """The log was not sealed yet when its agent sent too much."""
    workflow_id = over(ada, sandbox)
    before = sandbox.platform.task(workflow_id)
    assert tasks.overran(workflow_id) is None
    assert sandbox.platform.task(workflow_id) == before


@pytest.mark.parametrize("method", ["ended", "exit"])
def test_the_first_start_and_the_first_end_count(ada: Person, sandbox: Sandbox, clock: Clock, method: str) -> None:
    workflow_id = ada.submit(sandbox.session_id)
    sandbox.run(workflow_id)
    sandbox.started(workflow_id)
    started_at = sandbox.platform.task(workflow_id).started_at
    sandbox.ended(workflow_id, End("exited", 1500, exit_code=1))
    assert sandbox.platform.task(workflow_id).started_at == started_at
    clock.pass_(5)
    tell = sandbox.ended if method == "ended" else sandbox.exit
    tell(workflow_id, end=End("exited", 90_000, exit_code=2))
    task = sandbox.platform.task(workflow_id)
    assert task.end is not None
    assert (task.end.exit_code, task.started_at) == (1, started_at)


def test_bytes_that_are_stored_stay_what_they_are(ada: Person, sandbox: Sandbox) -> None:
    workflow_id = ada.submit(sandbox.session_id)
    sandbox.run(workflow_id)
    for data in (b"first", b"other"):
        logs.append(workflow_id, Chunk(0, (Run("stdout", 5),), data), 1)
    assert b"".join(chunk.data for chunk in logs.read(workflow_id, 0, 5)) == b"first"
