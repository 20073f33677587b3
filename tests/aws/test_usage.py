"""What an account is told of what it spent."""

from __future__ import annotations

from datetime import date
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from filepath import usage
from filepath.access import ALL_SCOPES
from filepath.protocol import End
from filepath.usage import Charge, Group
from tests.aws.conftest import Clock
from tests.aws.gateway import Rest
from tests.aws.people import Person, Sandbox

MINUTE = 60_000


def spend(person: Person, sandbox: Sandbox, minutes: int, key: str | None = None) -> None:
    answer = Rest(key or person.key)(
        "POST", "/api/orchestrator", {"sessionId": sandbox.session_id, "task": "true", "timeoutSeconds": 600}
    )
    workflow_id = answer.body["workflowId"]
    sandbox.run(workflow_id)
    sandbox.finish(workflow_id, end=End("exited", minutes * MINUTE, exit_code=0))


@pytest.fixture
def noon(clock: Clock) -> None:
    clock.now_ms += 36 * 3600_000 - clock.now_ms % (24 * 3600_000)


def today(person: Person, days_before: int = 0) -> str:
    day = usage.day_of(person.platform.clock.now_ms)
    return date.fromordinal(day.toordinal() - days_before).isoformat()


def test_what_was_spent_is_told_by_day_session_and_key(ada: Person, clock: Clock, noon: None) -> None:
    first, second = ada.ready(), ada.ready()
    other = ada.another_key(ALL_SCOPES)
    spend(ada, first, 2)
    clock.pass_(24 * 3600)
    spend(ada, first, 3)
    spend(ada, second, 4, other)
    by = {group: ada.get(f"/api/usage?groupBy={group}").body for group in ("day", "session", "key")}
    assert {answer["total"] for answer in by.values()} == {9} == {ada.money.charged}
    assert shown(by["day"], "day") == {today(ada, 1): (2, 1), today(ada): (7, 2)}
    assert shown(by["session"], "sessionId") == {first.session_id: (5, 2), second.session_id: (4, 1)}
    assert sorted(shown(by["key"], "keyId").values()) == [(4, 1), (5, 2)]
    keys = {key["id"] for key in ada.get("/api/auth/api-key/list").body["keys"]}
    assert shown(by["key"], "keyId").keys() == keys


def test_what_tasks_leave_running_is_told_of_its_session_and_is_no_task(ada: Person) -> None:
    sandbox = ada.ready()
    spend(ada, sandbox, 2)
    told = {"number": 1, "processes": 1, "active": True, "elapsedMs": 61_000, "stopped": None}
    sandbox.socket.call("background", **told)
    answer = ada.get("/api/usage?groupBy=session").body
    assert shown(answer, "sessionId") == {sandbox.session_id: (4, 1)}
    assert answer["total"] == ada.money.charged == 4


def shown(answer: dict[str, Any], name: str) -> dict[str, tuple[int, int]]:
    return {row[name]: (row["credits"], row["tasks"]) for row in answer["rows"]}


def test_both_days_of_a_period_belong_to_it_and_no_other(ada: Person, clock: Clock, noon: None) -> None:
    sandbox = ada.ready()
    for _ in range(3):
        spend(ada, sandbox, 1)
        clock.pass_(24 * 3600)
    assert ada.get(f"/api/usage?from={today(ada, 2)}&to={today(ada, 2)}").body["total"] == 1
    assert ada.get(f"/api/usage?from={today(ada, 3)}&to={today(ada, 2)}").body["total"] == 2
    assert ada.get(f"/api/usage?to={today(ada, 3)}").body["total"] == 1
    assert ada.get(f"/api/usage?from={today(ada, 0)}").body == {"rows": [], "total": 0}


def test_what_was_spent_more_than_thirty_days_ago_is_asked_for(ada: Person, clock: Clock, noon: None) -> None:
    spend(ada, ada.ready(), 1)
    clock.pass_(29 * 24 * 3600)
    assert ada.get("/api/usage").body["total"] == 1
    clock.pass_(24 * 3600)
    assert ada.get("/api/usage").body["total"] == 0
    assert ada.get(f"/api/usage?from={today(ada, 365)}").body["total"] == 1


@pytest.mark.parametrize(
    "query",
    [
        "from=2026-02-30",
        "from=20260131",
        "from=1700000000",
        "from=2026-01-31T00:00:00Z",
        "from=2026-02-01&to=2026-01-31",
        "from=2024-01-01&to=2025-01-02",
        "to=0001-01-01",
        "groupBy=task",
        "first=2026-01-31",
    ],
)
def test_a_period_that_is_none_is_refused(ada: Person, query: str) -> None:
    answer = ada.get(f"/api/usage?{query}")
    assert (answer.status, answer.code) == (400, "invalid_request"), answer.text


def test_nobodys_usage_is_anothers(ada: Person, bob: Person) -> None:
    spend(bob, bob.ready(), 1)
    assert ada.get("/api/usage").body["total"] == 0


CHARGES = st.builds(
    Charge,
    st.integers(0, 10**13),
    st.sampled_from(["wf_" + "0" * 32, "wf_" + "1" * 32]),
    st.integers(1, 50),
    st.none() | st.sampled_from(["key_a", "key_b"]),
)


@given(st.lists(CHARGES), st.sampled_from(["day", "session", "key"]))
def test_no_credit_is_lost_or_counted_twice_by_grouping(charges: list[Charge], group_by: Group) -> None:
    rows = usage.rows(charges, group_by)
    assert sum(row.credits for row in rows) == sum(charge.credits for charge in charges)
    assert sum(row.tasks for row in rows) == len(charges)
    assert len({row.group for row in rows}) == len(rows)
