"""What tasks leave running: each started minute of it is charged once, whatever happens to the reports."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from filepath.background import Background, Report, after, minutes_begun
from filepath.protocol import ProtocolError

NOW = 1_800_000_000_000
LIMIT = 300


def report(number: int, elapsed_ms: int, *, active: bool = True, processes: int = 1) -> Report:
    return Report(number, processes, active, elapsed_ms)


@pytest.mark.parametrize(
    ("elapsed_ms", "active", "minutes"),
    [(0, True, 1), (59_999, True, 1), (60_000, True, 2), (0, False, 0), (1, False, 1), (60_000, False, 1)],
)
def test_a_minute_counts_from_its_beginning(elapsed_ms: int, active: bool, minutes: int) -> None:
    assert minutes_begun(report(1, elapsed_ms, active=active)) == minutes


@given(st.lists(st.tuples(st.integers(0, 200_000), st.booleans(), st.booleans()), max_size=20))
def test_however_many_reports_are_lost_the_last_one_settles_all_that_was_begun(
    steps: list[tuple[int, bool, bool]],
) -> None:
    """Each step: how much later, whether it is counted then, and whether its report is lost."""
    known, elapsed, begun = Background(), 0, 0
    for number, (later, active, is_lost) in enumerate(steps, 1):
        elapsed += later
        told = report(number, elapsed, active=active)
        begun = max(begun, minutes_begun(told))
        if not is_lost:
            known = after(known, told, 10**6, 10**9, NOW)
        assert known.charged <= begun
    over = after(known, report(len(steps) + 1, elapsed, active=False), 10**6, LIMIT, NOW)
    assert over.charged in {minutes_begun(report(0, elapsed, active=False)), known.charged}


@given(st.integers(0, 50), st.integers(-5, 60), st.integers(0, 4_000_000))
def test_never_more_is_charged_than_is_available(charged: int, available: int, elapsed_ms: int) -> None:
    known = after(Background(1, charged=charged), report(2, elapsed_ms), available, 10**9, NOW)
    assert charged <= known.charged <= charged + max(0, available)
    assert known.must_stop == (known.charged < minutes_begun(report(2, elapsed_ms)))
    assert not known.must_stop or known.stopped == "insufficient_credits"


def test_without_credits_it_must_stop_at_once() -> None:
    known = after(Background(), report(1, 0), 0, LIMIT, NOW)
    assert (known.charged, known.must_stop, known.stopped) == (0, True, "insufficient_credits")


def test_it_must_stop_when_its_time_is_over_though_its_agent_did_not_end_it() -> None:
    known = after(Background(), report(1, 0), 9, LIMIT, NOW)
    known = after(known, report(2, 299_000), 9, LIMIT, NOW + 299_000)
    assert not known.must_stop
    known = after(known, report(3, 300_000), 9, LIMIT, NOW + 300_000)
    assert (known.must_stop, known.stopped, known.since) == (True, "background_limit", NOW)


def test_a_task_in_between_gives_it_its_time_anew() -> None:
    known = after(Background(), report(1, 0), 9, LIMIT, NOW)
    known = after(known, report(2, 200_000, active=False), 9, LIMIT, NOW + 200_000)
    assert (known.since, known.must_stop, known.charged) == (None, False, 4)
    known = after(known, report(3, 200_000), 9, LIMIT, NOW + 250_000)
    assert (known.since, known.charged) == (NOW + 250_000, 4)


def test_why_it_was_ended_is_shown_until_something_is_left_again() -> None:
    ended = after(Background(), Report(1, 0, active=False, elapsed_ms=0, stopped="background_limit"), 9, LIMIT, NOW)
    assert (ended.stopped, ended.must_stop, ended.charged) == ("background_limit", False, 0)
    assert after(ended, report(2, 0), 9, LIMIT, NOW).stopped is None


@pytest.mark.parametrize(
    "wrong", [{"number": -1}, {"processes": True}, {"elapsedMs": 1.5}, {"elapsedMs": None}, {"stopped": "bored"}]
)
def test_a_report_that_is_none_is_refused(wrong: dict[str, object]) -> None:
    fine = {"number": 1, "processes": 1, "active": True, "elapsedMs": 0, "stopped": None}
    assert Report.of(fine) == report(1, 0)
    with pytest.raises(ProtocolError):
        Report.of(fine | wrong)
