"""The same request again gives the same answer and does nothing more; another under its key is refused."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from typing import Any

import pytest

from filepath.access import ALL_SCOPES
from filepath.aws import keys, table
from filepath.operations import registry
from tests.aws.conftest import Clock
from tests.aws.gateway import Answer, Rest
from tests.aws.people import Person, Platform
from tests.aws.wire import Wire

Body = dict[str, Any]


def _session(person: Person) -> Body:
    return {"name": "build"}


def _task(person: Person) -> Body:
    return {"sessionId": person.open_session(), "task": "true"}


def _key(person: Person) -> Body:
    return {"name": "ci"}


CREATING: dict[str, tuple[Callable[[Person], Body], Body]] = {
    "create_session": (_session, {"name": "another"}),
    "execute_task": (_task, {"task": "false"}),
    "create_key": (_key, {"name": "another"}),
}
"""A body for each operation that creates, and what makes another of it."""
creating = pytest.mark.parametrize("name", CREATING)


def path_of(name: str) -> str:
    return registry.operations()[name].path


def test_every_operation_that_creates_is_tried_here() -> None:
    """Signing up is tried with the accounts: it gives a fresh token, since none is ever stored."""
    creates = {entry.name for entry in registry.operations().values() if entry.creates}
    assert creates == CREATING.keys() | {"sign_up"}


@creating
def test_the_same_request_again_gives_the_first_answer_and_does_nothing_more(
    ada: Person, wire: Wire, name: str
) -> None:
    body = CREATING[name][0](ada)
    first = ada.post(path_of(name), body, idempotency_key="once")
    before = (wire.executions.copy(), ada.money)
    again = ada.post(path_of(name), body, idempotency_key="once")
    assert first.status in {200, 202}
    assert (again.status, again.body) == (first.status, first.body)
    assert (wire.executions, ada.money) == before


@creating
def test_another_request_under_the_same_key_is_a_conflict(ada: Person, name: str) -> None:
    body = CREATING[name][0](ada)
    assert ada.post(path_of(name), body, idempotency_key="once").status in {200, 202}
    answer = ada.post(path_of(name), {**body, **CREATING[name][1]}, idempotency_key="once")
    assert (answer.status, answer.code) == (409, "conflict")


@creating
def test_two_of_the_same_request_at_once_do_it_once(ada: Person, wire: Wire, name: str) -> None:
    """The second comes between the first's look for an answer and its write."""
    body = CREATING[name][0](ada)
    other = []
    held = ada.money.held
    wire.before("TransactWriteItems", lambda: other.append(ada.post(path_of(name), body, idempotency_key="once").body))
    answer = ada.post(path_of(name), body, idempotency_key="once")
    assert answer.status in {200, 202}, answer.text
    assert [answer.body] == other
    assert ada.money.held - held == (5 if name == "execute_task" else 0)


@creating
def test_without_a_key_each_request_makes_its_own(ada: Person, name: str) -> None:
    body = CREATING[name][0](ada)
    assert ada.post(path_of(name), body).body != ada.post(path_of(name), body).body


@creating
def test_the_key_of_one_account_is_none_of_anothers(ada: Person, bob: Person, name: str) -> None:
    first = ada.post(path_of(name), CREATING[name][0](ada), idempotency_key="once")
    other = bob.post(path_of(name), CREATING[name][0](bob), idempotency_key="once")
    assert other.status == first.status
    assert other.body != first.body


@creating
def test_a_key_is_forgotten_after_a_day(ada: Person, clock: Clock, name: str) -> None:
    body = CREATING[name][0](ada)
    ada.post(path_of(name), body, idempotency_key="once")
    clock.pass_(24 * 3600 - 60)
    assert ada.post(path_of(name), {**body, **CREATING[name][1]}, idempotency_key="once").status == 409


def test_a_key_that_is_over_stands_for_nothing_though_the_table_still_has_it(ada: Person, clock: Clock) -> None:
    """DynamoDB's own deletion lags by days."""
    body = _task(ada)
    first = ada.post(path_of("execute_task"), body, idempotency_key="once")
    clock.pass_(24 * 3600 + 1)
    second = ada.post(path_of("execute_task"), {**body, "task": "false"}, idempotency_key="once")
    assert (first.status, second.status) == (202, 202), second.text
    assert ada.platform.task(second.body["workflowId"]).command == "false"
    assert ada.money.held == 10
    again = ada.post(path_of("execute_task"), {**body, "task": "false"}, idempotency_key="once")
    assert again.body == second.body


def test_two_at_once_with_credits_for_one_are_both_told_that_it_was_accepted(platform: Platform, wire: Wire) -> None:
    poor = platform.person("poor@example.org", credits_granted=5)
    body = _task(poor)
    _both_accepted(poor, wire, "execute_task", body)
    assert poor.money.available == 0


def test_two_at_once_with_room_for_one_are_both_told_that_it_was_accepted(ada: Person, wire: Wire) -> None:
    for _ in range(2):
        ada.open_session()
    _both_accepted(ada, wire, "create_session", {})
    assert len(ada.get("/api/orchestrator/session").body["sessions"]) == 3


def test_the_second_of_two_is_told_that_it_was_accepted_though_the_session_has_closed(ada: Person, wire: Wire) -> None:
    body = _task(ada)
    _both_accepted(
        ada, wire, "execute_task", body, lambda: ada.delete(f"/api/orchestrator/session/{body['sessionId']}")
    )


