"""How a socket's messages reach their function, and what comes back.

AWS runs the messages of all connections, and of one connection too, side by side, each in a worker of its own; sends a
function's answer only where the route has a route response; answers in its own words where the function failed or was
throttled, or answered with more than 128 KB; refuses a handshake with the status that `$connect` gave; refuses to post
more than 128 KB.

MiniStack takes one message at a time per function, over all connections; sends every answer, of any size; says nothing
on failure; refuses every handshake with 403; posts anything. So no race would show here, and an agent could not tell
"refused" from "try again".
"""

# ruff: noqa: SLF001 - a mend reaches into what it mends

from __future__ import annotations

import asyncio
import json
import uuid
from collections.abc import Awaitable, Callable
from contextvars import ContextVar
from typing import Any

MESSAGE_LIMIT = 128 * 1024

_refusal: ContextVar[dict[str, Any] | None] = ContextVar("_refusal", default=None)
"""Of the handshake in hand: what `$connect` answered, where it did not let the caller in."""
_running: set[asyncio.Task[None]] = set()
FAILED: dict[str, Any] = {}
"""The reply of a function that raised, ran out of time or was throttled; told apart by being this very object."""


def apply() -> None:
    from ministack.core import lambda_runtime
    from ministack.services import apigateway

    lambda_runtime.get_or_create_worker = Leased
    apigateway._invoke_ws_lambda = side_by_side(apigateway, apigateway._invoke_ws_lambda)
    apigateway.handle_websocket = refusing_with_its_status(apigateway, apigateway.handle_websocket)
    apigateway.handle_connections_api = within_the_limit(apigateway.handle_connections_api)


class Leased:
    """Stands for the one worker that the emulator would hand out: each call leases a worker of its own.

    By way of the emulator's general path, which counts concurrency and writes the log.
    """

    def __init__(self, name: str, config: dict[str, Any], code_zip: bytes, qualifier: str = "$LATEST") -> None:
        self._qualifier = qualifier
        self._name = name
        self._function = {"config": config, "code_zip": code_zip}

    def invoke(self, event: dict[str, Any], request_id: str) -> dict[str, Any]:  # noqa: ARG002
        from ministack.services import lambda_svc

        reserved = (lambda_svc._functions.get(self._name) or {}).get("concurrency")
        outcome = lambda_svc._execute_function({**self._function, "concurrency": reserved}, event)
        if outcome.get("error") or outcome.get("throttle"):
            return {"status": "ok", "result": FAILED}
        return {"status": "ok", "result": outcome.get("body")}


def failure(connection_id: str, status: int = 500) -> dict[str, Any]:
    """API Gateway's own words for a function that failed or was throttled."""
    words = {"message": "Internal server error", "connectionId": connection_id, "requestId": uuid.uuid4().hex}
    return {"statusCode": status, "body": json.dumps(words)}


def side_by_side(apigateway: Any, invoke_ws_lambda: Callable[..., Awaitable[Any]]) -> Callable[..., Awaitable[Any]]:
    async def answer(route: dict[str, Any], connection_id: str, *arguments: Any, **named: Any) -> None:
        reply = await invoke_ws_lambda(*arguments, **named)
        connection = apigateway._ws_connections.get(connection_id)
        if connection is None:
            return
        if _failed(reply):
            await connection["outbox"].put(failure(connection_id)["body"])
        elif reply.get("body") and _is_answered(apigateway, arguments[0], route):
            text = _text(reply["body"])
            fits = len(text.encode()) <= MESSAGE_LIMIT
            await connection["outbox"].put(text if fits else failure(connection_id)["body"])

    async def invoke(*arguments: Any, **named: Any) -> Any:
        _api_id, _account, _region, route, _stage, connection_id, event_type, *_rest = arguments
        if event_type == "MESSAGE":
            task = asyncio.create_task(answer(route, connection_id, *arguments, **named))
            _running.add(task)
            task.add_done_callback(_running.discard)
            return None
        reply = await invoke_ws_lambda(*arguments, **named)
        if event_type != "CONNECT":
            return reply
        reply = failure(connection_id) if _failed(reply) else reply
        _refusal.set({**reply, "connectionId": connection_id})
        return reply

    return invoke


def _failed(reply: Any) -> bool:
    """Also a reply that is not in the form that API Gateway asks for."""
    return reply is FAILED or not isinstance(reply, dict) or "statusCode" not in reply


def _is_answered(apigateway: Any, api_id: str, route: dict[str, Any]) -> bool:
    responses = apigateway._route_responses.get(api_id, {}).get(route["routeId"])
    return bool(route.get("routeResponseSelectionExpression") and responses)


def _text(body: Any) -> str:
    return body if isinstance(body, str) else json.dumps(body)


def refusing_with_its_status(apigateway: Any, handle: Callable[..., Awaitable[None]]) -> Callable[..., Awaitable[None]]:
    async def handle_websocket(scope: Any, receive: Any, send: Any, *arguments: Any, **named: Any) -> None:
        _refusal.set(None)

        async def send_or_refuse(message: dict[str, Any]) -> None:
            refusal = _refusal.get()
            if message["type"] == "websocket.accept":
                _refusal.set(None)
            elif message["type"] == "websocket.close" and refusal is not None:
                words = (refusal["statusCode"], _reason(refusal), refusal["connectionId"], uuid.uuid4().hex)
                await apigateway._refuse_ws_handshake(scope, send, *words)
                return
            await send(message)

        await handle(scope, receive, send_or_refuse, *arguments, **named)

    return handle_websocket


def _reason(refusal: dict[str, Any]) -> str:
    return {401: "Unauthorized", 403: "Forbidden"}.get(refusal["statusCode"], "Internal server error")


def within_the_limit(handle: Callable[..., Awaitable[Any]]) -> Callable[..., Awaitable[Any]]:
    async def handle_connections_api(*arguments: Any, **named: Any) -> Any:
        method, _api_id, _stage, _connection_id, body, _headers = arguments
        if method == "POST" and len(body) > MESSAGE_LIMIT:
            headers = {"Content-Type": "application/json", "x-amzn-ErrorType": "PayloadTooLargeException"}
            return 413, headers, b'{"message":"Message too long"}'
        return await handle(*arguments, **named)

    return handle_connections_api
