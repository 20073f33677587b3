"""A client of the REST API that does as the contract says: what may succeed later it sends again, under one key."""

from __future__ import annotations

from typing import Any, Self

import httpx

from tests.stack.bank import Money
from tests.stack.conftest import RunningStack, eventually

PATIENCE_SECONDS = 150


class Caller:
    """Used by several threads. One client for all requests: each has a TLS context, which takes 40 ms to make."""

    def __init__(self, stack: RunningStack, key: str) -> None:
        # A connection for each request, as from many callers.
        limits = httpx.Limits(max_keepalive_connections=0)
        self._http = httpx.Client(base_url=stack.url, headers={"x-api-key": key}, timeout=60, limits=limits)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._http.close()

    def persistently(self, method: str, path: str, *, key: str | None = None, **request: Any) -> httpx.Response:
        headers = {"Idempotency-Key": key} if key else {}

        def ask() -> httpx.Response:
            return self._http.request(method, path, headers=headers, **request)

        return eventually(ask, _is_an_answer, PATIENCE_SECONDS)

    def credits(self) -> Money | None:
        answer = self._http.get("/api/credits")
        return answer.json() if answer.status_code == 200 else None


def _is_an_answer(answer: httpx.Response) -> bool:
    """None is the gateway's own words, where a function died."""
    return answer.status_code < 500 and answer.status_code != 429
