"""API Gateway's part: the events that it makes of requests, and what it makes of the answers."""

from __future__ import annotations

import asyncio
import base64
import itertools
import json
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any, cast
from urllib.parse import parse_qsl

from aws_lambda_powertools.utilities.typing import LambdaContext

from filepath import protocol

STAGE = "v1"
CLIENTS_API = "clientsapi"
AGENTS_API = "agentsapi"

EVENT_LIMIT = 6 * 1024 * 1024
"""Lambda's, for what a function is given and what it answers."""

BINARY_MEDIA_TYPES = ("application/octet-stream",)
"""The template's."""

_numbers = itertools.count(1)


class Invocation:
    """Lambda's context object."""

    function_name = "function"
    memory_limit_in_mb = 1024
    invoked_function_arn = "arn:aws:lambda:us-east-1:123456789012:function:function"

    def __init__(self) -> None:
        self.aws_request_id = f"invocation-{next(_numbers)}"

    @classmethod
    def context(cls) -> LambdaContext:
        return cast("LambdaContext", cls())


@dataclass(frozen=True)
class Answer:
    status: int
    headers: Mapping[str, str]
    content: bytes

    @property
    def text(self) -> str:
        return self.content.decode()

    @property
    def body(self) -> dict[str, Any]:
        parsed: dict[str, Any] = json.loads(self.text)
        return parsed

    @property
    def code(self) -> str:
        """Of an error, whose envelope is checked by the way: no error may come in another shape."""
        error = self.body["error"]
        assert set(self.body) == {"error"}
        assert set(error) == {"code", "message", "requestId", "retryable", "details"}
        assert error["requestId"].startswith("request-")
        assert error["message"].endswith((".", "…`."))
        return str(error["code"])


@dataclass
class Rest:
    """Callers over REST, with or without a credential."""

    credential: str | None = None
    source: str = "192.0.2.1"

    def __call__(
        self,
        method: str,
        path: str,
        body: Mapping[str, Any] | str | None = None,
        *,
        headers: Mapping[str, str] | None = None,
        idempotency_key: str | None = None,
    ) -> Answer:
        sent = dict(headers or {})
        if self.credential is not None and not headers:
            sent["x-api-key"] = self.credential
        if idempotency_key is not None:
            sent["Idempotency-Key"] = idempotency_key
        text = body if isinstance(body, str | None) else json.dumps(body)
        event = rest_event(method, path, sent, text, self.source)
        assert len(json.dumps(event, ensure_ascii=False).encode()) <= EVENT_LIMIT, "API Gateway would refuse it"
        with ThreadPoolExecutor(1) as process:  # two may be under way at once, each with an event loop of its own
            answer = process.submit(_invoked, event).result()
        assert len(json.dumps(answer, ensure_ascii=False).encode()) <= EVENT_LIMIT, "Lambda would refuse it"
        return Answer(answer["statusCode"], _single(answer), _content(answer, sent))


def _invoked(event: dict[str, Any]) -> dict[str, Any]:
    loop = asyncio.new_event_loop()
    asyncio.set_event_loop(loop)
    try:
        from functions.api import handler  # builds the application, for which environment and loop must be set

        return handler.handle(event, Invocation.context())
    finally:
        asyncio.set_event_loop(None)
        loop.close()


def _content(answer: Mapping[str, Any], sent: Mapping[str, str]) -> bytes:
    body: str = answer["body"]
    is_decoded = answer["isBase64Encoded"] and sent.get("Accept") in BINARY_MEDIA_TYPES
    return base64.b64decode(body) if is_decoded else body.encode()


def _single(answer: Mapping[str, Any]) -> dict[str, str]:
    headers = dict(answer.get("headers") or {})
    headers |= {name: values[-1] for name, values in (answer.get("multiValueHeaders") or {}).items()}
    return headers


