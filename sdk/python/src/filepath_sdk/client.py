"""The client: credentials, addresses, and the ways to sessions, tasks and keys. Requests are in `calls`."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Mapping
from types import TracebackType
from typing import Any, Self, TypeVar
from urllib.parse import quote

from filepath_sdk import calls
from filepath_sdk.calls import Call, Page
from filepath_sdk.errors import NotConfigured
from filepath_sdk.feed import Address, Feed, Pace
from filepath_sdk.models import ApiKey, Credits, SessionInfo, SignedIn, TaskInfo
from filepath_sdk.session import Session
from filepath_sdk.task import Task
from filepath_sdk.transport import Transport

T = TypeVar("T")


class Filepath:
    """A deployment as one account sees it. What is not given is read from FILEPATH_API_KEY, FILEPATH_URL and
    FILEPATH_SOCKET_URL; an empty `api_key` means none, to sign up or in. Use it as a context manager, or
    `close()` it.
    """

    def __init__(
        self,
        api_key: str | None = None,
        url: str | None = None,
        *,
        token: str | None = None,
        socket_url: str | None = None,
        pace: Pace | None = None,
    ) -> None:
        url = url or os.environ.get("FILEPATH_URL")
        if not url:
            raise NotConfigured("the deployment's URL is not known: pass url=, or set FILEPATH_URL")
        if not url.startswith(("http://", "https://")):
            raise NotConfigured(
                f"the deployment's URL lacks its scheme: {url}",
                what_to_do="Write it with http:// or https:// at its start.",
            )
        if api_key is None and token is None:
            api_key = os.environ.get("FILEPATH_API_KEY")
        self._transport = Transport(url, api_key, token)
        self._socket_url = socket_url or os.environ.get("FILEPATH_SOCKET_URL")
        self.feed = Feed(self._socket_address, pace)
        self.keys = Keys(self)
        self.sessions = Sessions(self)
        self.tasks = Tasks(self)

    @property
    def url(self) -> str:
        return self._transport.url

    def send(self, call: Call[T]) -> T:
        return self._transport.send(call)

    def sign_up(self, email: str, password: str, name: str, invite: str | None = None) -> SignedIn:
        """Make an account. Without an API key, this client goes on with the new account's token."""
        return self._signed_in(self.send(calls.sign_up(email, password, name, invite)))

    def sign_in(self, email: str, password: str) -> SignedIn:
        return self._signed_in(self.send(calls.sign_in(email, password)))

    def _signed_in(self, signed_in: SignedIn) -> SignedIn:
        self._transport.token = signed_in.token
        return signed_in

    def sign_out(self) -> None:
        """End the token of `sign_up` or `sign_in`."""
        self.send(calls.sign_out())
        self._transport.token = None

    def credits(self) -> Credits:
        return self.send(calls.get_credits())

    def health(self) -> Mapping[str, Any]:
        return self.send(calls.get_health())

    def close(self) -> None:
        self.feed.close()
        self._transport.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.close()

    def _socket_address(self) -> Address:
        """A key goes into a header. A token is for REST: it buys a ticket, a new one for each connection."""
        if self._transport.api_key:
            if self._socket_url is None:
                self._socket_url = self.send(calls.create_socket_ticket()).url.partition("?")[0]
            return Address(self._socket_url, self._transport.credentials())
        ticket = self.send(calls.create_socket_ticket())
        url = (self._socket_url or ticket.url).partition("?")[0]
        return Address(f"{url}?ticket={quote(ticket.ticket, safe='')}", {})


class Keys:
    """The account's API keys."""

    def __init__(self, fp: Filepath) -> None:
        self._fp = fp

    def create(
        self,
        name: str,
        *,
        expires_in: int | None = None,
        scopes: list[str] | None = None,
        credit_limit: int | None = None,
    ) -> ApiKey:
        """A new key; its `key` is shown this once. `expires_in` in seconds."""
        return self._fp.send(calls.create_key(name, expires_in, scopes, credit_limit))

    def list(self) -> list[ApiKey]:
        return self._fp.send(calls.list_keys())

    def delete(self, key_id: str) -> None:
        self._fp.send(calls.delete_key(key_id))


class Sessions:
    """The account's sessions."""

    def __init__(self, fp: Filepath) -> None:
        self._fp = fp

    def create(
        self,
        name: str | None = None,
        *,
        cpu: int | None = None,
        memory: int | None = None,
        env: Mapping[str, str] | None = None,
        idle_timeout: int | None = None,
        max_age: int | None = None,
        metadata: Mapping[str, str] | None = None,
    ) -> Session:
        """Returns while the sandbox still starts: commands can be submitted at once. `cpu` in units of 1/1024 vCPU,
        `memory` in MB, times in seconds.
        """
        call = calls.create_session(name, cpu, memory, env, idle_timeout, max_age, metadata)
        return Session(self._fp, self._fp.send(call))

    def handle(self, session_id: str) -> Session:
        """A handle on a session that is known to be there. Nothing is asked until it is used."""
        return Session(self._fp, SessionInfo(session_id, "unknown"))

    def close(self, session_id: str) -> None:
        self._fp.send(calls.close_session(session_id))

    def get(self, session_id: str) -> Session:
        return Session(self._fp, self._fp.send(calls.get_session(session_id)))

    def list(self, *, status: str | None = None, limit: int | None = None) -> Iterator[Session]:
        """All of them, `limit` to a page; pages are fetched as they are needed."""
        rows = _pages(lambda token: self._fp.send(calls.list_sessions(status, limit, token)))
        return (Session(self._fp, info) for info in rows)


class Tasks:
    """The account's tasks. Submitting one is the session's: `session.run` and `session.start`."""

    def __init__(self, fp: Filepath) -> None:
        self._fp = fp

    def get(self, workflow_id: str) -> TaskInfo:
        return self._fp.send(calls.get_task(workflow_id))

    def list(
        self, *, session_id: str | None = None, status: str | None = None, limit: int | None = None
    ) -> Iterator[TaskInfo]:
        return _pages(lambda token: self._fp.send(calls.list_tasks(session_id, status, limit, token)))

    def attach(self, workflow_id: str) -> Task:
        """A handle on a task started elsewhere or earlier. Nothing is asked until it is used."""
        return Task(self._fp, workflow_id, None)


def _pages(page_after: Callable[[str | None], Page[T]]) -> Iterator[T]:
    token: str | None = None
    while True:
        page = page_after(token)
        yield from page.items
        token = page.next_token
        if token is None:
            return
