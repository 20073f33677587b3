"""A stack in which the ids of the documented examples exist, and how requests reach it by either door."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import cache
from typing import Any
from urllib.parse import urlencode

from filepath import clock as layer_clock
from filepath import ids
from filepath.access import ALL_SCOPES, Scope
from filepath.aws import accounts, sessions, tasks
from filepath.aws.accounts import ApiKey
from filepath.credit import hold_for
from filepath.operations import registry
from filepath.operations.registry import Operation
from filepath.session import Session, SessionStatus
from filepath.task import Task, TaskStatus
from tests.aws.gateway import Answer, Rest
from tests.aws.people import Person, Platform, Sandbox
from tests.aws.scenes import scene

OPERATIONS = registry.operations()
SESSION_ID = "ses_01jd4kq9n7x2v8mb3c5t"
WORKFLOW_ID = "wf_01jd4kq9n7x2v8mb3c5t01jd4kqc8r5z"
RUNNING_WORKFLOW_ID = "wf_01jd4kq9n7x2v8mb3c5t01jd4kqf3w7h"
KEY_ID = "key_7c2v9q4n8x3m5b0t"
OUTPUT = b"hello\n"

Params = dict[str, Any]


@dataclass
class World:
    platform: Platform
    tenant: Person
    stranger: Person
    sandbox: Sandbox
    """Of the session of the examples, in which their task ran."""
    document: dict[str, Any] = field(repr=False)
    configure: Callable[..., None] = field(repr=False)
    """Sets parameters of the stack."""

    @classmethod
    def of(cls, platform: Platform, configure: Callable[..., None]) -> World:
        tenant, stranger, sandbox = scene("world", platform, lambda: _peopled(platform))
        return cls(platform, tenant, stranger, sandbox, document(), configure)

    def key_without(self, scope: Scope | None) -> str:
        return self.tenant.another_key(ALL_SCOPES - {scope})


def _peopled(platform: Platform) -> tuple[Person, Person, Sandbox]:
    """Who has what the examples speak of, who has nothing, and the session's sandbox."""
    tenant = platform.person("grace@example.org", credits_granted=1000)
    sandbox = _session(tenant)
    _over(tenant, sandbox)
    _running(tenant, sandbox)
    _key(tenant)
    return tenant, platform.person("eve@example.org"), sandbox


@cache
def document() -> dict[str, Any]:
    return Rest()("GET", "/openapi.json").body


def described(operation: Operation) -> dict[str, Any]:
    found: dict[str, Any] = document()["paths"][operation.path][operation.method.lower()]
    return found


def documented_reply(operation: Operation, status: int) -> dict[str, Any]:
    """What the document has for JSON of that status; as a schema that stands alone."""
    reply: dict[str, Any] = described(operation)["responses"][str(status)]["content"]["application/json"]
    return {**reply, "schema": {**reply["schema"], "components": document()["components"]}}


def example_params(operation: Operation) -> Params:
    """The documented request, as one object: path and query parameters and body together."""
    entry = described(operation)
    parameters = [each for each in entry.get("parameters", ()) if each["in"] != "header" and "example" in each]
    body: Params = entry.get("requestBody", {}).get("content", {}).get("application/json", {}).get("example", {})
    return {each["name"]: each["example"] for each in parameters} | body


def over_rest(rest: Rest, operation: Operation, params: Params, idempotency_key: str | None = None) -> Answer:
    others = {name: value for name, value in params.items() if name not in operation.path_fields}
    path = operation.path.format(**params)
    if operation.method == "POST":
        return rest("POST", path, json.dumps(others), idempotency_key=idempotency_key)
    return rest(operation.method, f"{path}?{urlencode(others)}", idempotency_key=idempotency_key)


def _session(tenant: Person) -> Sandbox:
    now = layer_clock.now_ms()
    session = Session(
        session_id=SESSION_ID,
        user_id=tenant.user_id,
        status=SessionStatus.STARTING,
        created_at=now,
        last_active=now,
        cpu=1024,
        memory=2048,
        idle_seconds=86_400,
        max_age_seconds=604_800,
        name="build",
        metadata={"branch": "main"},
    )
    sessions.create(session, {"CI": "true"}, {}, None)
    sandbox = tenant.sandbox(SESSION_ID)
    sandbox.dial()
    sandbox.hello()
    sandbox.live_token = tenant.platform.enter("live", sessionId=SESSION_ID)
    return sandbox


def _over(tenant: Person, sandbox: Sandbox) -> None:
    _submit(tenant, sandbox, WORKFLOW_ID)
    sandbox.finish(WORKFLOW_ID, OUTPUT)


def _running(tenant: Person, sandbox: Sandbox) -> None:
    """One that can be written to."""
    _submit(tenant, sandbox, RUNNING_WORKFLOW_ID)
    sandbox.started(RUNNING_WORKFLOW_ID)


def _submit(tenant: Person, sandbox: Sandbox, workflow_id: str) -> None:
    task = Task(
        workflow_id=workflow_id,
        session_id=SESSION_ID,
        user_id=tenant.user_id,
        status=TaskStatus.QUEUED,
        created_at=layer_clock.now_ms(),
        timeout_seconds=300,
        held=hold_for(300),
        command="make test",
        metadata={"branch": "main"},
        stdin_open=workflow_id == RUNNING_WORKFLOW_ID,
    )
    tasks.submit(task, {"command": "make test", "env": {}, "cwd": None, "stdin": None}, {}, None)
    sandbox.run(workflow_id)


def _key(tenant: Person) -> None:
    secret = ids.api_key(layer_clock.entropy())
    new = ApiKey(KEY_ID, tenant.user_id, "build", secret[:8], ids.hashed(secret), ALL_SCOPES, layer_clock.now_ms())
    accounts.create_key(new, None, {})