def rest_event(
    method: str, path: str, headers: Mapping[str, str], body: str | None, source: str = "192.0.2.1"
) -> dict[str, Any]:
    """As API Gateway's REST API sends it to a proxy integration (payload version 1)."""
    path, _, query = path.partition("?")
    pairs = parse_qsl(query, keep_blank_values=True)
    is_binary = headers.get("Content-Type") in BINARY_MEDIA_TYPES
    return {
        "resource": "/{proxy+}",
        "path": path,
        "httpMethod": method,
        "headers": {"Host": "rest.execute-api.us-east-1.amazonaws.com", **headers},
        "multiValueHeaders": {"Host": ["rest"], **{name: [value] for name, value in headers.items()}},
        "queryStringParameters": dict(pairs) or None,
        "multiValueQueryStringParameters": _many(pairs) or None,
        "pathParameters": {"proxy": path.removeprefix("/")},
        "stageVariables": None,
        "requestContext": {
            "resourcePath": "/{proxy+}",
            "httpMethod": method,
            "path": f"/{STAGE}{path}",
            "accountId": "123456789012",
            "protocol": "HTTP/1.1",
            "stage": STAGE,
            "requestId": f"request-{next(_numbers)}",
            "identity": {"sourceIp": source, "userAgent": "test"},
            "apiId": "restapi",
        },
        "body": base64.b64encode(body.encode()).decode() if body and is_binary else body,
        "isBase64Encoded": bool(body) and is_binary,
    }


def _many(pairs: list[tuple[str, str]]) -> dict[str, list[str]]:
    many: dict[str, list[str]] = {}
    for name, value in pairs:
        many.setdefault(name, []).append(value)
    return many


@dataclass
class Socket:
    """One WebSocket connection, from the peer's side."""

    api: str
    connection_id: str = ""

    def __post_init__(self) -> None:
        self.connection_id = self.connection_id or f"connection{next(_numbers)}="

    @property
    def address(self) -> str:
        return f"{self.api}/{STAGE}/{self.connection_id}"

    def connect(self, headers: Mapping[str, str] | None = None, query: Mapping[str, str] | None = None) -> int:
        """The status that the handshake is answered with."""
        extra = {"headers": dict(headers or {}), "queryStringParameters": dict(query or {}) or None}
        return int(self._invoke("CONNECT", **extra)["statusCode"])

    def disconnect(self) -> None:
        self._invoke("DISCONNECT", disconnectStatusCode=1006)

    def send(self, text: str) -> dict[str, Any] | None:
        """What the peer gets back for a message; None for nothing."""
        answer = self._invoke("MESSAGE", body=text)
        assert answer["statusCode"] == 200
        return json.loads(answer["body"]) if "body" in answer else None

    def call(self, method: str, **params: Any) -> dict[str, Any]:
        """The result of a request that succeeds."""
        answer = self.send(protocol.request(1, method, params))
        assert answer is not None
        assert answer.get("id") == 1
        assert "error" not in answer, answer
        result: dict[str, Any] = answer["result"]
        return result

    def refusal(self, method: str, **params: Any) -> dict[str, Any]:
        """The error of a request that is refused."""
        answer = self.send(protocol.request(1, method, params))
        assert answer is not None
        error: dict[str, Any] = answer["error"]
        return error

    def _invoke(self, event_type: str, **extra: Any) -> dict[str, Any]:
        from functions.agents import handler as agents
        from functions.clients import handler as clients

        handle = agents.handle if self.api == AGENTS_API else clients.handle
        answer: dict[str, Any] = handle(self._event(event_type, extra), Invocation.context())
        return answer

    def _event(self, event_type: str, extra: Mapping[str, Any]) -> dict[str, Any]:
        routes = {"CONNECT": "$connect", "DISCONNECT": "$disconnect", "MESSAGE": "$default"}
        return {
            "requestContext": {
                "routeKey": routes[event_type],
                "eventType": event_type,
                "requestId": f"request-{next(_numbers)}",
                "connectionId": self.connection_id,
                "apiId": self.api,
                "stage": STAGE,
                "domainName": f"{self.api}.execute-api.us-east-1.amazonaws.com",
                "identity": {"sourceIp": "192.0.2.1"},
            },
            "isBase64Encoded": False,
            **extra,
        }
