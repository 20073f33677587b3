"""Accounts over REST: who may sign up, signing in and out, and keys."""

from __future__ import annotations

from typing import Any

import pytest

from filepath.access import ALL_SCOPES, DEFAULT_KEY_SCOPES, Scope
from filepath.aws import credits
from filepath.lifecycle import operator
from tests.aws.conftest import Clock
from tests.aws.gateway import CLIENTS_API, Answer, Rest, Socket
from tests.aws.people import Person, Platform
from tests.aws.wire import Wire

ADA = {"email": "ada@example.org", "password": "correct horse battery", "name": "Ada"}
SIGN_UP, SIGN_IN = "/api/auth/sign-up/email", "/api/auth/sign-in/email"
CREATE_KEY, LIST_KEYS, DELETE_KEY = "/api/auth/api-key/create", "/api/auth/api-key/list", "/api/auth/api-key/delete"


@pytest.fixture
def anybody(platform: Platform) -> Rest:
    return platform.anybody()


def bearer(token: str) -> dict[str, str]:
    return {"Authorization": f"Bearer {token}"}


def signed_up(anybody: Rest, **changed: Any) -> Answer:
    return anybody("POST", SIGN_UP, {**ADA, **changed})


# Signing up


def test_an_open_stack_lets_anybody_in_and_opens_the_account_with_its_credits(anybody: Rest) -> None:
    answer = signed_up(anybody)
    assert answer.status == 200
    assert set(answer.body) == {"token", "user"}
    assert answer.body["user"].keys() == {"id", "email", "name", "createdAt"}
    account = credits.account(answer.body["user"]["id"])
    assert (account.granted, account.available) == (100, 100)
    assert anybody("GET", "/api/credits", headers=bearer(answer.body["token"])).body["balance"] == 100


def test_a_closed_stack_lets_nobody_in(anybody: Rest, configure: Any) -> None:
    configure(SIGN_UP="closed")
    answer = signed_up(anybody)
    assert (answer.status, answer.code) == (403, "forbidden")


def test_an_address_has_one_account_whatever_its_case(anybody: Rest) -> None:
    signed_up(anybody)
    again = signed_up(anybody, email="ADA@Example.org", password="another password")
    assert (again.status, again.code) == (409, "conflict")


def test_a_stack_by_invite_wants_one_and_each_opens_one_account(anybody: Rest, configure: Any) -> None:
    configure(SIGN_UP="invite", SIGN_UP_CREDITS="0")
    assert signed_up(anybody).status == 403
    assert signed_up(anybody, invite="fpi_made-up").status == 403
    invite = operator.invite()["invite"]
    answer = signed_up(anybody, invite=invite)
    assert answer.status == 200
    assert credits.account(answer.body["user"]["id"]).granted == 0
    second = signed_up(anybody, email="bob@example.org", invite=invite)
    assert (second.status, second.code) == (403, "forbidden")


def test_an_invite_is_taken_by_one_of_two_who_use_it_at_once(anybody: Rest, configure: Any, wire: Wire) -> None:
    configure(SIGN_UP="invite")
    invite = operator.invite()["invite"]
    winner: list[Answer] = []
    wire.before("TransactWriteItems", lambda: winner.append(signed_up(anybody, email="eve@example.org", invite=invite)))
    loser = signed_up(anybody, invite=invite)
    assert (winner[0].status, loser.status, loser.code) == (200, 403, "forbidden")
    assert anybody("POST", SIGN_IN, {"email": ADA["email"], "password": ADA["password"]}).status == 401


def test_an_invite_expires(anybody: Rest, configure: Any, clock: Clock) -> None:
    configure(SIGN_UP="invite")
    invite = operator.invite()["invite"]
    clock.pass_(operator.INVITE_DAYS * 24 * 3600 + 1)
    assert signed_up(anybody, invite=invite).status == 403


def test_a_repeated_sign_up_with_its_idempotency_key_signs_in_to_the_same_account(anybody: Rest) -> None:
    first = anybody("POST", SIGN_UP, ADA, idempotency_key="k1")
    again = anybody("POST", SIGN_UP, ADA, idempotency_key="k1")
    assert (again.status, again.body["user"]) == (200, first.body["user"])
    other_key = anybody("POST", SIGN_UP, ADA, idempotency_key="k2")
    other_body = anybody("POST", SIGN_UP, {**ADA, "password": "another password"}, idempotency_key="k1")
    assert (other_key.status, other_body.status) == (409, 409)


