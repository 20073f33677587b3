"""What the core needs of its surroundings: requests, sockets, waits, and work that goes on beside the caller.

`filepath_sdk.blocking` has it with threads, `filepath_sdk.aio.backend` with asyncio. The errors are those of httpx
and websockets, which are the same in both flavours.
"""

from __future__ import annotations

from collections.abc import Callable, Coroutine, Mapping
from dataclasses import dataclass
from typing import Any, Protocol, TypeVar

import httpx

from filepath_sdk._version import __version__

T = TypeVar("T")
Doing = Coroutine[Any, Any, T]

USER_AGENT = f"filepath-sdk/{__version__}"
TIMEOUT = httpx.Timeout(60.0, connect=10.0)
"""API Gateway ends an integration after 29 s; a local deployment that starts cold may take longer."""
MAX_MESSAGE = 256 * 1024
CLOSE_TIMEOUT = 1.0
PARTING_SECONDS = 10.0
"""For which a caller that is being cancelled is kept, so that what it began does not run on."""


@dataclass(frozen=True)
class Request:
    method: str
    url: str
    query: Mapping[str, str | int]
    body: Mapping[str, Any] | None
    headers: Mapping[str, str]

    def arguments(self) -> dict[str, Any]:
        """As httpx's clients take them."""
        return {
            "method": self.method,
            "url": self.url,
            "params": dict(self.query),
            "json": self.body,
            "headers": dict(self.headers),
        }


@dataclass(frozen=True)
class Address:
    """Of the clients' socket, with what opens it."""

    url: str
    headers: Mapping[str, str]

    def arguments(self, open_timeout: float) -> dict[str, Any]:
        """As websockets' `connect` takes them."""
        return {
            "uri": self.url,
            "additional_headers": dict(self.headers),
            "user_agent_header": USER_AGENT,
            "compression": None,
            "open_timeout": open_timeout,
            "close_timeout": CLOSE_TIMEOUT,
            "max_size": MAX_MESSAGE,
        }


class Connection(Protocol):
    """An open WebSocket."""

    async def send(self, text: str) -> None: ...

    async def recv(self, timeout: float) -> str | bytes:
        """Raises TimeoutError, or ConnectionClosed."""

    async def close(self) -> None: ...


class Flag(Protocol):
    def is_set(self) -> bool: ...

    def set(self) -> None: ...

    def clear(self) -> None: ...

    async def wait(self, timeout: float | None = None) -> None:
        """Until it is set, or for `timeout` seconds."""


class Worker(Protocol):
    async def end(self) -> None:
        """Returns when the work is over. What it waits for has been told to end."""


class Backend(Protocol):
    interruptions: tuple[type[BaseException], ...]
    """How a caller is told to stop in the middle of a call."""

    async def request(self, request: Request) -> httpx.Response: ...

    async def connect(self, address: Address, open_timeout: float) -> Connection: ...

    async def sleep(self, seconds: float) -> None: ...

    def flag(self) -> Flag: ...

    def work(self, what: Callable[[], Doing[None]]) -> Worker:
        """Have it done beside the caller."""

    async def undoable(self, doing: Doing[T], undo: Callable[[T], Doing[object]]) -> T:
        """Do it. Where its caller can be cancelled meanwhile, what was made by then is undone."""

    async def part(self, doing: Doing[None]) -> None:
        """Do it for a caller that was interrupted: not for long, and no failure takes the interruption's place."""

    async def close(self) -> None: ...
