"""What chaos plans, and that it sees what is not the truth."""

from __future__ import annotations

import hashlib
import itertools
import json
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from tests.chaos import plan
from tests.chaos.plan import LARGEST, PlannedTask
from tests.chaos.program import LONGEST_WRITE
from tests.chaos.run import Noted, Told, untrue

TASK = PlannedTask(0, 0, 1, 5, "exits", "3", 900, 0.0, is_followed=True)
LOG = {"stdout": b"out", "stderr": b"er"}
NOTED = Noted({name: (len(data), hashlib.sha256(data).hexdigest()) for name, data in LOG.items()}, is_at_end=True)
TOLD = Told("wf_1", {"status": "completed", "exitCode": 3, "signal": None, "outputBytes": 5}, LOG, LOG)


def test_a_seed_replays_its_plan_and_another_makes_another() -> None:
    one, again, other = (plan.made(seed, 50, 10, 3, 5) for seed in (1, 1, 2))
    assert one == again
    assert [*itertools.islice(one.mishaps(), 20)] == [*itertools.islice(again.mishaps(), 20)]
    assert one.tasks != other.tasks


def test_sizes_reach_from_almost_nothing_to_the_largest_and_what_is_surely_written_comes_to_what_is_wanted() -> None:
    made = plan.made(7, 1000, 2000, 6, 16)
    sizes = sorted(task.size for task in made.tasks)
    written = sum(task.size for task in made.tasks if task.ending not in ("timed-out", "cancelled"))
    assert written == made.size == pytest.approx(2_000_000_000, rel=0.01)
    assert sizes[0] < 10
    assert sizes[-1] == LARGEST
    assert {task.ending for task in made.tasks} == {"exits", "dies", "leaves-a-child", "timed-out", "cancelled"}


def test_a_true_result_is_taken_for_one() -> None:
    assert [*untrue(TASK, TOLD, NOTED)] == []


@pytest.mark.parametrize(
    "told",
    [
        replace(TOLD, log={**LOG, "stdout": b"ou"}),
        replace(TOLD, log={**LOG, "stdout": b"outt"}),
        replace(TOLD, log={**LOG, "stdout": b"oux"}),
        replace(TOLD, log={"stdout": b"oute", "stderr": b"r"}, followed=None),
        replace(TOLD, followed={**LOG, "stderr": b""}),
        replace(TOLD, status={**TOLD.status, "exitCode": 0}),
        replace(TOLD, status={**TOLD.status, "status": "lost"}),
        replace(TOLD, status={**TOLD.status, "outputBytes": 4}),
    ],
)
def test_what_is_not_the_truth_is_seen(told: Told) -> None:
    assert [*untrue(TASK, told, NOTED)] != []


def test_a_killed_command_may_have_written_once_more_than_it_noted() -> None:
    task = replace(TASK, ending="timed-out")
    noted = replace(NOTED, is_at_end=False)
    status = {"status": "timed_out", "exitCode": None, "signal": "KILL"}
    for more, is_true in ((0, True), (LONGEST_WRITE, True), (LONGEST_WRITE + 1, False)):
        log = {**LOG, "stdout": b"out" + b"x" * more}
        told = Told("wf_1", {**status, "outputBytes": 5 + more}, log, None)
        assert ([*untrue(task, told, noted)] == []) is is_true


def test_output_that_was_never_noted_is_seen() -> None:
    told = replace(TOLD, status={**TOLD.status, "status": "cancelled", "exitCode": None, "signal": "TERM"})
    assert [*untrue(replace(TASK, ending="cancelled"), told, None)] != []


@pytest.mark.parametrize(("ending", "how", "expected"), [("exits", "7", 7), ("dies", "SEGV", -11)])
def test_the_program_notes_what_it_wrote_and_ends_as_told(tmp_path: Path, ending: str, how: str, expected: int) -> None:
    program = Path(plan.__file__).with_name("program.py")
    done = subprocess.run(
        [sys.executable, str(program), "12", "99", "300000", ending, how],
        cwd=tmp_path, capture_output=True, check=False,
    )  # fmt: skip
    noted = Noted.of(json.loads((tmp_path / "sums" / "12").read_text()))
    written = {"stdout": done.stdout, "stderr": done.stderr}

    assert done.returncode == expected
    assert len(done.stdout) + len(done.stderr) == 300_000
    assert noted == Noted({s: (len(d), hashlib.sha256(d).hexdigest()) for s, d in written.items()}, is_at_end=True)
