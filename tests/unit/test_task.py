"""A task: what became of it is decided from the record alone."""

from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from filepath.protocol import End
from filepath.session import ASKED_FOR, Reason, Session, SessionStatus
from filepath.task import (
    TERMINAL,
    Outcome,
    Task,
    TaskStatus,
    backstop_seconds,
    is_decidable,
    is_settled_by_facts,
    outcome,
)

NOW = 1_800_000_000_000
SESSION = Session(
    session_id="ses_1",
    user_id="usr_1",
    status=SessionStatus.READY,
    created_at=NOW,
    last_active=NOW,
    cpu=1024,
    memory=2048,
    idle_seconds=600,
    max_age_seconds=86_400,
    ready_at=NOW,
    last_heard=NOW + 90_000,
)
GONE = replace(SESSION, status=SessionStatus.CLOSING, gone=Reason.SANDBOX_STOPPED, reason=Reason.SANDBOX_STOPPED)
QUEUED = Task("wf_1", "ses_1", "usr_1", TaskStatus.QUEUED, NOW, 300, 5, "true")
RUNNING = replace(QUEUED, status=TaskStatus.RUNNING, dispatched=True, started_at=NOW)

RAN = ("exited", "timed_out", "cancelled", "output_limit", "shutdown")
ENDS = st.one_of(
    st.builds(End, st.just("not_started"), st.just(0), message=st.just("no such directory")),
    st.builds(End, st.sampled_from(RAN), st.integers(0, 10**7), st.just(0)),
)
TASKS = st.builds(
    replace,
    st.sampled_from((QUEUED, RUNNING)),
    end=st.none() | ENDS,
    exited=st.booleans(),
    dispatched=st.booleans(),
    overran=st.booleans(),
    cancel_signal=st.none() | st.just("TERM"),
)
REASONS = st.none() | st.sampled_from(list(Reason))
SESSIONS = st.builds(
    replace, st.just(SESSION), gone=REASONS, reason=REASONS, ready_at=st.none() | st.just(NOW), last_heard=st.just(NOW)
)


def exited(end: End, **changed: Any) -> Task:
    return replace(RUNNING, end=end, exited=True, **changed)


# The truth of a result


@given(TASKS, SESSIONS)
def test_completed_and_timed_out_come_from_a_recorded_wait_status_with_all_output_stored(
    task: Task, session: Session
) -> None:
    became = outcome(task, session)
    if became.status in {TaskStatus.COMPLETED, TaskStatus.TIMED_OUT}:
        assert task.exited
        assert task.end is not None
        assert (became.exit_code, became.signal) == (task.end.exit_code, task.end.signal)
    if not task.exited:
        assert became.exit_code is None
        assert became.signal is None


@given(TASKS, SESSIONS)
def test_every_record_has_an_outcome_and_it_is_an_end(task: Task, session: Session) -> None:
    assert outcome(task, session).status in TERMINAL
    assert outcome(task, session) == outcome(task, session)


@given(TASKS, SESSIONS)
def test_lost_is_only_what_nobody_can_report_any_more_and_had_a_sandbox(task: Task, session: Session) -> None:
    became = outcome(task, session)
    if became.status is TaskStatus.LOST:
        assert became.reason
        assert not (task.exited and task.end and task.end.cause in {"exited", "timed_out", "cancelled", "output_limit"})


@pytest.mark.parametrize(
    ("end", "expected"),
    [
        (End("exited", 1500, exit_code=0), Outcome(TaskStatus.COMPLETED, None, 0, None, 1500)),
        (End("exited", 1500, exit_code=3), Outcome(TaskStatus.COMPLETED, None, 3, None, 1500)),
        (End("exited", 1500, signal="SEGV"), Outcome(TaskStatus.COMPLETED, None, None, "SEGV", 1500)),
        (End("timed_out", 9000, signal="KILL"), Outcome(TaskStatus.TIMED_OUT, "timeout", None, "KILL", 9000)),
        (End("cancelled", 9000, signal="TERM"), Outcome(TaskStatus.CANCELLED, "cancelled", None, "TERM", 9000)),
        (End("output_limit", 9000, signal="TERM"), Outcome(TaskStatus.CANCELLED, "output_limit", None, "TERM", 9000)),
        (
            End("not_started", 0, message="no such directory"),
            Outcome(TaskStatus.FAILED, "not_started", message="no such directory"),
        ),
    ],
)
def test_what_the_agent_saw_is_what_became_of_it(end: End, expected: Outcome) -> None:
    assert outcome(exited(end), SESSION) == expected
    assert outcome(exited(end), GONE) == expected


def test_a_task_that_was_cancelled_before_it_could_start_is_cancelled() -> None:
    assert outcome(exited(End("not_started", 0), cancel_signal="TERM"), SESSION).status is TaskStatus.CANCELLED


def test_a_task_cancelled_before_a_sandbox_had_it_is_cancelled_and_never_ran() -> None:
    became = outcome(replace(QUEUED, cancel_signal="TERM"), SESSION)
    assert became == Outcome(TaskStatus.CANCELLED, "cancelled", run_ms=None)


