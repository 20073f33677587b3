"""The table: conditions, transactions and what refused them, and AWS when it is busy."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from filepath.aws import table
from filepath.aws.table import ConditionFailed, Delete, Put, TransactionRefused, Update
from filepath.errors import Unavailable
from tests.aws.people import Platform
from tests.aws.wire import Wire

ONE = {"pk": "A", "sk": "1"}
TWO = {"pk": "A", "sk": "2"}
THREE = {"pk": "B", "sk": "1"}


SINGLE_WRITES: dict[str, Callable[[], object]] = {
    "PutItem": lambda: table.put(Put(ONE)),
    "UpdateItem": lambda: table.update(Update(ONE, set={"count": 1})),
    "DeleteItem": lambda: table.delete(Delete(ONE)),
}


def cancelled(*codes: str) -> dict[str, Any]:
    """As DynamoDB says which writes of a transaction it refused."""
    return {"CancellationReasons": [{"Code": code, "Message": code} for code in codes]}


@pytest.fixture(autouse=True)
def stack(platform: Platform) -> Platform:
    return platform


def test_an_item_is_read_as_it_was_written() -> None:
    item = {
        **ONE,
        "text": "é",
        "number": -(10**15),
        "flag": True,
        "bytes": b"\xff\0",
        "list": [1, ["a"]],
        "map": {"a": {}},
        "set": frozenset({"x", "y"}),
    }
    table.put(Put(item))
    assert table.get(ONE) == item


def test_what_is_none_is_not_kept() -> None:
    table.put(Put({**ONE, "absent": None}))
    assert table.get(ONE) == ONE


def test_what_the_table_cannot_keep_is_refused_before_it_is_sent() -> None:
    with pytest.raises(TypeError):
        table.put(Put({**ONE, "fraction": 0.5}))


def test_a_new_item_is_refused_where_one_stands_and_that_one_is_told() -> None:
    table.put(Put({**ONE, "first": True}, new=True))
    with pytest.raises(ConditionFailed) as refused:
        table.put(Put({**ONE, "second": True}, new=True))
    assert refused.value.item == {**ONE, "first": True}
    assert table.get(ONE) == {**ONE, "first": True}


def test_an_update_sets_adds_defaults_discards_and_removes_in_one() -> None:
    table.put(Put({**ONE, "old": 1, "count": 2, "kept": "first", "members": {"a", "b"}}))
    after = table.update(
        Update(
            ONE,
            set={"status": "new"},
            default={"kept": "second", "born": 7},
            add={"count": 3},
            discard={"members": {"a"}},
            remove=["old"],
        )
    )
    assert after == {**ONE, "status": "new", "kept": "first", "born": 7, "count": 5, "members": frozenset({"b"})}


def test_the_last_member_taken_out_of_a_set_takes_the_set_away() -> None:
    """On which the conditions on open tasks rest: `attribute_not_exists`, not a size of zero."""
    table.put(Put({**ONE, "members": {"a"}}))
    assert table.update(Update(ONE, discard={"members": {"a"}})) == ONE


def test_an_update_whose_condition_fails_changes_nothing_and_tells_what_stood_there() -> None:
    table.put(Put({**ONE, "count": 1}))
    with pytest.raises(ConditionFailed) as refused:
        table.update(Update(ONE, condition="#count > :one", set={"count": 9}, values={"one": 1}))
    assert refused.value.item == {**ONE, "count": 1} == table.get(ONE)


def test_a_condition_on_what_is_not_there_tells_nothing_stood_there() -> None:
    with pytest.raises(ConditionFailed) as refused:
        table.update(Update(ONE, condition="attribute_exists(pk)", set={"count": 9}))
    assert refused.value.item == {}
    assert table.get(ONE) is None


def test_to_delete_what_is_not_there_is_no_failure_unless_it_had_to_be() -> None:
    table.delete(Delete(ONE))
    with pytest.raises(ConditionFailed):
        table.delete(Delete(ONE, condition="attribute_exists(pk)"))


def test_a_transaction_writes_all_or_nothing_and_names_the_writes_that_refused() -> None:
    table.put(Put({**TWO, "count": 1}))
    with pytest.raises(TransactionRefused) as refused:
        table.transact(
            [
                Put(ONE, new=True),
                Update(TWO, condition="#count > :one", add={"count": 1}, values={"one": 1}),
                Delete(THREE, condition="attribute_exists(pk)"),
            ]
        )
    assert refused.value.refused == {1: {**TWO, "count": 1}, 2: {}}
    assert table.get(ONE) is None
    table.transact([Put(ONE, new=True), Update(TWO, add={"count": 1}), Delete(THREE)])
    assert table.get(TWO) == {**TWO, "count": 2}


def test_a_conflict_is_tried_again_until_it_goes_through(wire: Wire) -> None:
    refusals = cancelled("None", "TransactionConflict")
    wire.refuse("TransactWriteItems", "TransactionCanceledException", times=3, **refusals)
    table.transact([Put(ONE, new=True)])
    assert table.get(ONE) == ONE


def test_a_conflict_that_stays_is_unavailable_and_nothing_is_written(wire: Wire) -> None:
    wire.refuse("TransactWriteItems", "TransactionCanceledException", times=50, **cancelled("TransactionConflict"))
    with pytest.raises(Unavailable):
        table.transact([Put(ONE, new=True)])
    assert table.get(ONE) is None


@pytest.mark.parametrize("operation", SINGLE_WRITES)
def test_a_single_write_that_meets_a_transaction_is_tried_again(wire: Wire, operation: str) -> None:
    """DynamoDB refuses it, and botocore takes that for the caller's mistake."""
    wire.refuse(operation, "TransactionConflictException", times=3)
    SINGLE_WRITES[operation]()
    assert wire.refusals_left == 0
    assert (table.get(ONE) is None) == (operation == "DeleteItem")


