"""What only the stack's owner may do."""

from __future__ import annotations

from typing import Any

import pytest

from filepath.aws import keys, table
from functions.operator import handler
from tests.aws.gateway import Invocation
from tests.aws.people import Person, Platform
from tests.aws.wire import Wire


def operate(**event: Any) -> dict[str, Any]:
    return handler.handle(event, Invocation.context())


def test_a_grant_goes_through_the_ledger(ada: Person) -> None:
    answer = operate(action="grant", email=" Ada@example.org", credits=50)
    assert (answer["email"], answer["granted"], answer["balance"]) == ("ada@example.org", 50, 150)
    lines = list(table.query_all(keys.user_partition(ada.user_id), prefix="LEDGER#"))
    assert [line["credits"] for line in lines] == [100, 50]
    assert ada.get("/api/credits").body["available"] == 150


@pytest.mark.parametrize("credits", [0, -5])
def test_a_grant_takes_nothing_back(ada: Person, credits: int) -> None:
    with pytest.raises(ValueError, match="at least 1"):
        operate(action="grant", email="ada@example.org", credits=credits)
    assert ada.money.granted == 100


def test_a_grant_to_nobody_says_so(platform: Platform) -> None:
    with pytest.raises(LookupError, match="sign up"):
        operate(action="grant", email="nobody@example.org", credits=5)


def test_an_invite_is_another_each_time(platform: Platform) -> None:
    first, second = operate(action="invite"), operate(action="invite")
    assert first["invite"].startswith("fpi_")
    assert first["invite"] != second["invite"]


@pytest.mark.parametrize(
    "event",
    [{}, {"action": "drop"}, {"action": "grant", "email": "a@b.c"}, {"action": "grant", "email": 1, "credits": "5"}],
)
def test_what_is_not_understood_says_what_would_be(platform: Platform, event: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match="send"):
        operate(**event)


def test_closing_all_is_asked_again_until_none_is_open(ada: Person, bob: Person, wire: Wire) -> None:
    sandboxes = [ada.ready(), bob.ready()]
    starting = bob.sandbox()
    assert operate(action="closeSessions", reason="shutdown") == {"open": 3}
    for sandbox in sandboxes:
        assert sandbox.platform.session(sandbox.session_id).reason == "shutdown"
        assert sandbox.live_token in wire.woken
    assert starting.launch_token in wire.woken
    for sandbox in (*sandboxes, starting):
        sandbox.platform.step("end_session", sessionId=sandbox.session_id)
    assert operate(action="closeSessions", reason="shutdown") == {"open": 0}
    assert starting.platform.session(starting.session_id).status == "closed"
