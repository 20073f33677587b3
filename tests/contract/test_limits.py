"""Every bound of the contract, at the bound and one beyond it, by both doors."""

from __future__ import annotations

import base64
import gzip
import json
from dataclasses import dataclass
from typing import Any

import pytest

from filepath import protocol
from filepath.aws import accounts
from filepath.protocol import CLIENT_REQUEST_LIMIT, request
from tests.aws.gateway import Rest
from tests.contract.world import OPERATIONS, WORKFLOW_ID, World, example_params, over_rest

MB = 1024 * 1024


def json_of_size(size: int, name: str = "K") -> dict[str, str]:
    """An object that has this many bytes as JSON."""
    return {name: "x" * (size - len(json.dumps({name: ""})))}


def address_of_length(length: int) -> str:
    return f"{'x' * 64}@{'a' * 63}.{'b' * 63}.{'c' * (length - 196)}.de"


def packed(data: bytes) -> str:
    return base64.b64encode(gzip.compress(data, mtime=0)).decode()


@dataclass(frozen=True)
class Bound:
    operation: str
    field: str
    within: Any
    beyond: Any
    code: str = "invalid_request"
    also: tuple[tuple[str, Any], ...] = ()

    def params(self, value: Any) -> dict[str, Any]:
        return {**example_params(OPERATIONS[self.operation]), **dict(self.also), self.field: value}


BOUNDS = [
    Bound("create_session", "name", "x" * 128, "x" * 129),
    Bound("create_session", "name", "x", ""),
    Bound("create_session", "idleTimeoutSeconds", 604_800, 604_801),
    Bound("create_session", "idleTimeoutSeconds", 1, 0),
    Bound("create_session", "maxAgeSeconds", 2_592_000, 2_592_001),
    Bound("create_session", "maxAgeSeconds", 60, 59),
    Bound("create_session", "memory", 8192, 8193),
    Bound("create_session", "metadata", json_of_size(4096), json_of_size(4097), "too_large"),
    Bound("create_session", "metadata", {"k" * 64: ""}, {"k" * 65: ""}),
    Bound("create_session", "env", json_of_size(64 * 1024), json_of_size(64 * 1024 + 1), "too_large"),
    Bound("create_session", "env", {"V" * 256: ""}, {"V" * 257: ""}),
    Bound("execute_task", "task", "#" * MB, "#" * (MB + 1), "too_large"),
    Bound("execute_task", "task", "é" * (MB // 2), "é" * (MB // 2) + "#", "too_large"),
    Bound("execute_task", "task", "#", ""),
    Bound("execute_task", "timeoutSeconds", 86_400, 86_401),
    Bound("execute_task", "timeoutSeconds", 1, 0),
    Bound("execute_task", "env", json_of_size(64 * 1024), json_of_size(64 * 1024 + 1), "too_large"),
    Bound("execute_task", "metadata", json_of_size(4096), json_of_size(4097), "too_large"),
    Bound("execute_task", "cwd", "x" * 4096, "x" * 4097),
    Bound("execute_task", "cwd", "x", ""),
    Bound("execute_task", "stdin", "x" * (5 * MB), "x" * (5 * MB + 1), "too_large"),
    Bound(
        "execute_task",
        "stdin",
        packed(b'"\n' * (5 * MB // 2)),
        packed(b'"\n' * (5 * MB // 2) + b"x"),
        "too_large",
        (("stdinEncoding", "gzip"),),
    ),
    Bound("create_key", "name", "x" * 128, "x" * 129),
    Bound("create_key", "expiresInSeconds", 315_360_000, 315_360_001),
    Bound("create_key", "expiresInSeconds", 1, 0),
    Bound("sign_up", "password", "x" * 128, "x" * 129),
    Bound("sign_up", "password", "x" * 8, "x" * 7),
    Bound("sign_up", "name", "x" * 128, "x" * 129),
    Bound("sign_up", "email", address_of_length(254), address_of_length(255)),
    Bound("list_sessions", "limit", 100, 101),
    Bound("list_sessions", "limit", 1, 0),
    Bound("list_tasks", "limit", 100, 101),
    Bound("list_tasks", "limit", 1, 0),
    Bound("get_output", "limit", MB, MB + 1),
    Bound("get_output", "limit", 1, 0),
    Bound("get_output", "wait", 20, 21),
    Bound("get_output", "after", 10**14 - 1, 10**14),
    Bound("get_output", "after", 0, -1),
]
LONGEST_SHOWN = 40
bounds = pytest.mark.parametrize(
    "bound", BOUNDS, ids=[f"{each.operation}-{each.field}-{str(each.beyond)[:LONGEST_SHOWN]}" for each in BOUNDS]
)
on_socket = pytest.mark.parametrize(
    "bound",
    [each for each in BOUNDS if OPERATIONS[each.operation].on_socket],
    ids=lambda each: f"{each.operation}-{each.field}-{str(each.beyond)[:LONGEST_SHOWN]}",
)


@pytest.fixture
def rich(world: World) -> World:
    accounts.grant(world.tenant.user_id, 10_000, 0, "for the longest task")
    return world


@bounds
def test_the_bound_is_taken_over_rest_and_what_is_beyond_it_is_not(rich: World, bound: Bound) -> None:
    operation = OPERATIONS[bound.operation]
    rest = Rest(None if operation.public else rich.tenant.key)
    beyond = over_rest(rest, operation, bound.params(bound.beyond))
    assert beyond.code == bound.code, beyond.text[:300]
    assert bound.field in beyond.body["error"]["message"]
    within = over_rest(rest, operation, bound.params(bound.within))
    assert within.status == operation.status, within.text[:300]


@on_socket
def test_the_bound_is_the_same_on_the_socket_unless_a_message_cannot_have_it(rich: World, bound: Bound) -> None:
    operation, socket = OPERATIONS[bound.operation], rich.tenant.listen()

    def code(value: Any) -> str | None:
        answer = socket.send(request(1, operation.rpc_name, bound.params(value)))
        assert answer is not None
        return None if "result" in answer else answer["error"]["data"]["error"]["code"]

    fits = len(request(1, operation.rpc_name, bound.params(bound.within)).encode()) <= CLIENT_REQUEST_LIMIT
    assert code(bound.beyond) == (bound.code if fits else "too_large")
    assert code(bound.within) == (None if fits else "too_large")


def test_an_idempotency_key_has_its_bound_by_both_doors(world: World) -> None:
    socket = world.tenant.listen()
    assert world.tenant.post("/api/orchestrator/session", {}, idempotency_key="x" * 256).status == 400
    assert world.tenant.post("/api/orchestrator/session", {}, idempotency_key="x" * 255).status == 202
    assert socket.refusal("createSession", idempotencyKey="x" * 256)["code"] == protocol.INVALID_PARAMS
    assert socket.call("createSession", idempotencyKey="x" * 255)["sessionId"]


def test_a_next_token_longer_than_any_is_refused(world: World) -> None:
    assert world.tenant.get(f"/api/workflow?nextToken={'x' * 257}").code == "invalid_request"


@pytest.mark.parametrize("path", [f"/api/workflow/{WORKFLOW_ID}x", "/api/workflow/" + "x" * 3000])
def test_an_id_longer_than_any_is_refused(world: World, path: str) -> None:
    """With 400, and not as our fault: DynamoDB takes keys of 2,048 bytes."""
    assert world.tenant.get(path).code == "invalid_request"