@pytest.mark.parametrize("operation", SINGLE_WRITES)
def test_a_single_write_that_keeps_meeting_transactions_is_unavailable(wire: Wire, operation: str) -> None:
    wire.refuse(operation, "TransactionConflictException", times=50)
    with pytest.raises(Unavailable):
        SINGLE_WRITES[operation]()
    assert 0 < wire.refusals_left < 49


def test_a_failed_condition_beside_a_conflict_is_an_answer_and_not_tried_again(wire: Wire) -> None:
    refusals = cancelled("ConditionalCheckFailed", "TransactionConflict")
    wire.refuse("TransactWriteItems", "TransactionCanceledException", **refusals)
    with pytest.raises(TransactionRefused) as refused:
        table.transact([Put(ONE, new=True), Put(TWO)])
    assert refused.value.refused == {0: {}}


def test_a_transaction_still_in_progress_is_tried_again(wire: Wire) -> None:
    wire.refuse("TransactWriteItems", "TransactionInProgressException", times=2)
    table.transact([Put(ONE, new=True)])
    assert table.get(ONE) == ONE


@pytest.mark.parametrize("code", ["ThrottlingError", "ProvisionedThroughputExceeded"])
def test_a_throttled_transaction_is_unavailable(wire: Wire, code: str) -> None:
    wire.refuse("TransactWriteItems", "TransactionCanceledException", times=50, **cancelled("None", code))
    with pytest.raises(Unavailable):
        table.transact([Put(ONE), Put(TWO)])


def test_many_items_are_read_in_the_order_asked_for_without_those_that_are_not_there(wire: Wire) -> None:
    wanted = [{"pk": "M", "sk": f"{number:03d}"} for number in reversed(range(230))]
    for key in wanted[::2]:
        table.put(Put(key))
    assert table.get_many(wanted) == wanted[::2]
    assert table.get_many([]) == []


def test_a_query_gives_the_items_between_two_places_page_by_page() -> None:
    for number in range(7):
        table.put(Put({"pk": "Q", "sk": f"X#{number}"}))
    table.put(Put({"pk": "Q", "sk": "Y#0"}))
    found = table.query("Q", prefix="X#", start="X#2", limit=3)
    assert [item["sk"] for item in found.items] == ["X#2", "X#3", "X#4"]
    rest = table.query("Q", prefix="X#", after=found.last)
    assert [item["sk"] for item in rest.items] == ["X#5", "X#6"]
    assert [item["sk"] for item in table.query_all("Q", prefix="X#")] == [f"X#{number}" for number in range(7)]
    (last,) = table.query("Q", prefix="X#", end="X#4", limit=1, backwards=True).items
    assert last["sk"] == "X#4"


def test_everything_decided_from_is_read_consistently(wire: Wire, monkeypatch: pytest.MonkeyPatch) -> None:
    from filepath.aws import clients

    asked: list[dict[str, Any]] = []
    events = clients.dynamodb().meta.events
    names = ("GetItem", "BatchGetItem", "Query")

    def note(params: dict[str, Any], **_: Any) -> None:
        asked.append(params)

    for name in names:
        events.register(f"provide-client-params.dynamodb.{name}", note)
    try:
        table.get(ONE)
        table.get_many([ONE])
        table.query("A")
    finally:
        for name in names:
            events.unregister(f"provide-client-params.dynamodb.{name}", note)
    single, batch, query = asked
    assert single["ConsistentRead"]
    assert batch["RequestItems"]["filepath"]["ConsistentRead"]
    assert query["ConsistentRead"]


def test_every_try_of_a_transaction_bears_one_token_so_that_it_is_done_once(wire: Wire) -> None:
    """The reply to a try may be lost, or say that it is in progress still: under a new token it would be done twice."""
    from filepath.aws import clients

    tokens: list[str] = []

    def note(params: dict[str, Any], **_: Any) -> None:
        tokens.append(params["ClientRequestToken"])

    events = clients.dynamodb().meta.events
    events.register("provide-client-params.dynamodb.TransactWriteItems", note)
    conflict = cancelled("TransactionConflict")
    wire.refuse("TransactWriteItems", "TransactionCanceledException", times=2, **conflict)
    try:
        table.transact([Put(ONE, new=True)])
        table.transact([Put(TWO, new=True)])
    finally:
        events.unregister("provide-client-params.dynamodb.TransactWriteItems", note)
    assert len(tokens) == 4
    assert tokens[0] == tokens[1] == tokens[2] != tokens[3]
