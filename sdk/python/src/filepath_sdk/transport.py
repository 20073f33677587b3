"""Sends calls over HTTP and repeats them where that is safe. Requests and replies are in `calls`."""

from __future__ import annotations

import random
import time
import uuid
from typing import TypeVar

import httpx

from filepath_sdk._version import __version__
from filepath_sdk.calls import Call, Reply, error_of
from filepath_sdk.errors import FilepathError, Unavailable, Unreachable
from filepath_sdk.retry import pause_before_retry

T = TypeVar("T")
_chance = random.SystemRandom()
USER_AGENT = f"filepath-sdk/{__version__}"
TIMEOUT = httpx.Timeout(60.0, connect=10.0)
"""API Gateway ends an integration after 29 s; a local deployment that starts cold may take longer."""


class Transport:
    """Credentials and a connection pool. Safe to use from several threads."""

    def __init__(self, url: str, api_key: str | None, token: str | None) -> None:
        self.url = url.rstrip("/")
        self.api_key = api_key
        self.token = token
        self._http = httpx.Client(base_url=self.url, timeout=TIMEOUT, headers={"user-agent": USER_AGENT})

    def credentials(self) -> dict[str, str]:
        if self.api_key:
            return {"x-api-key": self.api_key}
        return {"authorization": f"Bearer {self.token}"} if self.token else {}

    def send(self, call: Call[T]) -> T:
        headers = self.credentials()
        if call.creates:
            headers["idempotency-key"] = str(uuid.uuid4())
        tries = 0
        while True:
            try:
                return call.parse(self._reply(call, headers).json())
            except FilepathError as error:
                tries += 1
                pause = pause_before_retry(error, tries, repeatable=call.repeatable, chance=_chance.random())
                if pause is None:
                    raise
                time.sleep(pause)

    def _reply(self, call: Call[T], headers: dict[str, str]) -> Reply:
        try:
            response = self._http.request(
                call.method, call.path, params=dict(call.query), json=call.body, headers=headers
            )
        except (httpx.ConnectError, httpx.ConnectTimeout) as error:
            raise Unreachable(f"{self.url} cannot be reached: {error}", retryable=True) from error
        except httpx.TransportError as error:
            raise Unavailable(f"{self.url} did not answer: {error!r}", retryable=True) from error
        reply = Reply(response.status_code, response.headers, response.content)
        if reply.status >= 400:
            raise error_of(reply)
        return reply

    def close(self) -> None:
        self._http.close()
