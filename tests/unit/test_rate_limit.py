"""Windows of tries: who is counted together, how many pass, and when the next may."""

from __future__ import annotations

from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from filepath.rate_limit import RateLimit, network

LIMITS = st.builds(RateLimit, st.just("tries"), st.integers(1, 5), st.integers(1, 100))
MOMENTS = st.integers(0, 2**45)


@given(LIMITS, MOMENTS)
def test_who_waits_as_long_as_told_comes_in_the_next_window_and_not_a_second_late(limit: RateLimit, now: int) -> None:
    wait = limit.retry_after(now)
    assert 1 <= wait <= limit.seconds
    assert limit.window(now + wait * 1000) == limit.window(now) + 1
    assert limit.window(now + (wait - 1) * 1000) == limit.window(now)


@given(LIMITS, st.lists(st.integers(0, 300_000), max_size=60).map(sorted))
def test_within_the_length_of_a_window_at_most_twice_the_limit_passes(limit: RateLimit, moments: list[int]) -> None:
    counters: Counter[int] = Counter()
    passed = []
    for moment in moments:
        if counters[limit.window(moment)] < limit.times:
            counters[limit.window(moment)] += 1
            passed.append(moment)
    for first in passed:
        assert sum(first <= moment < first + limit.seconds * 1000 for moment in passed) <= 2 * limit.times


@pytest.mark.parametrize(
    ("address", "counted_as"),
    [
        ("192.0.2.1", "192.0.2.1"),
        ("2001:db8:1:2:3:4:5:6", "2001:db8:1:2::/64"),
        ("2001:db8:1:2::ffff", "2001:db8:1:2::/64"),
        ("::ffff:192.0.2.1", "192.0.2.1"),
        ("fe80::1%eth0", "fe80::/64"),
        ("", "unknown"),
        ("a proxy", "unknown"),
    ],
)
def test_an_address_is_counted_as_what_one_customer_has(address: str, counted_as: str) -> None:
    assert network(address) == counted_as
