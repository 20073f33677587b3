"""What `make mutate` takes out, and that it finds all there is to take out."""

from __future__ import annotations

from pathlib import Path

import pytest

from filepath.aws.table import Check, Delete, Put, Update, Write
from gates.mutation import conditions, writes

SOURCE = """
_OPEN = "#status = :open"

def put(): return Put({"pk": "A"}, new=True)
def plain(): return Put({"pk": "A"})
def pair(): return [Put(A, new=True), Put(B, new=True)]
def update(): return Update(KEY, condition=f"{_OPEN} AND #n > :n")
def unconditional(): return Update(KEY, set={"a": 1})
def check(): return Check(KEY, "attribute_exists(pk)")
def _changed(key, *, condition): return table.update(Update(key, condition=condition))
def close(): return _changed(KEY, condition=_OPEN)
"""


def test_every_write_with_a_condition_is_found_where_its_condition_is_stated(tmp_path: Path) -> None:
    (tmp_path / "sessions.py").write_text(SOURCE)
    found = conditions.read(tmp_path)
    assert sorted(found.sites.values()) == ["check", "close", "pair", "pair", "put", "update"]
    assert [name for _, name in found.makers] == ["_changed"]


@pytest.mark.parametrize(
    ("condition", "parts"),
    [
        ("#a = :a", ["#a = :a"]),
        ("#a IN (:a, :b) AND #c < :c", ["#a IN (:a, :b)", "#c < :c"]),
        ("#a = :a AND (#b = :b OR size(#c) < :c)", ["#a = :a", "(#b = :b OR size(#c) < :c)"]),
        ("(#a = :a AND #b = :b) AND #c = :c", ["(#a = :a AND #b = :b)", "#c = :c"]),
        ("attribute_not_exists(pk) OR #a <= :a", ["attribute_not_exists(pk) OR #a <= :a"]),
    ],
)
def test_a_condition_falls_into_what_must_all_hold(condition: str, parts: list[str]) -> None:
    assert conditions.conjuncts(condition) == parts


KEY = {"pk": "A", "sk": "1"}


@pytest.mark.parametrize(
    ("write", "demand", "left"),
    [
        (
            Update(KEY, condition="#a = :a AND #b = :b", set={"c": 1}, values={"a": 1, "b": 2}),
            "#a = :a",
            Update(KEY, condition="#b = :b", set={"c": 1}, values={"b": 2}),
        ),
        (Delete(KEY, condition="#a = :a", values={"a": 1}), "#a = :a", Delete(KEY)),
        (Update(KEY, default={"a": 1, "b": 2}), "only where not set: a", Update(KEY, default={"b": 2}, set={"a": 1})),
        (
            Put(KEY, new=True, unless="#a = :a", values={"a": 1}),
            "attribute_not_exists(pk) OR #a = :a",
            Put(KEY),
        ),
        (
            Check(KEY, "attribute_exists(pk)"),
            "attribute_exists(pk)",
            Check(KEY, "attribute_exists(pk) OR attribute_not_exists(pk)"),
        ),
    ],
)
def test_a_demand_is_taken_out_with_its_values_and_nothing_else(write: Write, demand: str, left: Write) -> None:
    assert demand in list(writes.demands(write))
    writes.take_out(write, demand)
    assert write == left
