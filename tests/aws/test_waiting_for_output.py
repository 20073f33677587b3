"""Reading output with `wait`: answered when there is more, when there will be no more, or when the time is over."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from filepath import output
from tests.aws.conftest import Clock
from tests.aws.people import Person, Sandbox
from tests.aws.wire import Wire


def test_more_is_answered_when_it_comes(ada: Person, sandbox: Sandbox, workflow_id: str, clock: Clock) -> None:
    began = clock.now_ms
    nothing, hello = (lambda: None), (lambda: sandbox.output(workflow_id, 0, b"hello"))
    clock.meanwhile = iter([nothing, nothing, hello])
    page = ada.get(f"/api/workflow/{workflow_id}/output?wait=20").body
    assert (page["chunks"][0]["data"], page["nextOffset"], page["complete"]) == ("hello", 5, False)
    assert 700 <= clock.now_ms - began < 1500


def test_what_is_there_already_is_not_waited_for(ada: Person, sandbox: Sandbox, workflow_id: str, clock: Clock) -> None:
    sandbox.output(workflow_id, 0, b"hello")
    clock.meanwhile = iter([lambda: pytest.fail("waited")])
    assert ada.get(f"/api/workflow/{workflow_id}/output?wait=20&after=4").body["nextOffset"] == 5


@pytest.mark.parametrize("over", ["before", "meanwhile"])
def test_the_end_is_not_waited_beyond(ada: Person, sandbox: Sandbox, workflow_id: str, clock: Clock, over: str) -> None:
    def finish() -> None:
        sandbox.finish(workflow_id, b"hello")

    if over == "before":
        finish()
        clock.meanwhile = iter([lambda: pytest.fail("waited")])
    else:
        sandbox.output(workflow_id, 0, b"hello")
        clock.meanwhile = iter([finish, lambda: pytest.fail("waited on")])
    page = ada.get(f"/api/workflow/{workflow_id}/output?wait=20&after=5").body
    assert page == {"chunks": [], "nextOffset": 5, "complete": True}


def test_nothing_is_answered_when_the_time_is_over_after_few_reads(
    ada: Person, workflow_id: str, clock: Clock, wire: Wire
) -> None:
    began = clock.now_ms
    wire.seen.clear()
    page = ada.get(f"/api/workflow/{workflow_id}/output?wait=20").body
    assert page == {"chunks": [], "nextOffset": 0, "complete": False}
    assert 20_000 <= clock.now_ms - began < 21_000
    assert len(wire.seen) < 30


@given(st.integers(0, output.LONGEST_WAIT))
def test_pauses_grow_and_are_as_long_together_as_said(seconds: int) -> None:
    pauses = list(output.pauses(seconds))
    assert sum(pauses) == pytest.approx(seconds)
    assert pauses[:-1] == sorted(pauses[:-1])
    assert all(0 < pause <= 1 for pause in pauses)
