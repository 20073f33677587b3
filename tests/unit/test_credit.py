"""Money: it adds up after any sequence of movements, and is never below zero."""

from dataclasses import astuple

import pytest
from hypothesis import given
from hypothesis import strategies as st

from filepath import credit
from filepath.credit import Account

TIMEOUTS = st.integers(1, 86_400)
RUNS = st.none() | st.integers(0, 100_000_000)
STEPS = st.one_of(
    st.tuples(st.just("grant"), st.integers(1, 1000)),
    st.tuples(st.just("background"), st.none()),
    st.tuples(TIMEOUTS, RUNS),
)


@given(st.lists(STEPS, max_size=30))
def test_granted_is_charged_and_held_and_available_after_any_sequence(steps: list[tuple[object, int | None]]) -> None:
    """Movements are made on the conditions that the table makes them on: a hold and a charge need
    credits, a settling its hold."""
    account, holds = Account(), []
    for kind, amount in steps:
        if kind == "grant":
            assert amount is not None
            account = account.moved(credit.grant(amount))
        elif isinstance(kind, int) and account.available >= credit.hold_for(kind):
            account = account.moved(credit.hold(credit.hold_for(kind)))
            holds.append((credit.hold_for(kind), amount))
        elif kind == "background":
            if account.available >= 1:
                account = account.moved(credit.charge(1))
        elif holds:
            held, run_ms = holds.pop(0)
            account = account.moved(credit.settle(held, credit.charge_for(run_ms, held)))
        assert account.granted == account.charged + account.held + account.available
        assert account.balance == account.granted - account.charged
        assert min(astuple(account)) >= 0
    assert account.held == sum(held for held, _ in holds)


@given(TIMEOUTS, RUNS)
def test_a_charge_is_never_more_than_the_hold(timeout: int, run_ms: int | None) -> None:
    held = credit.hold_for(timeout)
    assert 0 <= credit.charge_for(run_ms, held) <= held


@given(TIMEOUTS)
def test_a_hold_covers_every_run_within_its_timeout(timeout: int) -> None:
    assert credit.charge_for(timeout * 1000, 10**9) <= credit.hold_for(timeout)


@pytest.mark.parametrize(("seconds", "credits"), [(1, 1), (60, 1), (61, 2), (300, 5), (86_400, 1440)])
def test_a_hold_is_one_credit_for_each_started_minute(seconds: int, credits: int) -> None:
    assert credit.hold_for(seconds) == credits


@pytest.mark.parametrize(
    ("run_ms", "charged"), [(None, 0), (0, 1), (1, 1), (60_000, 1), (60_001, 2), (299_999, 5), (400_000, 5)]
)
def test_a_run_costs_its_started_minutes_at_least_one_and_at_most_the_hold(run_ms: int | None, charged: int) -> None:
    assert credit.charge_for(run_ms, 5) == charged