def _both_accepted(
    person: Person, wire: Wire, name: str, body: Body, then: Callable[[], object] = lambda: None
) -> None:
    first: list[Answer] = []

    def overtake() -> None:
        first.append(person.post(path_of(name), body, idempotency_key="once"))
        then()

    wire.before("TransactWriteItems", overtake)
    second = person.post(path_of(name), body, idempotency_key="once")
    assert [answer.status for answer in (*first, second)] == [202, 202], second.text
    assert second.body == first[0].body


def test_one_key_under_two_operations_is_a_conflict(ada: Person) -> None:
    assert ada.post(path_of("create_session"), {"name": "x"}, idempotency_key="once").status == 202
    assert ada.post(path_of("create_key"), {"name": "x"}, idempotency_key="once").status == 409


def test_a_key_made_again_is_the_same_secret_although_only_its_hash_was_kept(ada: Person) -> None:
    first = ada.post(path_of("create_key"), {"name": "ci"}, idempotency_key="once").body
    again = ada.post(path_of("create_key"), {"name": "ci"}, idempotency_key="once").body
    assert again["key"] == first["key"]
    assert Rest(again["key"])("GET", "/api/credits").status == 200
    assert len(ada.get("/api/auth/api-key/list").body["keys"]) == 2


@pytest.mark.parametrize("scopes", [["tasks:read", "sessions:read"], ["sessions:read", "tasks:read"]])
def test_a_key_with_scopes_in_any_order_is_made_again_by_the_same_request(ada: Person, scopes: list[str]) -> None:
    body = {"name": "ci", "scopes": scopes}
    first, again = (ada.post(path_of("create_key"), body, idempotency_key="once") for _ in range(2))
    assert (again.status, again.body) == (200, first.body)
    assert first.body["scopes"] == sorted(scopes)


def test_a_request_has_the_same_fingerprint_in_every_process() -> None:
    """A set comes in another order in each, and one Lambda instance answers what another made."""
    program = (
        "from filepath.operations.create_key import CreateKey;"
        "from filepath.access import Scope;"
        "print(CreateKey(name='ci', scopes=sorted(Scope)).model_dump_json())"
    )
    dumped = {
        subprocess.run(
            [sys.executable, "-c", program],
            env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path), "PYTHONHASHSEED": str(seed)},
            check=True,
            capture_output=True,
            text=True,
        ).stdout
        for seed in range(2)
    }
    assert len(dumped) == 1


def test_a_key_made_with_one_credential_is_not_shown_to_another(ada: Person) -> None:
    """It could not be: it is derived from the credential. Nor is a second one made in its place."""
    assert ada.post(path_of("create_key"), {"name": "ci"}, idempotency_key="once").status == 200
    other = Rest(ada.another_key(ALL_SCOPES))
    answer = other("POST", path_of("create_key"), {"name": "ci"}, idempotency_key="once")
    assert (answer.status, answer.code) == (409, "conflict")


def test_what_is_kept_of_a_request_for_a_key_does_not_tell_the_key(ada: Person) -> None:
    secret = ada.post(path_of("create_key"), {"name": "ci"}, idempotency_key="once").body["key"]
    kept = table.get(keys.idempotency(ada.user_id, "once"))
    assert kept is not None
    assert secret not in str(kept)


def test_a_key_that_was_deleted_does_not_come_back_by_the_request_that_made_it(ada: Person, clock: Clock) -> None:
    """A day later the request is a new one, and so is the secret."""
    first = ada.post(path_of("create_key"), {"name": "ci"}, idempotency_key="once").body
    assert ada.post("/api/auth/api-key/delete", {"keyId": first["id"]}).status == 200
    clock.pass_(24 * 3600 + 1)
    second = ada.post(path_of("create_key"), {"name": "ci"}, idempotency_key="once").body
    assert second["id"] != first["id"]
    assert second["key"] != first["key"]
    assert Rest(first["key"])("GET", "/api/credits").status == 401
    assert Rest(second["key"])("GET", "/api/credits").status == 200


def test_a_start_that_was_lost_is_made_good_by_the_same_request(ada: Person, wire: Wire) -> None:
    """The write went through, StartExecution did not: a repeated request makes it good, reconcile otherwise."""
    wire.refuse("StartExecution", "ServiceUnavailable", 503, times=50)
    body = {"name": "build"}
    assert ada.post(path_of("create_session"), body, idempotency_key="once").status == 202
    assert list(wire.executions) == []
    wire.let_through()
    answer = ada.post(path_of("create_session"), body, idempotency_key="once")
    assert answer.status == 202
    assert [arn.rpartition(":")[2] for arn in wire.executions] == [answer.body["workflowId"]]
    assert len(ada.get("/api/orchestrator/session").body["sessions"]) == 1


def test_a_start_of_what_has_ended_already_is_a_start(ada: Person, wire: Wire) -> None:
    body = {"sessionId": ada.open_session(), "task": "true"}
    first = ada.post(path_of("execute_task"), body, idempotency_key="once")
    wire.ended.add(first.body["workflowId"])
    again = ada.post(path_of("execute_task"), body, idempotency_key="once")
    assert (again.status, again.body) == (202, first.body)