@pytest.mark.parametrize(
    "wrong",
    [
        {"password": "7 chars"},
        {"password": "x" * 129},
        {"email": "nobody"},
        {"email": None},
        {"name": ""},
        {"role": "admin"},
    ],
)
def test_a_sign_up_out_of_bounds_is_refused_with_the_field_named(anybody: Rest, wrong: dict[str, Any]) -> None:
    answer = signed_up(anybody, **wrong)
    assert (answer.status, answer.code) == (400, "invalid_request")
    assert next(iter(wrong)) in answer.body["error"]["message"]
    assert ADA["password"] not in answer.text


# Signing in and out


def test_signing_in_wants_the_address_and_its_password(anybody: Rest) -> None:
    user = signed_up(anybody).body["user"]
    right = anybody("POST", SIGN_IN, {"email": "Ada@example.org", "password": ADA["password"]})
    assert (right.status, right.body["user"]) == (200, user)
    wrong = anybody("POST", SIGN_IN, {"email": ADA["email"], "password": "wrong password"})
    nobody = anybody("POST", SIGN_IN, {"email": "nobody@example.org", "password": ADA["password"]})
    assert (wrong.status, nobody.status) == (401, 401)
    assert wrong.body["error"]["message"] == nobody.body["error"]["message"]


def test_signing_out_ends_the_token_at_once_and_closes_its_sockets(anybody: Rest, wire: Wire) -> None:
    token, other = (signed_up(anybody).body["token"], None)
    other = anybody("POST", SIGN_IN, {"email": ADA["email"], "password": ADA["password"]}).body["token"]
    socket, other_socket = Socket(CLIENTS_API), Socket(CLIENTS_API)
    assert socket.connect(bearer(token)) == 200
    assert other_socket.connect(bearer(other)) == 200
    answer = anybody("POST", "/api/auth/sign-out", headers=bearer(token))
    assert (answer.status, answer.body) == (200, {"success": True})
    assert anybody("GET", "/api/auth/get-session", headers=bearer(token)).status == 401
    assert anybody("GET", "/api/auth/get-session", headers=bearer(other)).status == 200
    assert wire.gone == {socket.connection_id}
    assert socket.refusal("getCaller")["data"]["error"]["code"] == "not_found"


def test_a_sign_in_token_expires(anybody: Rest, clock: Clock) -> None:
    token = signed_up(anybody).body["token"]
    clock.pass_(30 * 24 * 3600 + 1)
    assert anybody("GET", "/api/auth/get-session", headers=bearer(token)).status == 401


def test_a_key_cannot_be_signed_out(ada: Person) -> None:
    assert ada.post("/api/auth/sign-out").status == 400


def test_the_caller_is_told_who_it_is_and_what_it_may(ada: Person) -> None:
    answer = ada.get("/api/auth/get-session")
    assert answer.body["user"]["id"] == ada.user_id
    assert answer.body["scopes"] == sorted(ALL_SCOPES)


# Keys


def test_a_key_is_shown_once_and_listed_without_its_secret(ada: Person) -> None:
    made = ada.post(CREATE_KEY, {"name": "ci", "expiresInSeconds": 3600})
    assert made.status == 200
    key = made.body["key"]
    assert key.startswith(made.body["start"])
    assert made.body["scopes"] == sorted(DEFAULT_KEY_SCOPES)
    listed = ada.get(LIST_KEYS)
    assert key not in listed.text
    (shown,) = [entry for entry in listed.body["keys"] if entry["id"] == made.body["id"]]
    assert shown == {name: value for name, value in made.body.items() if name != "key"} | {"creditsLeft": None}
    assert Rest(key)("GET", "/api/auth/get-session").status == 200


def test_a_key_is_taken_as_a_bearer_too(ada: Person) -> None:
    assert Rest()("GET", "/api/credits", headers=bearer(ada.key)).status == 200


def test_a_deleted_key_is_refused_at_once_and_its_sockets_are_closed(ada: Person, wire: Wire) -> None:
    made = ada.post(CREATE_KEY, {"name": "ci"}).body
    socket = Socket(CLIENTS_API)
    assert socket.connect({"x-api-key": made["key"]}) == 200
    answer = ada.post(DELETE_KEY, {"keyId": made["id"]})
    assert (answer.status, answer.body) == (200, {"id": made["id"]})
    assert Rest(made["key"])("GET", "/api/credits").status == 401
    assert socket.connection_id in wire.gone
    assert made["id"] not in ada.get(LIST_KEYS).text
    assert ada.post(DELETE_KEY, {"keyId": made["id"]}).status == 404


def test_a_key_expires_on_time_and_not_when_the_table_gets_to_it(ada: Person, clock: Clock) -> None:
    key = ada.post(CREATE_KEY, {"name": "ci", "expiresInSeconds": 60}).body["key"]
    clock.pass_(50)
    assert Rest(key)("GET", "/api/credits").status == 200
    clock.pass_(11)
    answer = Rest(key)("GET", "/api/credits")
    assert (answer.status, answer.code) == (401, "unauthenticated")


