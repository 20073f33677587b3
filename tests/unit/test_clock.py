"""How times are shown, and that the clock and the dice are real."""

import re

from hypothesis import given
from hypothesis import strategies as st

from filepath import clock


def test_a_time_is_shown_in_utc_to_the_millisecond() -> None:
    assert clock.iso(0) == "1970-01-01T00:00:00.000Z"
    assert clock.iso(1_767_225_600_007) == "2026-01-01T00:00:00.007Z"


@given(st.lists(st.integers(0, 4_000_000_000_000), min_size=2, max_size=2))
def test_times_as_shown_sort_as_the_times_do(times: list[int]) -> None:
    shown = [clock.iso(time) for time in times]
    assert (shown[0] < shown[1]) == (times[0] < times[1])
    assert all(re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z", time) for time in shown)


def test_the_dice_do_not_fall_the_same_way_twice() -> None:
    assert clock.entropy() != clock.entropy()
    assert len(clock.entropy()) == 32
