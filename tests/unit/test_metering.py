"""What the benchmark of the cost counts, by AWS's rules: benchmarks/metering.py."""

from __future__ import annotations

import re
from dataclasses import replace

import pytest

from benchmarks.charts import LABELS, Bar, Chart, svg
from benchmarks.metering import Usage, read_units, write_units
from local.calls import Call, Check, Invocation, Read, Written

CALL = Call(1.0, "role", "api", "dynamodb", "GetItem", 200, 100, 200, 2.0, (Check("dynamodb:GetItem", "table", True),))
POST = replace(CALL, operation="POST", checks=(Check("execute-api:ManageConnections", "connection", True),))
RUN = Invocation(1.0, "api", "POST", 100, 50, 0, 0, 10.0, False)


@pytest.mark.parametrize(
    ("read", "units"),
    [
        (Read(0, True), 1),
        (Read(4096, True), 1),
        (Read(4097, True), 2),
        (Read(4097, False), 1),
        (Read(10, False, "owner"), 0.5),
    ],
)
def test_a_read_costs_each_started_4_kb_and_half_where_it_may_be_stale(read: Read, units: float) -> None:
    assert read_units(read) == units


@pytest.mark.parametrize(
    ("write", "units"),
    [
        (Written(0, 1024), 1),
        (Written(0, 1025), 2),
        (Written(3000, 10), 3),
        (Written(0, 0), 1),
        (Written(0, 1025, transacted=True), 4),
        (Written(500, 500, transacted=True, index_entries=(90, 90)), 4),
    ],
)
def test_a_write_costs_each_started_kb_of_the_larger_item_and_of_each_index_entry(write: Written, units: int) -> None:
    assert write_units(write) == units


def test_a_message_is_metered_by_each_started_32_kb_either_way() -> None:
    message = replace(RUN, route="$default", sent=32 * 1024 + 1, received=10)
    opened = replace(RUN, route="$connect")

    assert Usage([POST, replace(POST, sent=65_537), CALL], [message, opened]).messages() == 2 + 1 + 1 + 3


def test_what_a_function_waited_for_is_replaced_by_what_is_assumed_of_its_calls() -> None:
    usage = Usage([replace(CALL, at=1.001, milliseconds=4.0), replace(CALL, at=2.0)], [RUN])

    assert usage.billed_ms() == 16  # (10 - 4) * 1769 / 1024 = 10.4, and 5 for the call that was made in its time


def test_only_requests_of_rest_are_such() -> None:
    assert Usage([], [RUN, replace(RUN, route="$default"), replace(RUN, route="settle")]).rest_requests() == 1


def test_a_chart_is_drawn_to_scale() -> None:
    drawn = svg([Chart("a & b", "", [Bar("<x>", 2, "$2"), Bar("y", 1, "$1")], 4, "limit")])
    bars = [float(width) for width in re.findall(r'class="bar"[^>]* width="([\d.]+)"', drawn)]
    (limit,) = re.findall(r'<line class="limit" x1="([\d.]+)"', drawn)

    assert bars[0] == pytest.approx(2 * bars[1], rel=0.01)
    assert float(limit) == pytest.approx(LABELS + 2 * bars[0], rel=0.01)
    assert "a &amp; b" in drawn
    assert "&lt;x&gt;" in drawn
