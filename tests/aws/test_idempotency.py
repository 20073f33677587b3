"""The same request again gives the same answer and does nothing more; another under its key is refused."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from filepath.operations import registry
from tests.aws.conftest import Clock
from tests.aws.gateway import Rest
from tests.aws.people import Person
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


def test_one_key_under_two_operations_is_a_conflict(ada: Person) -> None:
    assert ada.post(path_of("create_session"), {"name": "x"}, idempotency_key="once").status == 202
    assert ada.post(path_of("create_key"), {"name": "x"}, idempotency_key="once").status == 409


def test_a_key_made_again_is_the_same_secret_although_only_its_hash_was_kept(ada: Person) -> None:
    first = ada.post(path_of("create_key"), {"name": "ci"}, idempotency_key="once").body
    again = ada.post(path_of("create_key"), {"name": "ci"}, idempotency_key="once").body
    assert again["key"] == first["key"]
    assert Rest(again["key"])("GET", "/api/credits").status == 200
    assert len(ada.get("/api/auth/api-key/list").body["keys"]) == 2


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