def test_a_key_can_only_what_its_scopes_say(ada: Person) -> None:
    reader = Rest(ada.post(CREATE_KEY, {"name": "reader", "scopes": ["sessions:read"]}).body["key"])
    assert reader("GET", "/api/orchestrator/session").status == 200
    answer = reader("POST", "/api/orchestrator/session")
    assert (answer.status, answer.code) == (403, "forbidden")
    assert answer.body["error"]["details"] == {"missing": ["sessions:write"]}


def test_a_key_cannot_make_a_key_that_can_more(ada: Person) -> None:
    keymaker = Rest(ada.another_key(frozenset({Scope.KEYS_WRITE, Scope.TASKS_READ})))
    refused = keymaker("POST", CREATE_KEY, {"name": "more", "scopes": ["tasks:read", "tasks:write"]})
    assert (refused.status, refused.body["error"]["details"]) == (403, {"missing": ["tasks:write"]})
    assert keymaker("POST", CREATE_KEY, {"name": "same"}).body["scopes"] == ["tasks:read"]
    default = Rest(ada.another_key(DEFAULT_KEY_SCOPES))
    assert default("POST", CREATE_KEY, {"name": "another"}).status == 403


@pytest.mark.parametrize(
    "wrong",
    [
        {"scopes": []},
        {"scopes": ["everything"]},
        {"scopes": "tasks:read"},
        {"expiresInSeconds": 0},
        {"expiresInSeconds": "3600"},
        {"expiresInSeconds": 1.5},
        {"creditLimit": 0},
        {"creditLimit": 10**9 + 1},
        {"creditLimit": 5, "scopes": ["keys:write", "tasks:write"]},
        {"name": None},
    ],
)
def test_a_key_asked_for_wrongly_or_with_what_is_not_built_is_refused(ada: Person, wrong: dict[str, Any]) -> None:
    answer = ada.post(CREATE_KEY, {"name": "ci", **wrong})
    assert (answer.status, answer.code) == (400, "invalid_request")
    assert len(ada.get(LIST_KEYS).body["keys"]) == 1


@pytest.mark.parametrize(("asked", "lasts"), [(None, 600), (3600, 600), (60, 60)])
def test_a_key_made_with_a_key_ends_with_it_at_the_latest(
    ada: Person, clock: Clock, asked: int | None, lasts: int
) -> None:
    scopes = sorted(ALL_SCOPES)
    maker = ada.post(CREATE_KEY, {"name": "maker", "expiresInSeconds": 600, "scopes": scopes}).body["key"]
    made = Rest(maker)("POST", CREATE_KEY, {"name": "made", "expiresInSeconds": asked}).body
    clock.pass_(lasts - 5)
    assert Rest(made["key"])("GET", "/api/credits").status == 200
    clock.pass_(6)
    assert Rest(made["key"])("GET", "/api/credits").status == 401


def test_a_key_made_after_signing_in_outlives_the_token(anybody: Rest, clock: Clock) -> None:
    token = signed_up(anybody).body["token"]
    key = anybody("POST", CREATE_KEY, {"name": "ci"}, headers=bearer(token)).body["key"]
    clock.pass_(31 * 24 * 3600)
    assert anybody("GET", "/api/credits", headers=bearer(token)).status == 401
    assert Rest(key)("GET", "/api/credits").status == 200


# Credentials


@pytest.mark.parametrize(
    "headers",
    [
        {},
        {"x-api-key": "fp_short"},
        {"x-api-key": "fpk_" + "0" * 50},
        {"Authorization": "Basic YTpi"},
        {"Authorization": "Bearer"},
        {"Authorization": "Bearer fpt_" + "0" * 50},
    ],
)
def test_without_a_valid_credential_nothing_is_answered(anybody: Rest, headers: dict[str, str]) -> None:
    answer = anybody("GET", "/api/credits", headers=headers)
    assert (answer.status, answer.code) == (401, "unauthenticated")


def test_a_mistyped_key_is_told_from_an_unknown_one(ada: Person) -> None:
    mistyped = ada.key[:-1] + ("0" if ada.key[-1] != "0" else "1")
    assert "checksum" in Rest(mistyped)("GET", "/api/credits").body["error"]["message"]


def test_a_ticket_or_an_invite_opens_no_call(ada: Person) -> None:
    ticket = ada.post("/api/socket-ticket").body["ticket"]
    assert Rest(ticket)("GET", "/api/credits").status == 401
    assert Rest(operator.invite()["invite"])("GET", "/api/credits").status == 401
