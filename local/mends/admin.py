"""The emulator's own endpoints.

AWS has none.

MiniStack answers `/_ministack/*`, `/_localstack/*` and some of `/_aws/*` to anybody, among them one that forgets all
state, and an instance metadata service that hands out credentials. A sandbox shares this machine's network, so all of
them are refused but the health check and the path form of execute-api.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any

Scope = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[MutableMapping[str, Any]]]
Send = Callable[[MutableMapping[str, Any]], Awaitable[None]]
App = Callable[[Scope, Receive, Send], Awaitable[None]]

OPEN = ("/_ministack/health", "/_aws/execute-api/")
CLOSED = ("/_", "/latest/", "/v2/credentials", "/v2/metadata", "/v3/", "/v4/", "/iceberg")


def is_closed(path: str) -> bool:
    return path.startswith(CLOSED) and not path.startswith(OPEN)


def guarded(app: App) -> App:
    """The same application, without the endpoints that only its developers need."""

    async def guard(scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http" or not is_closed(scope["path"]):
            await app(scope, receive, send)
            return
        headers = [(b"content-type", b"application/json")]
        await send({"type": "http.response.start", "status": 403, "headers": headers})
        await send({"type": "http.response.body", "body": b'{"message":"Forbidden"}'})

    return guard


def apply() -> None:
    from ministack import app

    app.app = guarded(app.app)
