"""A platform for each test, and clients of it. A test that asks for `client` or `fp` is run with both flavours."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import pytest

from filepath_sdk import Filepath
from tests.sdk.driven import Loop
from tests.sdk.platform_double import KEY, Platform

Client = Callable[..., Filepath]


@pytest.fixture
def platform(monkeypatch: pytest.MonkeyPatch) -> Iterator[Platform]:
    for name in ("FILEPATH_URL", "FILEPATH_API_KEY", "FILEPATH_SOCKET_URL"):
        monkeypatch.delenv(name, raising=False)
    with Platform() as served:
        yield served


@pytest.fixture(params=["blocking", "asyncio"])
def client(request: pytest.FixtureRequest) -> Iterator[Client]:
    """Makes a client. Once those are closed, nothing of them is left in their event loop."""
    if request.param == "blocking":
        yield Filepath
        return
    with Loop() as loop:
        yield loop.client
        assert loop.tasks_left() == set()


@pytest.fixture
def fp(platform: Platform, client: Client) -> Iterator[Filepath]:
    with client(KEY, platform.url) as made:
        yield made
