"""The blocking client: the ways to sessions, tasks and keys. What they do is in `core`, the requests in `calls`."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from datetime import date
from types import TracebackType
from typing import Any, Self

from filepath_sdk import calls
from filepath_sdk.blocking import Blocking, complete, each
from filepath_sdk.core.deployment import Deployment
from filepath_sdk.core.feed import Pace
from filepath_sdk.core.task import TaskCore
from filepath_sdk.models import ApiKey, Credits, SessionInfo, SignedIn, TaskInfo, Usage, UsageGroup
from filepath_sdk.session import Session
from filepath_sdk.task import Task


class Filepath:
    """A deployment as one account sees it. What is not given is read from FILEPATH_API_KEY, FILEPATH_URL and
    FILEPATH_SOCKET_URL; an empty `api_key` means none, to sign up or in. Use it as a context manager, or
    `close()` it. Several threads may share it.
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
        self._deployment = Deployment(Blocking, url=url, api_key=api_key, token=token, socket_url=socket_url, pace=pace)
        self.keys = Keys(self._deployment)
        self.sessions = Sessions(self._deployment)
        self.tasks = Tasks(self._deployment)

    @property
    def url(self) -> str:
        return self._deployment.url

    def sign_up(self, email: str, password: str, name: str, invite: str | None = None) -> SignedIn:
        """Make an account. Without an API key, this client goes on with the new account's token."""
        return complete(self._deployment.sign(calls.sign_up(email, password, name, invite)))

    def sign_in(self, email: str, password: str) -> SignedIn:
        """Without an API key, this client goes on with the token."""
        return complete(self._deployment.sign(calls.sign_in(email, password)))

    def sign_out(self) -> None:
        """End the token of `sign_up` or `sign_in`."""
        complete(self._deployment.sign_out())

    def credits(self) -> Credits:
        """What the account has. A credit is a started minute of a running task."""
        return complete(self._deployment.send(calls.get_credits()))

    def usage(
        self, from_: date | str | None = None, to: date | str | None = None, *, group_by: UsageGroup = "day"
    ) -> Usage:
        """What credits were spent on, by day, session or key. Days are in UTC and both belong to it: `from_` is 29 days
        before `to` unless given, `to` is today. A task counts on the day on which it was over.
        """
        return complete(self._deployment.send(calls.get_usage(from_, to, group_by)))

    def health(self) -> Mapping[str, Any]:
        """Whether the deployment answers. Needs no key."""
        return complete(self._deployment.send(calls.get_health()))

    def close(self) -> None:
        """Close the connections. What runs on the platform runs on."""
        complete(self._deployment.close())

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.close()


class Keys:
    """The account's API keys."""

    def __init__(self, deployment: Deployment) -> None:
        self._deployment = deployment

    def create(
        self,
        name: str,
        *,
        expires_in: int | None = None,
        scopes: list[str] | None = None,
        credit_limit: int | None = None,
    ) -> ApiKey:
        """A new key; its `key` is shown this once. `expires_in` in seconds."""
        return complete(self._deployment.send(calls.create_key(name, expires_in, scopes, credit_limit)))

    def list(self) -> list[ApiKey]:
        """All that are not revoked, without their secrets."""
        return complete(self._deployment.send(calls.list_keys()))

    def delete(self, key_id: str) -> None:
        """Revoke a key at once."""
        complete(self._deployment.send(calls.delete_key(key_id)))


class Sessions:
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
    ) -> Session:
        """Returns while the sandbox still starts: commands can be submitted at once. `cpu` in units of 1/1024 vCPU,
        `memory` in MB, times in seconds; `background`: how long what commands leave running may go on without one.
        """
        call = calls.create_session(name, cpu, memory, env, idle_timeout, max_age, background, metadata)
        return Session(self._deployment, complete(self._deployment.send(call)))

    def handle(self, session_id: str) -> Session:
        """A handle on a session that is known to be there. Nothing is asked until it is used."""
        return Session(self._deployment, SessionInfo(session_id, "unknown"))

    def close(self, session_id: str) -> None:
        """End a session and what still runs in it. Closing twice is fine."""
        complete(self._deployment.send(calls.close_session(session_id)))

    def get(self, session_id: str) -> Session:
        """A session with what is known of it now."""
        return Session(self._deployment, complete(self._deployment.send(calls.get_session(session_id))))

    def list(self, *, status: str | None = None, limit: int | None = None) -> Iterator[Session]:
        """All of them, `limit` to a page; pages are fetched as they are needed."""
        rows = self._deployment.pages(lambda token: calls.list_sessions(status, limit, token))
        return (Session(self._deployment, info) for info in each(rows))


class Tasks:
    """The account's tasks. Submitting one is the session's: `session.run` and `session.start`."""

    def __init__(self, deployment: Deployment) -> None:
        self._deployment = deployment

    def get(self, workflow_id: str) -> TaskInfo:
        """All that is known of a task."""
        return complete(self._deployment.send(calls.get_task(workflow_id)))

    def list(
        self, *, session_id: str | None = None, status: str | None = None, limit: int | None = None
    ) -> Iterator[TaskInfo]:
        """Newest first, `limit` to a page; pages are fetched as they are needed."""
        return each(self._deployment.pages(lambda token: calls.list_tasks(session_id, status, limit, token)))

    def attach(self, workflow_id: str) -> Task:
        """A handle on a task started elsewhere or earlier. Nothing is asked until it is used."""
        return Task(TaskCore(self._deployment, workflow_id))
