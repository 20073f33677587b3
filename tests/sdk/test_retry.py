"""When a failed call is tried again, and what the platform sees of it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from filepath_sdk import (
    Conflict,
    Filepath,
    FilepathError,
    InvalidRequest,
    NotConfigured,
    QuotaExceeded,
    RateLimited,
    Unauthenticated,
    Unavailable,
    Unreachable,
)
from filepath_sdk.aio.backend import Asyncio
from filepath_sdk.blocking import Blocking
from filepath_sdk.calls import Reply, error_of, get_health
from filepath_sdk.core.backend import Backend
from filepath_sdk.core.deployment import Deployment
from filepath_sdk.retry import LONGEST_RETRY_AFTER, TRIES, backoff, pause_before_retry
from tests.sdk.conftest import Client
from tests.sdk.platform_double import KEY, Platform


def test_a_create_whose_answer_was_lost_is_repeated_with_its_key_and_done_once(
    platform: Platform, fp: Filepath
) -> None:
    platform.lose_next = 1
    session = fp.sessions.create(name="once")
    assert len(platform.sessions) == 1
    assert session.id in platform.sessions
    assert platform.keys_seen[0] is not None
    assert platform.keys_seen[0] == platform.keys_seen[1]


def test_two_creates_have_two_keys(platform: Platform, fp: Filepath) -> None:
    fp.sessions.create()
    fp.sessions.create()
    assert len(set(platform.keys_seen)) == 2
    assert len(platform.sessions) == 2


def test_a_throttled_call_is_repeated_after_the_time_that_the_platform_names(platform: Platform, fp: Filepath) -> None:
    platform.fail_next = [(429, {"retry-after": "0"}), (503, {"retry-after": "0"})]
    assert fp.credits().available == 990
    assert platform.requests == [("GET", "/api/credits")] * 3


def test_a_revocation_whose_answer_was_lost_is_not_repeated(platform: Platform, fp: Filepath) -> None:
    """The second time it would be refused: the key is gone."""
    key = fp.keys.create("short-lived")
    platform.lose_next = 1
    with pytest.raises(Unavailable):
        fp.keys.delete(key.id)
    assert platform.requests[1:] == [("POST", "/api/auth/api-key/delete")]


def test_an_error_carries_the_envelope_and_says_what_to_do(platform: Platform, client: Client) -> None:
    with client("fp_wrong", platform.url) as fp, pytest.raises(Unauthenticated) as caught:
        fp.credits()
    error = caught.value
    assert (error.code, error.status, error.request_id) == ("unauthenticated", 401, "req-1")
    assert "signup" in error.what_to_do
    assert error.envelope()["error"]["message"] == "The key is not known. Create one."


@pytest.mark.parametrize("backend", [Blocking, Asyncio])
async def test_a_deployment_that_is_not_there_is_named(backend: Callable[[], Backend]) -> None:
    given: Any = {"api_key": KEY, "token": None, "socket_url": None, "pace": None}
    deployment = Deployment(backend, url="http://127.0.0.1:9", **given)
    with pytest.raises(Unreachable, match=r"127\.0\.0\.1:9"):
        await deployment._reply(get_health(), {})
    await deployment.close()


def test_without_a_url_the_error_names_the_variable(monkeypatch: pytest.MonkeyPatch, client: Client) -> None:
    monkeypatch.delenv("FILEPATH_URL", raising=False)
    with pytest.raises(NotConfigured, match="FILEPATH_URL"):
        client(KEY)


@pytest.mark.parametrize(
    ("error", "repeatable", "pauses"),
    [
        (Unavailable("…", retryable=True), True, True),
        (Unavailable("…", retryable=True), False, False),
        (Unreachable("…", retryable=True), False, True),
        (RateLimited("…", retryable=True, retry_after=2), False, True),
        (RateLimited("…", retryable=True, retry_after=LONGEST_RETRY_AFTER + 1), True, False),
        (QuotaExceeded("…", retryable=False, retry_after=1), True, False),
        (InvalidRequest("…"), True, False),
    ],
)
def test_only_what_may_succeed_unchanged_and_was_not_done_is_tried_again(
    error: FilepathError, repeatable: bool, pauses: bool
) -> None:
    assert (pause_before_retry(error, 1, repeatable=repeatable, chance=0.5) is not None) is pauses


def test_tries_end() -> None:
    error = Unavailable("…", retryable=True)
    assert pause_before_retry(error, TRIES, repeatable=True, chance=0.5) is None


def test_pauses_grow_and_stay_bounded() -> None:
    pauses = [backoff(failures, 0.999) for failures in range(40)]
    assert pauses == sorted(pauses)
    assert pauses[0] < 0.3
    assert pauses[-1] <= 8.0


def test_what_api_gateway_says_by_itself_becomes_an_error_of_its_status() -> None:
    error = error_of(Reply(504, {}, b'{"message": "Endpoint request timed out"}'))
    assert isinstance(error, Unavailable)
    assert error.retryable
    assert error.message == "Endpoint request timed out"
    assert isinstance(error_of(Reply(409, {}, b"<html>")), Conflict)
