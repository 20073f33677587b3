"""The client for asyncio: the ways to sessions, tasks and keys. What they do is in `core`, the requests in `calls`."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Mapping
from datetime import date
from types import TracebackType
from typing import Any, Self

from filepath_sdk import calls
from filepath_sdk.aio.backend import Asyncio, Opening
from filepath_sdk.aio.session import AsyncSession
from filepath_sdk.aio.task import AsyncTask
from filepath_sdk.calls import Call
from filepath_sdk.core.deployment import Deployment
from filepath_sdk.core.feed import Pace
from filepath_sdk.core.task import TaskCore
from filepath_sdk.models import ApiKey, Credits, SessionInfo, SignedIn, TaskInfo, Usage, UsageGroup


class AsyncFilepath:
    """A deployment as one account sees it. What is not given is read from FILEPATH_API_KEY, FILEPATH_URL and
    FILEPATH_SOCKET_URL; an empty `api_key` means none, to sign up or in. Use it as a context manager, or
    `close()` it, and in one event loop. Any number of its tasks may run side by side.
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
        self._deployment = Deployment(Asyncio, url=url, api_key=api_key, token=token, socket_url=socket_url, pace=pace)
        self.keys = AsyncKeys(self._deployment)
        self.sessions = AsyncSessions(self._deployment)
        self.tasks = AsyncTasks(self._deployment)

    @property
    def url(self) -> str:
        return self._deployment.url

    async def sign_up(self, email: str, password: str, name: str, invite: str | None = None) -> SignedIn:
        """Make an account. Without an API key, this client goes on with the new account's token."""
        return await self._deployment.sign(calls.sign_up(email, password, name, invite))

    async def sign_in(self, email: str, password: str) -> SignedIn:
        """Without an API key, this client goes on with the token."""
        return await self._deployment.sign(calls.sign_in(email, password))

    async def sign_out(self) -> None:
        """End the token of `sign_up` or `sign_in`."""
        await self._deployment.sign_out()

    async def credits(self) -> Credits:
        """What the account has. A credit is a started minute of a running task."""
        return await self._deployment.send(calls.get_credits())

    async def usage(
        self, from_: date | str | None = None, to: date | str | None = None, *, group_by: UsageGroup = "day"
    ) -> Usage:
        """What credits were spent on, by day, session or key. Days are in UTC and both belong to it: `from_` is 29 days
        before `to` unless given, `to` is today. A task counts on the day on which it was over.
        """
        return await self._deployment.send(calls.get_usage(from_, to, group_by))

    async def health(self) -> Mapping[str, Any]:
        """Whether the deployment answers. Needs no key."""
        return await self._deployment.send(calls.get_health())

    async def close(self) -> None:
        """Close the connections. What runs on the platform runs on."""
        await self._deployment.close()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        await self.close()


class AsyncKeys:
    """The account's API keys."""

    def __init__(self, deployment: Deployment) -> None:
        self._deployment = deployment

    async def create(
        self,
        name: str,
        *,
        expires_in: int | None = None,
        scopes: list[str] | None = None,
        credit_limit: int | None = None,
    ) -> ApiKey:
        """A new key; its `key` is shown this once. `expires_in` in seconds."""
        return await self._deployment.send(calls.create_key(name, expires_in, scopes, credit_limit))

    async def list(self) -> list[ApiKey]:
        """All that are not revoked, without their secrets."""
        return await self._deployment.send(calls.list_keys())

    async def delete(self, key_id: str) -> None:
        """Revoke a key at once."""
        await self._deployment.send(calls.delete_key(key_id))


class AsyncSessions:
    """The account's sessions."""

    def __init__(self, deployment: Deployment) -> None:
        self._deployment = deployment

    def create(
        self,
        name: str | None = None,
        *,
        cpu: int | None = None,
        memory: int | None = None,
        env: Mapping[str, str] | None = None,
        idle_timeout: int | None = None,
        max_age: int | None = None,
        background: int | None = None,
        metadata: Mapping[str, str] | None = None,
    ) -> Opening[AsyncSession]:
        """To be awaited, or entered: `async with fp.sessions.create() as session`. Returns while the sandbox still
        starts: commands can be submitted at once. `cpu` in units of 1/1024 vCPU, `memory` in MB, times in seconds;
        `background`: how long what commands leave running may go on without one.
        Cancelled midway, what was made is closed.
        """
        call = calls.create_session(name, cpu, memory, env, idle_timeout, max_age, background, metadata)
        return self._opening(call, undo=lambda made: calls.close_session(made.id))

    def handle(self, session_id: str) -> AsyncSession:
        """A handle on a session that is known to be there. Nothing is asked until it is used."""
        return AsyncSession(self._deployment, SessionInfo(session_id, "unknown"))

    async def close(self, session_id: str) -> None:
        """End a session and what still runs in it. Closing twice is fine."""
        await self._deployment.send(calls.close_session(session_id))

    def get(self, session_id: str) -> Opening[AsyncSession]:
        """A session with what is known of it now. To be awaited, or entered to close it at the end."""
        return self._opening(calls.get_session(session_id))

    def list(self, *, status: str | None = None, limit: int | None = None) -> AsyncIterator[AsyncSession]:
        """All of them, `limit` to a page; pages are fetched as they are needed."""
        rows = self._deployment.pages(lambda token: calls.list_sessions(status, limit, token))
        return (AsyncSession(self._deployment, info) async for info in rows)

    def _opening(
        self, call: Call[SessionInfo], undo: Callable[[SessionInfo], Call[Any]] | None = None
    ) -> Opening[AsyncSession]:
        async def open_it() -> AsyncSession:
            return AsyncSession(self._deployment, await self._deployment.send(call, undo))

        return Opening(open_it)


class AsyncTasks:
    """The account's tasks. Submitting one is the session's: `session.run` and `session.start`."""

    def __init__(self, deployment: Deployment) -> None:
        self._deployment = deployment

    async def get(self, workflow_id: str) -> TaskInfo:
        """All that is known of a task."""
        return await self._deployment.send(calls.get_task(workflow_id))

    def list(
        self, *, session_id: str | None = None, status: str | None = None, limit: int | None = None
    ) -> AsyncIterator[TaskInfo]:
        """Newest first, `limit` to a page; pages are fetched as they are needed."""
        return self._deployment.pages(lambda token: calls.list_tasks(session_id, status, limit, token))

    def attach(self, workflow_id: str) -> AsyncTask:
        """A handle on a task started elsewhere or earlier. Nothing is asked until it is used."""
        return AsyncTask(TaskCore(self._deployment, workflow_id))
