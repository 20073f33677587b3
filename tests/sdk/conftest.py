"""A platform for each test, and a client of it."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from filepath_sdk import Filepath
from tests.sdk.platform_double import KEY, Platform


@pytest.fixture
def platform(monkeypatch: pytest.MonkeyPatch) -> Iterator[Platform]:
    for name in ("FILEPATH_URL", "FILEPATH_API_KEY", "FILEPATH_SOCKET_URL"):
        monkeypatch.delenv(name, raising=False)
    with Platform() as served:
        yield served


@pytest.fixture
def fp(platform: Platform) -> Iterator[Filepath]:
    with Filepath(KEY, platform.url) as client:
        yield client
