"""The platform's REST operations as values: what to send, and how to read the reply.

No I/O: a transport sends a `Call`, whatever its flavour. No retries either: a call only says whether it may
be repeated.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import date
from typing import Any, Generic, TypeVar
from urllib.parse import quote

from filepath_sdk.errors import FilepathError, Unavailable, error_class
from filepath_sdk.models import (
    ApiKey,
    Credits,
    OutputPage,
    SessionInfo,
    SignedIn,
    SocketTicket,
    TaskInfo,
    TaskStatus,
    Usage,
    UsageGroup,
)
from filepath_sdk.protocol import text_or_base64

T = TypeVar("T")
MAX_PAGE_BYTES = 1024 * 1024
"""The largest page of output that the platform gives."""


@dataclass(frozen=True)
class Reply:
    """An HTTP response. `headers` are looked up in lower case."""

    status: int
    headers: Mapping[str, str]
    content: bytes

    def json(self) -> Any:
        try:
            return json.loads(self.content) if self.content else {}
        except ValueError as error:
            raise Unavailable(
                f"the reply ({self.status}) is not JSON; is FILEPATH_URL a filepath deployment?",
                status=self.status,
            ) from error


@dataclass(frozen=True)
class Call(Generic[T]):
    """`creates`: one Idempotency-Key for all its tries. `repeatable`: unless a second time is refused."""

    method: str
    path: str
    parse: Callable[[Any], T]
    query: Mapping[str, str | int] = field(default_factory=dict)
    body: Mapping[str, Any] | None = None
    creates: bool = False
    repeatable: bool = True


@dataclass(frozen=True)
class Page(Generic[T]):
    """Part of a list; `next_token` asks for what follows."""

    items: tuple[T, ...]
    next_token: str | None


def error_of(reply: Reply) -> FilepathError:
    """The error in a reply with status 400 or above, also where API Gateway answered in its own words."""
    try:
        body = json.loads(reply.content)
    except ValueError:
        body = {}
    error = body.get("error") if isinstance(body, dict) else None
    if not isinstance(error, dict):
        words = body.get("message") if isinstance(body, dict) else None
        error = {"message": words or f"the platform answered with status {reply.status}"}
    kind = error_class(error.get("code"), reply.status)
    return kind(
        str(error.get("message") or f"the platform answered with status {reply.status}"),
        code=error.get("code"),
        status=reply.status,
        request_id=error.get("requestId") or reply.headers.get("x-amzn-requestid"),
        retryable=bool(error.get("retryable", reply.status in (429, 502, 503, 504))),
        retry_after=_seconds(reply.headers.get("retry-after")),
        details=error.get("details"),
    )


def _seconds(value: str | None) -> float | None:
    try:
        return max(0.0, float(value)) if value is not None else None
    except ValueError:
        return None


def _present(**fields: Any) -> dict[str, Any]:
    return {name: value for name, value in fields.items() if value is not None}


def _id(value: str) -> str:
    return quote(value, safe="")


def _nothing(_: Any) -> None:
    return None


# Accounts and keys


def sign_up(email: str, password: str, name: str, invite: str | None) -> Call[SignedIn]:
    body = _present(email=email, password=password, name=name, invite=invite)
    return Call("POST", "/api/auth/sign-up/email", SignedIn.of, body=body, creates=True)


def sign_in(email: str, password: str) -> Call[SignedIn]:
    body = {"email": email, "password": password}
    return Call("POST", "/api/auth/sign-in/email", SignedIn.of, body=body)


def sign_out() -> Call[None]:
    return Call("POST", "/api/auth/sign-out", _nothing, repeatable=False)


def create_key(name: str, expires_in: int | None, scopes: list[str] | None, credit_limit: int | None) -> Call[ApiKey]:
    body = _present(name=name, expiresInSeconds=expires_in, scopes=scopes, creditLimit=credit_limit)
    return Call("POST", "/api/auth/api-key/create", ApiKey.of, body=body, creates=True)


def list_keys() -> Call[list[ApiKey]]:
    return Call("GET", "/api/auth/api-key/list", lambda data: [ApiKey.of(key) for key in data["keys"]])


def delete_key(key_id: str) -> Call[None]:
    return Call("POST", "/api/auth/api-key/delete", _nothing, body={"keyId": key_id}, repeatable=False)


# Sessions


def create_session(
    name: str | None,
    cpu: int | None,
    memory: int | None,
    env: Mapping[str, str] | None,
    idle_timeout: int | None,
    max_age: int | None,
    background: int | None,
    metadata: Mapping[str, str] | None,
) -> Call[SessionInfo]:
    body = _present(
        name=name,
        cpu=cpu,
        memory=memory,
        env=dict(env) if env else None,
        idleTimeoutSeconds=idle_timeout,
        maxAgeSeconds=max_age,
        backgroundSeconds=background,
        metadata=dict(metadata) if metadata else None,
    )
    return Call("POST", "/api/orchestrator/session", SessionInfo.of, body=body, creates=True)


def get_session(session_id: str) -> Call[SessionInfo]:
    return Call("GET", f"/api/orchestrator/session/{_id(session_id)}", SessionInfo.of)


def list_sessions(status: str | None, limit: int | None, next_token: str | None) -> Call[Page[SessionInfo]]:
    query = _present(status=status, limit=limit, nextToken=next_token)
    return Call("GET", "/api/orchestrator/session", _page_of("sessions", SessionInfo.of), query=query)


def close_session(session_id: str) -> Call[None]:
    return Call("DELETE", f"/api/orchestrator/session/{_id(session_id)}", _nothing)


def keep_alive(session_id: str) -> Call[str | None]:
    path = f"/api/orchestrator/session/{_id(session_id)}/keep-alive"
    return Call("POST", path, lambda data: data.get("idleDeadline"))


# Tasks


def execute_task(
    session_id: str,
    task: str,
    timeout: int | None,
    env: Mapping[str, str] | None,
    cwd: str | None,
    stdin: str | None,
    metadata: Mapping[str, str] | None,
    *,
    stdin_open: bool = False,
) -> Call[TaskStatus]:
    body = _present(
        sessionId=session_id,
        task=task,
        timeoutSeconds=timeout,
        env=dict(env) if env else None,
        cwd=cwd,
        stdin=stdin,
        stdinOpen=stdin_open or None,
        metadata=dict(metadata) if metadata else None,
    )
    return Call("POST", "/api/orchestrator", TaskStatus.of, body=body, creates=True)


def get_task(workflow_id: str) -> Call[TaskInfo]:
    return Call("GET", f"/api/workflow/{_id(workflow_id)}", TaskInfo.of)


def list_tasks(
    session_id: str | None, status: str | None, limit: int | None, next_token: str | None
) -> Call[Page[TaskInfo]]:
    query = _present(sessionId=session_id, status=status, limit=limit, nextToken=next_token)
    return Call("GET", "/api/workflow", _page_of("workflows", TaskInfo.of), query=query)


def get_task_status(workflow_id: str) -> Call[TaskStatus]:
    return Call("GET", f"/api/workflow/{_id(workflow_id)}/status", TaskStatus.of)


def get_output(workflow_id: str, after: int, limit: int | None = None) -> Call[OutputPage]:
    query = _present(after=after, limit=limit)
    return Call("GET", f"/api/workflow/{_id(workflow_id)}/output", OutputPage.of, query=query)


def cancel_task(workflow_id: str, signal: str | None) -> Call[None]:
    body = _present(signal=signal)
    return Call("POST", f"/api/workflow/{_id(workflow_id)}/cancel", _nothing, body=body or None)


def write_stdin(workflow_id: str, data: bytes, offset: int | None) -> Call[int]:
    text, encoding = text_or_base64(data)
    body = _present(data=text, encoding=encoding, offset=offset)
    path = f"/api/workflow/{_id(workflow_id)}/stdin"
    return Call("POST", path, _offset, body=body, repeatable=offset is not None)


def close_stdin(workflow_id: str) -> Call[int]:
    return Call("POST", f"/api/workflow/{_id(workflow_id)}/stdin/close", _offset)


def _offset(reply: Any) -> int:
    return int(reply["offset"])


# The rest


def get_credits() -> Call[Credits]:
    return Call("GET", "/api/credits", Credits.of)


def get_usage(from_: date | str | None, to: date | str | None, group_by: UsageGroup) -> Call[Usage]:
    query = _present(**{"from": from_ and str(from_), "to": to and str(to)}, groupBy=group_by)
    return Call("GET", "/api/usage", Usage.of, query=query)


def create_socket_ticket() -> Call[SocketTicket]:
    return Call("POST", "/api/socket-ticket", SocketTicket.of)


def get_health() -> Call[Mapping[str, Any]]:
    return Call("GET", "/api/health", dict)


def _page_of(name: str, item: Callable[[Any], T]) -> Callable[[Any], Page[T]]:
    def parse(data: Any) -> Page[T]:
        return Page(tuple(item(row) for row in data[name]), data.get("nextToken"))

    return parse
