"""A session: its states, its clocks, and why it ends."""

from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from filepath import session as core
from filepath.session import (
    ASKED_FOR,
    FARGATE_MEMORY_MB,
    OPEN,
    TRANSITIONS,
    Reason,
    Session,
    SessionStatus,
    active_since,
    alarm,
    closing_reason,
    debounce,
    final_status,
    overdue,
    silent,
    stop_reason,
)

NOW = 1_800_000_000_000
READY = Session(
    session_id="ses_1",
    user_id="usr_1",
    status=SessionStatus.READY,
    created_at=NOW - 60_000,
    last_active=NOW,
    cpu=1024,
    memory=2048,
    idle_seconds=600,
    max_age_seconds=86_400,
    ready_at=NOW - 30_000,
    last_heard=NOW,
)
STARTING = replace(READY, status=SessionStatus.STARTING, ready_at=None, last_heard=None)
IDLE_SECONDS = st.integers(1, 604_800)
AGES = st.integers(60, 2_592_000)


def a_session(**changed: Any) -> Session:
    return replace(READY, **changed)


# States


def test_every_state_can_be_reached_and_every_state_leads_to_an_end() -> None:
    reached = {SessionStatus.STARTING}.union(*TRANSITIONS.values())
    assert reached == set(SessionStatus) == set(TRANSITIONS)
    for status in SessionStatus:
        ahead, before = {status}, set[SessionStatus]()
        while ahead != before:
            before, ahead = ahead, ahead.union(*(TRANSITIONS[state] for state in ahead))
        assert any(not TRANSITIONS[state] for state in ahead)


def test_nothing_leads_out_of_an_end_nor_back_to_where_a_session_was() -> None:
    assert {status for status in SessionStatus if not TRANSITIONS[status]} == {
        SessionStatus.CLOSED,
        SessionStatus.FAILED,
    }
    order = list(SessionStatus)
    assert all(order.index(after) > order.index(status) for status in order for after in TRANSITIONS[status])


@pytest.mark.parametrize("status", SessionStatus)
def test_a_session_takes_tasks_only_before_it_closes(status: SessionStatus) -> None:
    assert a_session(status=status).takes_tasks == (status in {"starting", "ready"}) == (status in OPEN)


# Clocks


@given(IDLE_SECONDS, AGES, st.integers(-10_000_000, 10_000_000))
def test_the_alarms_heartbeat_is_always_below_its_timeout(idle: int, age: int, passed: int) -> None:
    """Step Functions refuses the state otherwise."""
    for session in (a_session(idle_seconds=idle, max_age_seconds=age), replace(STARTING, idle_seconds=idle)):
        clock = alarm(session, NOW + passed * 1000)
        assert 0 < clock.heartbeat_seconds < clock.timeout_seconds
        assert clock.heartbeat_seconds <= idle + debounce(idle)


@given(IDLE_SECONDS)
def test_activity_is_noted_often_enough_for_the_alarm_never_to_ring_on_a_busy_session(idle: int) -> None:
    """The worst case: something happens just within the debounce, and then just within the idle time."""
    assert 0 < debounce(idle) <= max(15, idle / 10)
    assert debounce(idle) <= idle
    clock = alarm(a_session(idle_seconds=idle, max_age_seconds=2_592_000), NOW)
    assert clock.heartbeat_seconds >= idle + debounce(idle)


@given(IDLE_SECONDS, AGES)
def test_while_tasks_are_open_the_alarm_rings_at_most_once_a_minute(idle: int, age: int) -> None:
    """Each ring that finds the session busy is a part of the 25,000 events an execution has."""
    clock = alarm(a_session(idle_seconds=idle, max_age_seconds=age, open_tasks=frozenset({"wf_1"})), NOW)
    assert clock.heartbeat_seconds >= min(60, clock.timeout_seconds - 1)
    assert clock.heartbeat_seconds <= max(60, idle + debounce(idle))


def test_the_maximum_age_counts_from_when_the_sandbox_was_ready() -> None:
    assert alarm(a_session(ready_at=NOW - 60_000), NOW).timeout_seconds == 86_400 - 60
    assert alarm(STARTING, NOW).timeout_seconds == 86_400


def test_an_idle_deadline_is_shown_only_while_nothing_keeps_the_session() -> None:
    assert a_session().idle_deadline() == NOW + (600 + 60) * 1000
    assert a_session(open_tasks=frozenset({"wf_1"})).idle_deadline() is None
    assert a_session(status=SessionStatus.CLOSING).idle_deadline() is None


# Ends


def test_a_session_that_nothing_happened_in_ends_idle() -> None:
    assert closing_reason(a_session(last_active=NOW - 600_000), "idle", NOW) is Reason.IDLE


@pytest.mark.parametrize(
    "changed",
    [
        {"last_active": NOW - 599_999},
        {"last_active": NOW - 10**9, "open_tasks": frozenset({"wf_1"})},
    ],
)
def test_idle_is_a_question_that_activity_and_open_tasks_answer_with_no(changed: dict[str, Any]) -> None:
    assert closing_reason(a_session(**changed), "idle", NOW) is None


