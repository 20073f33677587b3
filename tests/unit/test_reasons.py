"""Each reason that a caller may be told has a test that causes it, on the whole stack where this machine can.

AWS alone can have no room for a sandbox or refuse to launch it: `no_capacity` and `launch_failed` are caused at the
wire, by ECS's answer. So is `agent_failed`, a fault of the agent's own, and `no_report`, for which an agent must be
heard for hours and never tell an end. A maximum age is a minute at least, so its clock is the tests' own.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import get_args

import pytest

from filepath import task
from filepath.background import StopReason
from filepath.session import Reason

TESTS = Path(__file__).parents[1]

CAUSED_BY = {
    # of a session
    "user": "stack/test_reconcile.py",
    "idle": "stack/test_clocks_and_cuts.py",
    "max_age": "aws/test_reconcile.py",
    "shutdown": "stack/test_restart.py",
    "start_timeout": "stack/test_clocks_and_cuts.py",
    "launch_failed": "aws/test_session_steps.py",
    "no_capacity": "aws/test_session_steps.py",
    "sandbox_stopped": "stack/test_lost.py",
    "oom": "stack/test_limits.py",
    "silent": "stack/test_reconcile.py",
    # of a task alone; a lost one has its session's
    "cancelled": "stack/test_main_job.py",
    "timeout": "stack/test_main_job.py",
    "output_limit": "stack/test_output_limit.py",
    "session_closed": "stack/test_clocks_and_cuts.py",
    "not_started": "stack/test_lost.py",
    "agent_failed": "aws/test_agent_messages.py",
    "no_report": "aws/test_reconcile.py",
    # of what tasks leave running
    "background_limit": "stack/test_background.py",
    "insufficient_credits": "stack/test_background.py",
}


def test_every_reason_is_listed() -> None:
    of_tasks = set(re.findall(r'TaskStatus\.[A-Z_]+, "(\w+)"', Path(task.__file__).read_text()))
    assert set(CAUSED_BY) == {*Reason, *of_tasks, *get_args(StopReason)}


@pytest.mark.parametrize("reason", CAUSED_BY)
def test_its_test_names_it(reason: str) -> None:
    assert f'"{reason}"' in (TESTS / CAUSED_BY[reason]).read_text()
