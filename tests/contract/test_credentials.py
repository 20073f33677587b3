"""Keys and tokens that are none, no more, or not for this: the documented error on REST, its status on the socket."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import jsonschema
import pytest

from filepath import clock as layer_clock
from filepath import ids
from filepath.access import ALL_SCOPES, Scope
from filepath.aws import accounts
from tests.aws.gateway import CLIENTS_API, Answer, Rest, Socket
from tests.contract.world import OPERATIONS, SESSION_ID, WORKFLOW_ID, World, documented_reply

CREATE_KEY, DELETE_KEY = "/api/auth/api-key/create", "/api/auth/api-key/delete"
TOKEN = "fpt_" + "0" * 50


def expired(world: World) -> str:
    key: str = world.tenant.post(CREATE_KEY, {"name": "short", "expiresInSeconds": 1}).body["key"]
    world.platform.clock.pass_(2)
    return key


def revoked(world: World) -> str:
    made: dict[str, Any] = world.tenant.post(CREATE_KEY, {"name": "revoked"}).body
    world.tenant.post(DELETE_KEY, {"keyId": made["id"]})
    return str(made["key"])


def expired_token(world: World) -> str:
    accounts.keep_token(TOKEN, world.tenant.user_id, layer_clock.now_ms() + 1000)
    world.platform.clock.pass_(2)
    return TOKEN


def signed_out(world: World) -> str:
    accounts.keep_token(TOKEN, world.tenant.user_id, layer_clock.now_ms() + 60_000)
    assert Rest(TOKEN)("POST", "/api/auth/sign-out", headers={"Authorization": f"Bearer {TOKEN}"}).status == 200
    return TOKEN


def another_checksum(world: World) -> str:
    last = world.tenant.key[-1]
    return world.tenant.key[:-1] + ("0" if last != "0" else "1")


WAYS: dict[str, Callable[[World], str]] = {
    "expired": expired,
    "revoked": revoked,
    "expired token": expired_token,
    "signed out": signed_out,
    "wrong checksum": another_checksum,
    "unknown": lambda world: ids.api_key(b"nobody's"),
    "cut short": lambda world: world.tenant.key[:-1],
    "in capitals": lambda world: world.tenant.key.upper(),
    "with a space": lambda world: world.tenant.key[:9] + " " + world.tenant.key[9:],
    "very long": lambda world: "fp_" + "0" * 6000,
    "a ticket": lambda world: str(world.tenant.post("/api/socket-ticket").body["ticket"]),
    "empty": lambda world: "",
}
ways = pytest.mark.parametrize("way", WAYS)


@ways
def test_a_credential_that_opens_nothing_is_unauthenticated_by_either_door(world: World, way: str) -> None:
    credential = WAYS[way](world)
    for headers in ({"x-api-key": credential}, {"Authorization": f"Bearer {credential}"}):
        answer = Rest()("GET", "/api/credits", headers=headers)
        assert (answer.status, answer.code) == (401, "unauthenticated")
        jsonschema.validate(answer.body, documented_reply(OPERATIONS["get_credits"], 401)["schema"])
        assert credential == "" or credential not in answer.text
        assert Socket(CLIENTS_API).connect(headers) == 401


@pytest.mark.parametrize("scope", sorted(ALL_SCOPES))
def test_each_scope_is_asked_for_by_name_where_it_is_missing(world: World, scope: Scope) -> None:
    wanted_by = [each for each in OPERATIONS.values() if each.scope is scope]
    key = Rest(world.key_without(scope))
    socket = Socket(CLIENTS_API)
    assert socket.connect({"x-api-key": str(key.credential)}) == 200
    for operation in wanted_by:
        path = operation.path.format(sessionId=SESSION_ID, workflowId=WORKFLOW_ID)
        body = {"sessionId": SESSION_ID, "task": "true", "name": "x", "data": "x", "keyId": "key_" + "0" * 16}
        fields = {field for field in _fields(operation) if field not in operation.path_fields}
        sent = {name: value for name, value in body.items() if name in fields} if operation.method == "POST" else None
        answer: Answer = key(operation.method, path, sent)
        assert (answer.status, answer.code) == (403, "forbidden"), operation.name
        assert answer.body["error"]["details"] == {"missing": [scope]}


def _fields(operation: Any) -> set[str]:
    return set(operation.input.model_json_schema().get("properties", {}))


@pytest.mark.parametrize(
    ("scope", "query"), [(Scope.SESSIONS_READ, {"session": SESSION_ID}), (Scope.TASKS_READ, {"workflow": WORKFLOW_ID})]
)
def test_a_handshake_for_what_the_key_may_not_see_is_refused(world: World, scope: Scope, query: dict[str, str]) -> None:
    for key, status in (
        (world.key_without(scope), 403),
        (world.stranger.key, 404),
        (world.tenant.key, 200),
    ):
        assert Socket(CLIENTS_API).connect({"x-api-key": key}, query) == status


def test_a_handshake_while_aws_is_busy_is_to_be_tried_again(world: World) -> None:
    for _ in range(4):
        world.platform.wire.refuse("GetItem", "ProvisionedThroughputExceededException")
    assert Socket(CLIENTS_API).connect({"x-api-key": world.tenant.key}) == 503
