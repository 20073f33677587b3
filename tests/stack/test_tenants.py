"""Two accounts on one stack: neither sees, moves or hears of what is the other's, at any door.

The walk is over the registry: an operation that is new must be named here, with what it would take to reach into
another account.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import httpx
import pytest
from websockets.exceptions import ConnectionClosed, InvalidStatus
from websockets.sync.client import ClientConnection, connect

from filepath.operations import registry
from filepath.operations.registry import Operation
from filepath_sdk import Filepath
from tests.stack.conftest import RunningStack, once

pytestmark = once

OPERATIONS = registry.operations()


@dataclass(frozen=True)
class Tenant:
    fp: Filepath
    token: str
    key_id: str
    session_id: str
    workflow_id: str

    @property
    def ids(self) -> dict[str, str]:
        return {"sessionId": self.session_id, "workflowId": self.workflow_id, "keyId": self.key_id}


# What each operation that takes an id is asked with, the ids being the other account's.
WITH_IDS: dict[str, dict[str, Any]] = {
    "delete_key": {"keyId": "…"},
    "get_session": {"sessionId": "…"},
    "close_session": {"sessionId": "…"},
    "keep_alive": {"sessionId": "…"},
    "execute_task": {"sessionId": "…", "task": "echo intruder"},
    "get_task": {"workflowId": "…"},
    "get_task_status": {"workflowId": "…"},
    "get_output": {"workflowId": "…"},
    "cancel_task": {"workflowId": "…"},
    "write_stdin": {"workflowId": "…", "data": "intruder"},
    "close_stdin": {"workflowId": "…"},
}
OF_RUNNING = {"write_stdin", "close_stdin"}
"""The owner's task is over, so they are a conflict for the owner: `test_stdin.py` has them succeed."""
LISTS = {"list_keys", "list_sessions", "list_tasks", "get_credits", "get_usage", "get_caller"}
WITHOUT_IDS = {"sign_up", "sign_in", "sign_out", "create_key", "create_session", "create_socket_ticket", "get_health"}


@pytest.fixture(scope="module")
def owner(stack: RunningStack) -> Iterator[Tenant]:
    yield from tenant(stack, "owner")


@pytest.fixture(scope="module")
def intruder(stack: RunningStack) -> Iterator[Tenant]:
    yield from tenant(stack, "intruder")


def tenant(stack: RunningStack, name: str) -> Iterator[Tenant]:
    """Its requests come with the credential that has every scope: what it is refused is not for want of one."""
    account = stack.account(name)
    with stack.client(account.key) as fp, fp.sessions.create(name=name) as session:
        result = session.run(f"echo {name}")
        yield Tenant(fp, account.token, account.key_id, session.id, result.workflow_id)


def over_rest(stack: RunningStack, tenant: Tenant, operation: Operation, params: dict[str, Any]) -> httpx.Response:
    path = operation.path.format(**params)
    rest = {name: value for name, value in params.items() if name not in operation.path_fields}
    carried: dict[str, Any] = {"json": rest} if operation.method == "POST" else {"params": rest}
    headers = {"authorization": f"Bearer {tenant.token}"}
    return httpx.request(operation.method, stack.url + path, headers=headers, timeout=30, **carried)


def open_socket(stack: RunningStack, tenant: Tenant, query: str = "") -> ClientConnection:
    return connect(stack.socket_url + query, additional_headers={"authorization": f"Bearer {tenant.token}"}, proxy=None)


def over_socket(stack: RunningStack, tenant: Tenant, operation: Operation, params: dict[str, Any]) -> dict[str, Any]:
    with open_socket(stack, tenant) as socket:
        socket.send(json.dumps({"jsonrpc": "2.0", "id": 1, "method": operation.rpc_name, "params": params}))
        while True:
            message: dict[str, Any] = json.loads(socket.recv(30))
            if message.get("id") == 1:
                return message


def test_every_operation_is_named_here() -> None:
    assert set(OPERATIONS) == set(WITH_IDS) | LISTS | WITHOUT_IDS
    with_id_fields = {
        name
        for name, operation in OPERATIONS.items()
        if {"session_id", "workflow_id", "key_id"}
        & {field for field, info in operation.input.model_fields.items() if info.is_required()}
    }
    assert with_id_fields == set(WITH_IDS)


@pytest.mark.parametrize("name", WITH_IDS)
def test_what_is_the_others_is_not_found_over_rest(
    stack: RunningStack, owner: Tenant, intruder: Tenant, name: str
) -> None:
    params = {**WITH_IDS[name], **{key: owner.ids[key] for key in WITH_IDS[name] if key in owner.ids}}
    answer = over_rest(stack, intruder, OPERATIONS[name], params)

    assert answer.status_code == 404, answer.text
    assert answer.json()["error"]["code"] == "not_found"