@pytest.mark.parametrize("reason", sorted(ASKED_FOR))
def test_the_end_of_a_session_that_was_asked_for_cancels_its_tasks(reason: Reason) -> None:
    ended = replace(GONE, reason=reason)
    assert outcome(RUNNING, ended) == Outcome(TaskStatus.CANCELLED, "session_closed", run_ms=90_000)
    shut_down = outcome(exited(End("shutdown", 700, signal="TERM")), ended)
    assert shut_down == Outcome(TaskStatus.CANCELLED, "session_closed", None, "TERM", 700)


@pytest.mark.parametrize("reason", [Reason.SANDBOX_STOPPED, Reason.OOM, Reason.SILENT])
def test_a_task_whose_sandbox_went_is_lost_and_ran_until_it_was_last_heard_of(reason: Reason) -> None:
    session = replace(GONE, gone=reason, reason=reason)
    assert outcome(RUNNING, session) == Outcome(TaskStatus.LOST, reason, run_ms=90_000)
    assert outcome(exited(End("shutdown", 700, signal="TERM")), session).status is TaskStatus.LOST


def test_an_agent_that_was_shut_down_while_nobody_closed_its_session_has_lost_its_task() -> None:
    """Its host did it, and that the sandbox is gone is not known yet."""
    became = outcome(exited(End("shutdown", 700, signal="TERM")), SESSION)
    assert became == Outcome(TaskStatus.LOST, "sandbox_stopped", None, "TERM", 700)


@pytest.mark.parametrize("reason", [Reason.START_TIMEOUT, Reason.NO_CAPACITY, Reason.LAUNCH_FAILED])
def test_a_task_whose_sandbox_never_came_has_failed_and_costs_nothing(reason: Reason) -> None:
    never = replace(GONE, ready_at=None, reason=reason)
    assert outcome(QUEUED, never) == Outcome(TaskStatus.FAILED, reason, run_ms=None)


def test_an_end_that_was_reported_tells_how_long_a_lost_task_ran() -> None:
    told = replace(RUNNING, end=End("exited", 1500, exit_code=0))
    assert outcome(told, GONE) == Outcome(TaskStatus.LOST, "sandbox_stopped", run_ms=1500)


def test_a_task_that_was_told_to_stop_for_its_output_is_cancelled_without_a_report() -> None:
    expected = Outcome(TaskStatus.CANCELLED, "output_limit", run_ms=90_000)
    assert outcome(replace(RUNNING, overran=True), SESSION) == outcome(replace(RUNNING, overran=True), GONE) == expected


def test_a_task_of_which_no_report_came_is_lost() -> None:
    assert outcome(RUNNING, SESSION) == Outcome(TaskStatus.LOST, "no_report", run_ms=90_000)


# Whether to wait


@given(TASKS, SESSIONS)
def test_nothing_is_settled_while_a_sandbox_may_still_report(task: Task, session: Session) -> None:
    if task.dispatched and not task.exited and not task.overran and session.gone is None:
        assert not is_settled_by_facts(task, session)


@pytest.mark.parametrize(
    ("task", "session"),
    [
        (exited(End("exited", 1, exit_code=0)), SESSION),
        (RUNNING, GONE),
        (replace(QUEUED, cancel_signal="TERM"), SESSION),
        (replace(RUNNING, overran=True), SESSION),
    ],
)
def test_an_exit_a_gone_sandbox_an_early_cancel_and_an_overrun_each_settle(task: Task, session: Session) -> None:
    assert is_settled_by_facts(task, session)
    assert not is_settled_by_facts(RUNNING, SESSION)


@given(TASKS, SESSIONS, st.integers(0, 300 + 905))
def test_within_its_time_only_facts_decide_what_became_of_a_task(task: Task, session: Session, passed: int) -> None:
    assert is_decidable(task, session, NOW + passed * 1000) == is_settled_by_facts(task, session)


@given(TASKS, SESSIONS, st.integers(1, 10**9))
def test_a_task_beyond_its_backstop_is_decided_without_a_report(task: Task, session: Session, late_ms: int) -> None:
    assert is_decidable(task, session, NOW + (300 + 905) * 1000 + late_ms)


@given(st.integers(1, 86_400))
def test_the_backstop_leaves_room_for_start_deadline_grace_and_drain(timeout: int) -> None:
    assert backstop_seconds(timeout) == timeout + 300 + 5 + 600


@pytest.mark.parametrize("status", TaskStatus)
def test_a_task_is_over_in_all_states_but_the_first_two(status: TaskStatus) -> None:
    assert replace(QUEUED, status=status).is_over == (status not in {"queued", "running"}) == (status in TERMINAL)


def test_a_task_that_the_agent_failed_at_is_failed_and_shows_what_wait_said() -> None:
    end = End("failed", 1500, signal="TERM", message="the agent could not go on")
    became = outcome(exited(end), SESSION)
    assert (became.status, became.reason, became.signal) == (TaskStatus.FAILED, "agent_failed", "TERM")
    assert became.message == "the agent could not go on"
