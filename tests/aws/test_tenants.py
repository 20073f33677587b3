"""What belongs to someone else is not found: on every operation that takes an id, on both doors, in every list."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import pytest

from filepath import ids
from filepath.operations import registry
from filepath.operations.registry import Operation
from tests.aws.people import Person, Sandbox
from tests.aws.scenes import played_once
from tests.aws.wire import Wire

Params = dict[str, Any]


@dataclass(frozen=True)
class Belongings:
    """One of each thing that has an id, all of one person's."""

    session_id: str
    workflow_id: str
    key_id: str


EXAMPLES: dict[str, Params | None] = {
    "cancel_task": {"workflowId": "workflow_id"},
    "close_session": {"sessionId": "session_id"},
    "close_stdin": {"workflowId": "workflow_id"},
    "create_key": None,
    "create_session": None,
    "create_socket_ticket": None,
    "delete_key": {"keyId": "key_id"},
    "execute_task": {"sessionId": "session_id", "task": "true"},
    "get_caller": None,
    "get_credits": None,
    "get_health": None,
    "get_output": {"workflowId": "workflow_id"},
    "get_session": {"sessionId": "session_id"},
    "get_task": {"workflowId": "workflow_id"},
    "get_task_status": {"workflowId": "workflow_id"},
    "get_usage": None,
    "keep_alive": {"sessionId": "session_id"},
    "list_keys": None,
    "list_sessions": None,
    "list_tasks": {"sessionId": "session_id"},
    "sign_in": None,
    "sign_out": None,
    "sign_up": None,
    "write_stdin": {"workflowId": "workflow_id", "data": "intruder"},
}
"""For each operation, params in which ids stand by the name of the belonging; None where it takes no id."""

WITH_IDS = [name for name, params in EXAMPLES.items() if params is not None]
with_ids = pytest.mark.parametrize("name", WITH_IDS)


@pytest.fixture
@played_once
def sandbox(bob: Person) -> Sandbox:
    return bob.ready()


@pytest.fixture
@played_once
def bobs(bob: Person, sandbox: Sandbox) -> Belongings:
    workflow_id = bob.submit(sandbox.session_id, stdinOpen=True)
    sandbox.run(workflow_id)
    sandbox.output(workflow_id, 0, b"bob's own")
    key = bob.post("/api/auth/api-key/create", {"name": "bob's"}).body
    return Belongings(sandbox.session_id, workflow_id, key["id"])


def params_of(name: str, belongings: Belongings) -> Params:
    return {field: getattr(belongings, value, value) for field, value in (EXAMPLES[name] or {}).items()}


def over_rest(person: Person, operation: Operation, params: Params) -> tuple[int, str]:
    path, rest = operation.path, dict(params)
    for field in operation.path_fields:
        path = path.replace(f"{{{field}}}", rest.pop(field))
    if operation.method == "POST":
        answer = person.post(path, rest)
    else:
        answer = person.rest(operation.method, path + "?" + "&".join(f"{k}={v}" for k, v in rest.items()))
    return answer.status, answer.text


def test_every_operation_has_an_example_here() -> None:
    """Fails when an operation is added: say which ids it takes."""
    assert sorted(registry.operations()) == sorted(EXAMPLES)
    for name, operation in registry.operations().items():
        taken = {field for field in operation.input.model_json_schema().get("properties", {}) if field.endswith("Id")}
        assert taken == {field for field in EXAMPLES[name] or {} if field.endswith("Id")}, name


@with_ids
def test_over_rest_anothers_is_not_found(ada: Person, bobs: Belongings, name: str) -> None:
    status, text = over_rest(ada, registry.operations()[name], params_of(name, bobs))
    assert (status, '"not_found"' in text) == (404, True), text
    assert "bob" not in text


@with_ids
def test_on_the_socket_anothers_is_not_found(ada: Person, bobs: Belongings, name: str) -> None:
    error = ada.listen().refusal(registry.operations()[name].rpc_name, **params_of(name, bobs))
    assert error["data"]["error"]["code"] == "not_found"


@with_ids
def test_the_owner_finds_it(bob: Person, bobs: Belongings, name: str) -> None:
    """Or the tests above would pass for another reason."""
    status, text = over_rest(bob, registry.operations()[name], params_of(name, bobs))
    assert status in {200, 202}, text


@with_ids
def test_what_is_nobodys_is_refused_as_what_is_anothers(ada: Person, bobs: Belongings, name: str) -> None:
    session_id = ids.session_id(0, b"nobody's")
    nobodys = Belongings(session_id, ids.task_id(session_id, 0, b"nothing"), ids.key_id(b"none"))
    operation = registry.operations()[name]
    _, anothers = over_rest(ada, operation, params_of(name, bobs))
    _, unknown = over_rest(ada, operation, params_of(name, nobodys))
    assert _without_request_id(anothers) == _without_request_id(unknown)


def _without_request_id(text: str) -> str:
    head, _, tail = text.partition('"requestId":"')
    return head + tail.partition('"')[2]


def test_anothers_attempts_change_nothing(ada: Person, bobs: Belongings, sandbox: Sandbox, wire: Wire) -> None:
    before = (sandbox.platform.session(bobs.session_id), sandbox.platform.task(bobs.workflow_id), wire.woken)
    for name in WITH_IDS:
        over_rest(ada, registry.operations()[name], params_of(name, bobs))
    assert (sandbox.platform.session(bobs.session_id), sandbox.platform.task(bobs.workflow_id), wire.woken) == before


@pytest.mark.parametrize("name", [name for name in EXAMPLES if name.startswith("list_")])
def test_no_list_shows_anothers(ada: Person, bob: Person, bobs: Belongings, name: str) -> None:
    operation = registry.operations()[name]
    _, mine = over_rest(ada, operation, {})
    _, theirs = over_rest(bob, operation, {})
    of_bobs = (bobs.session_id, bobs.workflow_id, bobs.key_id)
    assert not any(identity in mine for identity in of_bobs)
    assert any(identity in theirs for identity in of_bobs)


def test_a_sessions_own_workflow_is_found_by_its_owner_alone(ada: Person, bob: Person, bobs: Belongings) -> None:
    workflow_id = ids.session_workflow_id(bobs.session_id)
    for path in (f"/api/workflow/{workflow_id}", f"/api/workflow/{workflow_id}/status"):
        assert bob.get(path).body["kind"] == "session"
        assert ada.get(path).status == 404


def test_no_event_crosses(ada: Person, bob: Person, sandbox: Sandbox, bobs: Belongings, wire: Wire) -> None:
    hers, his = ada.listen(), bob.listen()
    sandbox.started(bobs.workflow_id)
    sandbox.output(bobs.workflow_id, len(b"bob's own"), b"more")
    bob.delete(f"/api/orchestrator/session/{bobs.session_id}")
    sandbox.stopped()
    sandbox.platform.step("settle", workflowId=bobs.workflow_id)
    sandbox.platform.step("end_session", sessionId=bobs.session_id)
    assert len(wire.posted(his.connection_id)) >= 4
    assert wire.posted(hers.connection_id) == []
