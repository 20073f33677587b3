"""The client's calls against a platform: accounts, keys, sessions, lists."""

from __future__ import annotations

from datetime import date

import pytest

from filepath_sdk import Filepath, NotFound, SessionClosed, Unauthenticated, UsageRow
from tests.sdk.conftest import Client
from tests.sdk.platform_double import KEY, Platform


def test_from_nothing_to_a_command_with_a_key_of_ones_own(platform: Platform, client: Client) -> None:
    with client("", platform.url) as fp:
        signed_in = fp.sign_up("a@example.com", "password", "Ada")
        key = fp.keys.create("mine")
    assert signed_in.user.email == "a@example.com"
    assert key.key is not None
    assert key.key not in repr(key)
    assert signed_in.token not in repr(signed_in)
    with client(key.key, platform.url, socket_url=platform.socket_url) as fp:
        assert [one.name for one in fp.keys.list()] == ["mine"]
        fp.keys.delete(key.id)
        with pytest.raises(Unauthenticated):
            fp.credits()


def test_a_client_reads_its_settings_from_the_environment(
    platform: Platform, monkeypatch: pytest.MonkeyPatch, client: Client
) -> None:
    monkeypatch.setenv("FILEPATH_API_KEY", KEY)
    monkeypatch.setenv("FILEPATH_URL", platform.url + "/")
    with client() as fp:
        assert fp.credits().balance == 1000


def test_a_list_fetches_its_pages_as_they_are_needed(platform: Platform, fp: Filepath) -> None:
    created = [fp.sessions.create().id for _ in range(5)]
    listed = fp.sessions.list(limit=2)
    platform.requests.clear()
    assert next(listed).id == created[0]
    assert len(platform.requests) == 1
    assert [session.id for session in listed] == created[1:]
    assert len(platform.requests) == 3


def test_a_session_closes_at_the_end_of_its_block(platform: Platform, fp: Filepath) -> None:
    with fp.sessions.create(name="build", env={"A": "1"}, idle_timeout=60) as session:
        assert session.keep_alive() is not None
    assert platform.sessions[session.id]["status"] == "closing"
    assert platform.sessions[session.id]["idleTimeoutSeconds"] == 60
    with pytest.raises(SessionClosed):
        session.run("true")


def test_an_error_inside_the_block_is_not_hidden_by_the_close(platform: Platform, fp: Filepath) -> None:
    session = fp.sessions.create()
    del platform.sessions[session.id]
    with pytest.raises(KeyError), session:
        raise KeyError


def test_usage_is_asked_for_by_period_and_group(platform: Platform, fp: Filepath) -> None:
    by_day = fp.usage(date(2026, 11, 1), "2026-11-30")
    by_session = fp.usage(group_by="session")
    assert (by_day.total, by_day.rows) == (12, (UsageRow(12, 3, day=date(2026, 11, 22)),))
    assert by_session.rows[0].session_id == "ses_1"
    assert platform.periods == [("2026-11-01", "2026-11-30"), (None, None)]


def test_what_is_not_there_is_not_found(platform: Platform, fp: Filepath) -> None:
    with pytest.raises(NotFound):
        fp.tasks.get("wf_9")
    with pytest.raises(NotFound):
        fp.sessions.get("ses_9")
