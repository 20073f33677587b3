"""A deployment as one account reaches it: its address, the credentials, calls that are repeated where that is safe,
and the feed of events. Requests and replies are in `calls`.
"""

from __future__ import annotations

import itertools
import os
import random
import uuid
from collections.abc import AsyncIterator, Callable
from typing import Any, TypeVar
from urllib.parse import quote

import httpx

from filepath_sdk import calls
from filepath_sdk.calls import Call, Page, Reply, error_of
from filepath_sdk.core.backend import USER_AGENT, Address, Backend, Request
from filepath_sdk.core.feed import Feed, Pace
from filepath_sdk.errors import FilepathError, NotConfigured, Unavailable, Unreachable
from filepath_sdk.models import SignedIn
from filepath_sdk.retry import pause_before_retry

T = TypeVar("T")
_chance = random.SystemRandom()


class Deployment:
    """What is not given is read from the environment."""

    def __init__(
        self,
        backend: Callable[[], Backend],
        *,
        url: str | None,
        api_key: str | None,
        token: str | None,
        socket_url: str | None,
        pace: Pace | None,
    ) -> None:
        self.url = _url(url or os.environ.get("FILEPATH_URL"))
        given = api_key is not None or token is not None
        self._api_key = api_key if given else os.environ.get("FILEPATH_API_KEY")
        self._token = token
        self._socket_url = socket_url or os.environ.get("FILEPATH_SOCKET_URL")
        self.backend = backend()
        self.feed = Feed(self.backend, self._socket_address, pace)

    async def send(self, call: Call[T], undo: Callable[[T], Call[Any]] | None = None) -> T:
        """`undo` is sent when the caller is cancelled while the answer is on its way: only the answer tells what
        there is to undo.
        """
        if undo is None:
            return await self._send(call)
        return await self.backend.undoable(self._send(call), lambda made: self._send(undo(made)))

    async def _send(self, call: Call[T]) -> T:
        headers = self._credentials()
        if call.creates:
            headers["idempotency-key"] = str(uuid.uuid4())
        for tries in itertools.count(1):
            try:
                return call.parse((await self._reply(call, headers)).json())
            except FilepathError as error:
                pause = pause_before_retry(error, tries, repeatable=call.repeatable, chance=_chance.random())
                if pause is None:
                    raise
                await self.backend.sleep(pause)
        raise AssertionError("the tries end with an answer or an error")

    async def _reply(self, call: Call[T], headers: dict[str, str]) -> Reply:
        headers = {"user-agent": USER_AGENT, **headers}
        request = Request(call.method, self.url + call.path, call.query, call.body, headers)
        try:
            response = await self.backend.request(request)
        except (httpx.ConnectError, httpx.ConnectTimeout) as error:
            raise Unreachable(f"{self.url} cannot be reached: {error}", retryable=True) from error
        except httpx.TransportError as error:
            raise Unavailable(f"{self.url} did not answer: {error!r}", retryable=True) from error
        reply = Reply(response.status_code, response.headers, response.content)
        if reply.status >= 400:
            raise error_of(reply)
        return reply

    async def pages(self, page_after: Callable[[str | None], Call[Page[T]]]) -> AsyncIterator[T]:
        """The items of a list; each page is fetched when it is needed."""
        token: str | None = None
        while True:
            page = await self.send(page_after(token))
            for item in page.items:
                yield item
            token = page.next_token
            if token is None:
                return

    async def sign(self, call: Call[SignedIn]) -> SignedIn:
        """Sign up or in, and go on with the token."""
        signed_in = await self.send(call)
        self._token = signed_in.token
        return signed_in

    async def sign_out(self) -> None:
        await self.send(calls.sign_out())
        self._token = None

    async def close(self) -> None:
        try:
            await self.feed.close()
        finally:
            await self.backend.close()

    def _credentials(self) -> dict[str, str]:
        if self._api_key:
            return {"x-api-key": self._api_key}
        return {"authorization": f"Bearer {self._token}"} if self._token else {}

    async def _socket_address(self) -> Address:
        """A key goes into a header. A token is for REST: it buys a ticket, a new one for each connection."""
        if self._api_key:
            if self._socket_url is None:
                self._socket_url = (await self.send(calls.create_socket_ticket())).url.partition("?")[0]
            return Address(self._socket_url, self._credentials())
        ticket = await self.send(calls.create_socket_ticket())
        url = (self._socket_url or ticket.url).partition("?")[0]
        return Address(f"{url}?ticket={quote(ticket.ticket, safe='')}", {})


def _url(url: str | None) -> str:
    if not url:
        raise NotConfigured("the deployment's URL is not known: pass url=, or set FILEPATH_URL")
    if not url.startswith(("http://", "https://")):
        raise NotConfigured(
            f"the deployment's URL lacks its scheme: {url}",
            what_to_do="Write it with http:// or https:// at its start.",
        )
    return url.rstrip("/")