def test_an_alarm_that_rings_at_the_maximum_age_says_so_whatever_it_calls_itself() -> None:
    old = a_session(ready_at=NOW - 86_400_000, open_tasks=frozenset({"wf_1"}))
    assert closing_reason(old, "idle", NOW) is Reason.MAX_AGE
    assert closing_reason(old, "max_age", NOW) is Reason.MAX_AGE


def test_a_session_woken_for_nothing_lives_on() -> None:
    assert closing_reason(a_session(), "woken", NOW) is None


@pytest.mark.parametrize("cause", ["woken", "idle", "max_age"])
def test_a_session_that_is_closing_already_keeps_its_reason(cause: str) -> None:
    closing = a_session(status=SessionStatus.CLOSING, reason=Reason.USER)
    assert closing_reason(closing, cause, NOW) is Reason.USER


@pytest.mark.parametrize("cause", ["woken", "idle"])
def test_a_session_whose_sandbox_is_gone_ends_even_where_nobody_wrote_that_it_closes(cause: str) -> None:
    """Between the two writes of who declares it gone: or its machine would wake and wait in turn, without end."""
    gone = a_session(gone=Reason.OOM, open_tasks=frozenset({"wf_1"}))
    assert closing_reason(gone, cause, NOW) is Reason.OOM


@pytest.mark.parametrize("cause", ["start_timeout", "launch_failed", "no_capacity"])
def test_a_launch_that_failed_ends_a_session_only_while_it_is_not_ready(cause: str) -> None:
    assert closing_reason(STARTING, cause, NOW) == cause
    assert closing_reason(READY, cause, NOW) is None


@pytest.mark.parametrize("reason", Reason)
def test_a_session_fails_only_when_it_was_never_ready_and_nobody_wanted_its_end(reason: Reason) -> None:
    never_ready = replace(STARTING, status=SessionStatus.CLOSING, reason=reason)
    expected = SessionStatus.CLOSED if reason in ASKED_FOR else SessionStatus.FAILED
    assert final_status(never_ready) is expected
    assert final_status(a_session(status=SessionStatus.CLOSING, reason=reason)) is SessionStatus.CLOSED


def test_the_bound_for_idle_is_the_idle_time_ago() -> None:
    assert active_since(a_session(), NOW) == NOW - 600_000


# What reconcile asks


def test_an_agent_with_open_tasks_is_silent_after_two_minutes() -> None:
    busy = a_session(open_tasks=frozenset({"wf_1"}))
    assert not silent(busy, NOW + 120_000)
    assert silent(busy, NOW + 120_001)


def test_an_agent_without_tasks_may_be_quiet_for_longer() -> None:
    assert not silent(a_session(), NOW + 900_000)
    assert silent(a_session(), NOW + 900_001)


@pytest.mark.parametrize("status", [status for status in SessionStatus if status != "ready"])
def test_only_the_agent_of_a_ready_session_can_be_silent(status: SessionStatus) -> None:
    assert not silent(a_session(status=status), NOW + 10**9)


def test_an_agent_just_ready_is_not_silent_for_what_was_before() -> None:
    assert not silent(a_session(last_heard=None, ready_at=NOW), NOW + 1)


@pytest.mark.parametrize(
    ("session", "later_s", "cause"),
    [
        (STARTING, 300 + 120 - 60, None),
        (STARTING, 300 + 120 - 59, "start_timeout"),
        (READY, 660 + 120, None),
        (READY, 660 + 121, "idle"),
        (replace(READY, open_tasks=frozenset({"wf_1"})), 10_000, None),
        (replace(READY, open_tasks=frozenset({"wf_1"})), 86_400 + 120, "max_age"),
    ],
)
def test_a_clock_is_overdue_two_minutes_after_it_should_have_rung(
    session: Session, later_s: int, cause: str | None
) -> None:
    assert overdue(session, NOW + later_s * 1000, start_timeout_seconds=300) == cause


def test_an_out_of_memory_kill_is_told_from_other_ends_by_ecs_own_words() -> None:
    assert stop_reason([{"reason": "OutOfMemoryError: Container killed due to memory usage"}]) is Reason.OOM
    assert stop_reason([{"exitCode": 137}, {}]) is Reason.SANDBOX_STOPPED
    assert stop_reason([]) is Reason.SANDBOX_STOPPED


def test_sizes_are_those_that_fargate_has() -> None:
    assert list(FARGATE_MEMORY_MB) == [256 * 2**n for n in range(7)]
    assert list(FARGATE_MEMORY_MB[256]) == [512, 1024, 2048]
    assert (min(FARGATE_MEMORY_MB[4096]), max(FARGATE_MEMORY_MB[4096])) == (8192, 30720)
    assert (min(FARGATE_MEMORY_MB[16384]), max(FARGATE_MEMORY_MB[16384])) == (32768, 122880)
    assert core.MAX_OPEN_TASKS == 16
