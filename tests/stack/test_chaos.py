"""Sixty tasks while lines break and calls fail. `make chaos` runs as many as one likes."""

from __future__ import annotations

import pytest

from tests.chaos import plan
from tests.chaos.run import carried_out
from tests.stack.conftest import RunningStack, once

SEED = 4
TASKS = 60
MEGABYTES = 40


@pytest.mark.timeout(600)
@once
def test_every_result_is_the_truth_whatever_breaks_meanwhile(stack: RunningStack) -> None:
    planned = plan.made(SEED, TASKS, MEGABYTES, sessions=4, at_once=12)
    outcome = carried_out(stack, planned)

    assert not outcome.untrue, f"seed {SEED}: " + "\n".join(outcome.untrue)
    assert len(outcome.told) == TASKS
    assert outcome.cuts > 5
    assert sum(outcome.befallen.values()) > 100
