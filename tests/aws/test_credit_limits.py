"""A key with a limit of its own: what is held and charged for its tasks is never more, whatever the account has."""

from __future__ import annotations

from typing import Any

import pytest

from filepath.protocol import End
from tests.aws.gateway import CLIENTS_API, Answer, Rest, Socket
from tests.aws.people import Person, Sandbox
from tests.aws.wire import Wire

CREATE_KEY, DELETE_KEY, EXECUTE = "/api/auth/api-key/create", "/api/auth/api-key/delete", "/api/orchestrator"


@pytest.fixture
def limited(ada: Person) -> dict[str, Any]:
    """A key for ten credits."""
    return ada.post(CREATE_KEY, {"name": "ci", "creditLimit": 10}).body


def submit(key: dict[str, Any], sandbox: Sandbox, minutes: int, **more: Any) -> Answer:
    body = {"sessionId": sandbox.session_id, "task": "true", "timeoutSeconds": minutes * 60, **more}
    return Rest(key["key"])("POST", EXECUTE, body)


def left(person: Person, key: dict[str, Any]) -> Any:
    listed = person.get("/api/auth/api-key/list").body["keys"]
    return next((each["creditsLeft"] for each in listed if each["id"] == key["id"]), "no such key")


def refused(answer: Answer, needed: int, available: int) -> bool:
    assert (answer.status, answer.code) == (402, "insufficient_credits"), answer.text
    assert "this key's own limit" in answer.body["error"]["message"]
    assert answer.body["error"]["details"] == {"needed": needed, "available": available, "creditLimit": 10}
    return True


def test_a_key_holds_no_more_than_its_limit_though_the_account_has_more(
    ada: Person, sandbox: Sandbox, limited: dict[str, Any]
) -> None:
    assert submit(limited, sandbox, 6).status == 202
    assert refused(submit(limited, sandbox, 5), 5, 4)
    assert submit(limited, sandbox, 4).status == 202
    assert (left(ada, limited), ada.money.held) == (0, 10)
    ada.submit(sandbox.session_id, timeoutSeconds=3600)


@pytest.mark.parametrize("stdin", ["", "x" * 20_000], ids=["small", "large"])
def test_a_refusal_for_the_limit_holds_and_writes_nothing(
    ada: Person, sandbox: Sandbox, limited: dict[str, Any], wire: Wire, stdin: str
) -> None:
    wire.seen.clear()
    assert refused(submit(limited, sandbox, 11, stdin=stdin), 11, 10)
    assert {operation for operation, _ in wire.seen} <= {"GetItem"}
    assert (left(ada, limited), ada.money.held) == (10, 0)


def test_two_tasks_at_once_do_not_both_get_the_last_credits(
    ada: Person, sandbox: Sandbox, limited: dict[str, Any], wire: Wire
) -> None:
    first: list[Answer] = []
    wire.before("TransactWriteItems", lambda: first.append(submit(limited, sandbox, 6)))
    second = submit(limited, sandbox, 6)
    assert first[0].status == 202
    assert refused(second, 6, 4)
    assert (left(ada, limited), ada.money.held) == (4, 6)


def test_a_charge_moves_the_limit_and_the_rest_of_the_hold_comes_back(
    ada: Person, sandbox: Sandbox, limited: dict[str, Any]
) -> None:
    for minutes, expected in ((3, 7), (7, 0)):
        workflow_id = submit(limited, sandbox, left(ada, limited)).body["workflowId"]
        sandbox.run(workflow_id)
        sandbox.finish(workflow_id, end=End("exited", minutes * 60_000, exit_code=0))
        assert left(ada, limited) == expected
    assert refused(submit(limited, sandbox, 1), 1, 0)
    assert ada.money.charged == 10


def test_what_never_started_is_given_back_whole(ada: Person, sandbox: Sandbox, limited: dict[str, Any]) -> None:
    workflow_id = submit(limited, sandbox, 10).body["workflowId"]
    ada.post(f"/api/workflow/{workflow_id}/cancel")
    sandbox.platform.step("settle", workflowId=workflow_id)
    assert left(ada, limited) == 10


@pytest.mark.parametrize("when", ["before", "meanwhile"])
def test_a_key_that_was_deleted_stays_so_when_its_task_is_settled(
    ada: Person, sandbox: Sandbox, limited: dict[str, Any], wire: Wire, when: str
) -> None:
    workflow_id = submit(limited, sandbox, 10).body["workflowId"]
    sandbox.run(workflow_id)
    if when == "before":
        ada.post(DELETE_KEY, {"keyId": limited["id"]})
    else:
        sandbox.started(workflow_id)
        sandbox.exit(workflow_id)
        wire.before("TransactWriteItems", lambda: ada.post(DELETE_KEY, {"keyId": limited["id"]}))
    assert sandbox.finish(workflow_id).charged == 1
    assert left(ada, limited) == "no such key"
    assert (ada.money.held, ada.money.charged) == (0, 1)


def test_a_key_that_was_deleted_meanwhile_submits_nothing(
    ada: Person, sandbox: Sandbox, limited: dict[str, Any], wire: Wire
) -> None:
    wire.before("TransactWriteItems", lambda: ada.post(DELETE_KEY, {"keyId": limited["id"]}))
    assert submit(limited, sandbox, 1).code == "unauthenticated"
    assert ada.money.held == 0


def test_the_limit_holds_on_the_sockets_of_the_key_too(ada: Person, sandbox: Sandbox, limited: dict[str, Any]) -> None:
    by_ticket, by_key = Socket(CLIENTS_API), Socket(CLIENTS_API)
    ticket = Rest(limited["key"])("POST", "/api/socket-ticket").body["ticket"]
    assert by_ticket.connect(query={"ticket": ticket}) == by_key.connect({"x-api-key": limited["key"]}) == 200
    for socket in (by_ticket, by_key):
        params = {"sessionId": sandbox.session_id, "task": "true"}
        assert socket.refusal("executeTask", **params, timeoutSeconds=660)["data"]["error"]["details"]["needed"] == 11
        assert socket.call("executeTask", **params, timeoutSeconds=60)["status"] == "queued"
    assert left(ada, limited) == 8


def test_a_key_with_a_limit_makes_no_keys(ada: Person, limited: dict[str, Any]) -> None:
    assert "keys:write" not in limited["scopes"]
    assert Rest(limited["key"])("POST", CREATE_KEY, {"name": "without"}).status == 403
