"""A socket can and hears what its credential may, and only as long as that holds."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from filepath import clock as layer_clock
from filepath import ids
from filepath.access import ALL_SCOPES, Scope
from filepath.aws import accounts
from tests.aws.conftest import Clock
from tests.aws.gateway import CLIENTS_API, Rest, Socket
from tests.aws.people import Person, Sandbox
from tests.aws.wire import Wire

CREATE_KEY, DELETE_KEY = "/api/auth/api-key/create", "/api/auth/api-key/delete"
TOKEN = "fpt_" + "0" * 50


@pytest.fixture
def socket() -> Socket:
    return Socket(CLIENTS_API)


def with_scopes(person: Person, scopes: frozenset[Scope]) -> Person:
    return Person(person.platform, person.user_id, person.another_key(scopes))


def heard(wire: Wire, socket: Socket) -> set[str]:
    return {message["params"]["type"] for message in wire.posted(socket.connection_id)}


def all_that_can_be_heard(person: Person, sandbox: Sandbox) -> None:
    """A task's whole life, and then its session's end."""
    workflow_id = person.submit(sandbox.session_id)
    sandbox.run(workflow_id)
    sandbox.finish(workflow_id, b"hello")
    person.delete(f"/api/orchestrator/session/{sandbox.session_id}")
    sandbox.platform.step("end_session", sessionId=sandbox.session_id)


# Scopes


@pytest.mark.parametrize(
    ("lacking", "expected"),
    [
        (set[Scope](), {"session", "status", "output"}),
        ({Scope.TASKS_READ}, {"session"}),
        ({Scope.SESSIONS_READ}, {"status", "output"}),
        ({Scope.SESSIONS_READ, Scope.TASKS_READ}, set[str]()),
    ],
)
def test_a_socket_hears_what_its_key_may_read(
    ada: Person, sandbox: Sandbox, wire: Wire, lacking: set[Scope], expected: set[str]
) -> None:
    socket = with_scopes(ada, ALL_SCOPES - lacking).listen()
    all_that_can_be_heard(ada, sandbox)
    assert heard(wire, socket) == expected


@pytest.mark.parametrize("lacking", [Scope.TASKS_READ, Scope.SESSIONS_READ])
def test_a_key_cannot_ask_to_hear_of_what_it_may_not_read(
    ada: Person, sandbox: Sandbox, socket: Socket, lacking: Scope
) -> None:
    workflow_id = ada.submit(sandbox.session_id)
    of_session = 403 if lacking is Scope.SESSIONS_READ else 200
    queries = {
        ("session", sandbox.session_id): of_session,
        ("workflow", ids.session_workflow_id(sandbox.session_id)): of_session,
        ("workflow", workflow_id): 403 if lacking is Scope.TASKS_READ else 200,
    }
    key = with_scopes(ada, ALL_SCOPES - {lacking}).key
    for (name, value), status in queries.items():
        assert socket.connect({"x-api-key": key}, {name: value}) == status, (name, value)


# Ends


def by_key(person: Person, socket: Socket) -> None:
    key = person.post(CREATE_KEY, {"name": "short", "expiresInSeconds": 60}).body["key"]
    assert socket.connect({"x-api-key": key}) == 200


def by_token(person: Person, socket: Socket) -> None:
    accounts.keep_token(TOKEN, person.user_id, layer_clock.now_ms() + 60_000)
    assert socket.connect({"Authorization": f"Bearer {TOKEN}"}) == 200


def by_ticket_of_key(person: Person, socket: Socket) -> None:
    key = person.post(CREATE_KEY, {"name": "short", "expiresInSeconds": 60}).body["key"]
    ticket = Rest(key)("POST", "/api/socket-ticket").body["ticket"]
    assert socket.connect(query={"ticket": ticket}) == 200


def by_ticket_made_on_a_socket(person: Person, socket: Socket) -> None:
    first = Socket(CLIENTS_API)
    by_key(person, first)
    assert socket.connect(query={"ticket": first.call("createSocketTicket")["ticket"]}) == 200


@pytest.mark.parametrize("opened", [by_key, by_token, by_ticket_of_key, by_ticket_made_on_a_socket])
def test_a_socket_ends_with_the_credential_that_opened_it(
    ada: Person, sandbox: Sandbox, socket: Socket, wire: Wire, clock: Clock, opened: Callable[[Person, Socket], None]
) -> None:
    """API Gateway keeps it open for two hours all the same: it neither answers nor hears any more."""
    opened(ada, socket)
    clock.pass_(55)
    assert socket.call("getCaller")["user"]["id"] == ada.user_id
    workflow_id = ada.submit(sandbox.session_id)
    sandbox.run(workflow_id)
    sandbox.started(workflow_id)
    assert len(wire.posted(socket.connection_id)) == 1
    clock.pass_(10)
    assert socket.refusal("getCaller")["data"]["error"]["code"] == "not_found"
    sandbox.output(workflow_id, 0, b"secret")
    assert len(wire.posted(socket.connection_id)) == 1


def test_a_key_made_over_a_keys_socket_ends_with_the_key(ada: Person, socket: Socket, clock: Clock) -> None:
    scopes = sorted(ALL_SCOPES)
    key = ada.post(CREATE_KEY, {"name": "short", "expiresInSeconds": 60, "scopes": scopes}).body["key"]
    assert socket.connect({"x-api-key": key}) == 200
    made = socket.call("createKey", name="made")["key"]
    assert Rest(made)("GET", "/api/credits").status == 200
    clock.pass_(61)
    assert Rest(made)("GET", "/api/credits").status == 401


# Revoked on the way in


def revoke_key(person: Person, made: dict[str, Any]) -> None:
    assert person.post(DELETE_KEY, {"keyId": made["id"]}).status == 200


@pytest.mark.parametrize("with_ticket", [False, True])
def test_a_key_deleted_while_its_socket_opens_opens_none(
    ada: Person, socket: Socket, wire: Wire, with_ticket: bool
) -> None:
    """Who deletes it closes the sockets that are open, and would not see this one."""
    made = ada.post(CREATE_KEY, {"name": "ci"}).body
    query = {"ticket": Rest(made["key"])("POST", "/api/socket-ticket").body["ticket"]} if with_ticket else {}
    wire.before("TransactWriteItems", lambda: revoke_key(ada, made))
    assert socket.connect({} if with_ticket else {"x-api-key": made["key"]}, query) == 401
    ada.ready()
    assert wire.posted(socket.connection_id) == []


def test_a_token_signed_out_while_its_socket_opens_opens_none(ada: Person, socket: Socket, wire: Wire) -> None:
    accounts.keep_token(TOKEN, ada.user_id, layer_clock.now_ms() + 60_000)
    bearer = {"Authorization": f"Bearer {TOKEN}"}
    wire.before("TransactWriteItems", lambda: Rest()("POST", "/api/auth/sign-out", headers=bearer))
    assert socket.connect(bearer) == 401
    assert socket.refusal("getHealth")["data"]["error"]["code"] == "not_found"