@pytest.mark.parametrize("name", [name for name in WITH_IDS if OPERATIONS[name].on_socket])
def test_what_is_the_others_is_not_found_over_the_socket(
    stack: RunningStack, owner: Tenant, intruder: Tenant, name: str
) -> None:
    params = {**WITH_IDS[name], **{key: owner.ids[key] for key in WITH_IDS[name] if key in owner.ids}}
    answer = over_socket(stack, intruder, OPERATIONS[name], params)

    assert answer["error"]["data"]["error"]["code"] == "not_found"


@pytest.mark.parametrize("name", sorted(set(WITH_IDS) - {"close_session", "delete_key", *OF_RUNNING}))
def test_the_same_is_found_by_its_owner(stack: RunningStack, owner: Tenant, name: str) -> None:
    """Else a 404 for the other would show nothing. (Two that are left out would end what the other tests need.)"""
    params = {**WITH_IDS[name], **{key: owner.ids[key] for key in WITH_IDS[name] if key in owner.ids}}

    assert over_rest(stack, owner, OPERATIONS[name], params).status_code < 300


@pytest.mark.parametrize("name", sorted(OF_RUNNING))
def test_the_same_is_a_conflict_for_its_owner_once_it_is_over(stack: RunningStack, owner: Tenant, name: str) -> None:
    params = {**WITH_IDS[name], "workflowId": owner.workflow_id}

    assert over_rest(stack, owner, OPERATIONS[name], params).status_code == 409


@pytest.mark.parametrize("name", sorted(LISTS))
def test_no_list_shows_the_others(stack: RunningStack, owner: Tenant, intruder: Tenant, name: str) -> None:
    shown = over_rest(stack, intruder, OPERATIONS[name], {}).text + json.dumps(
        over_socket(stack, intruder, OPERATIONS[name], {})
    )
    strange = [identity for identity in owner.ids.values() if identity in shown]

    assert strange == []
    assert "owner" not in shown


def test_a_list_of_the_others_session_is_not_found(stack: RunningStack, owner: Tenant, intruder: Tenant) -> None:
    answer = over_rest(stack, intruder, OPERATIONS["list_tasks"], {"sessionId": owner.session_id})

    assert answer.status_code == 404


def test_no_event_crosses(stack: RunningStack, owner: Tenant, intruder: Tenant) -> None:
    with open_socket(stack, intruder) as strangers, open_socket(stack, owner) as own:
        owner.fp.sessions.get(owner.session_id).run("echo for its owner's eyes")
        heard = [json.loads(own.recv(10))["params"]["workflowId"]]
        with pytest.raises(TimeoutError):
            strangers.recv(2)

    assert heard


@pytest.mark.parametrize("wanted", ["session", "workflow"])
def test_nobody_can_ask_to_hear_of_what_is_the_others(
    stack: RunningStack, owner: Tenant, intruder: Tenant, wanted: str
) -> None:
    with pytest.raises(InvalidStatus) as refused:
        open_socket(stack, intruder, f"?{wanted}={owner.ids[wanted + 'Id']}")

    assert refused.value.response.status_code in {403, 404}


def test_a_deleted_key_closes_its_socket_and_opens_none(stack: RunningStack) -> None:
    account = stack.account()
    header = {"x-api-key": account.key}
    with connect(stack.socket_url, additional_headers=header, proxy=None) as socket:
        httpx.post(
            f"{stack.url}/api/auth/api-key/delete",
            headers={"authorization": f"Bearer {account.token}"},
            json={"keyId": account.key_id},
        ).raise_for_status()
        with pytest.raises(ConnectionClosed):
            socket.recv(10)
    with pytest.raises(InvalidStatus) as refused:
        connect(stack.socket_url, additional_headers=header, proxy=None)

    assert refused.value.response.status_code == 401


def test_signing_out_ends_the_token_and_its_sockets(stack: RunningStack) -> None:
    account = stack.account()
    header = {"authorization": f"Bearer {account.token}"}
    with connect(stack.socket_url, additional_headers=header, proxy=None) as socket:
        httpx.post(f"{stack.url}/api/auth/sign-out", headers=header).raise_for_status()
        with pytest.raises(ConnectionClosed):
            socket.recv(10)

    assert httpx.get(f"{stack.url}/api/credits", headers=header).status_code == 401
