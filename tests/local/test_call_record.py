"""What is written down of each call: local/mends/call_record.py."""

from __future__ import annotations

import json
import uuid
from typing import Any

import pytest

from local import calls
from local.calls import Call
from tests.local.emulators import Emulator, eventually

CALLS_DYNAMODB = """
import boto3

def handler(event, context):
    dynamodb = boto3.client("dynamodb")
    for call, arguments in event["calls"]:
        try:
            getattr(dynamodb, call)(**arguments)
        except Exception as error:
            print(type(error).__name__)
    return {"statusCode": 200, "body": "four"}
"""


@pytest.fixture(scope="module")
def table(mended: Emulator) -> str:
    """With an index of keys alone, as the platform's are."""
    name = f"table-{uuid.uuid4().hex[:8]}"
    mended.client("dynamodb").create_table(
        TableName=name,
        BillingMode="PAY_PER_REQUEST",
        AttributeDefinitions=[{"AttributeName": key, "AttributeType": "S"} for key in ("pk", "owner")],
        KeySchema=[{"AttributeName": "pk", "KeyType": "HASH"}],
        GlobalSecondaryIndexes=[
            {
                "IndexName": "owner",
                "KeySchema": [{"AttributeName": "owner", "KeyType": "HASH"}],
                "Projection": {"ProjectionType": "KEYS_ONLY"},
            }
        ],
    )
    return name


def recorded(emulator: Emulator, actions: tuple[str, ...], *asked: tuple[str, dict[str, Any]]) -> list[Call]:
    """What a function with these grants had written down when it made these calls."""
    function = emulator.function(CALLS_DYNAMODB, actions=actions)
    emulator.client("lambda").invoke(FunctionName=function, Payload=json.dumps({"calls": asked}))
    name = function.rpartition(":")[2]

    def all_of_them() -> list[Call] | None:
        found, invocations = calls.read(emulator.home.calls)
        mine = [call for call in found if call.function == name]
        return mine if any(each.function == name for each in invocations) else None

    return eventually(all_of_them)


def item(**attributes: str) -> dict[str, dict[str, str]]:
    return {name: {"S": value} for name, value in attributes.items()}


def test_a_write_is_known_by_the_sizes_of_item_and_index_entries(mended: Emulator, table: str) -> None:
    name, key = {"TableName": table}, {"Key": item(pk="a")}
    number = {"UpdateExpression": "SET n = :o"}
    rename = {"UpdateExpression": "SET #o = :o", "ExpressionAttributeNames": {"#o": "owner"}}
    put, changed, moved, gone = recorded(
        mended,
        ("dynamodb:*",),
        ("put_item", {**name, "Item": item(pk="a", owner="me", text="x" * 100)}),
        ("update_item", {**name, **key, **number, "ExpressionAttributeValues": item(**{":o": "1"})}),
        ("update_item", {**name, **key, **rename, "ExpressionAttributeValues": item(**{":o": "you"})}),
        ("delete_item", {**name, **key}),
    )
    size = len("pka") + len("ownerme") + len("text") + 100
    entry = len("pka") + len("ownerme")

    assert [(each.before, each.after, each.index_entries) for each in put.writes] == [(0, size, (entry,))]
    assert [(each.before, each.after, each.index_entries) for each in changed.writes] == [(size, size + 2, ())]
    assert [each.index_entries for each in moved.writes] == [(entry, entry + 1)]
    assert [(each.after, each.index_entries) for each in gone.writes] == [(0, (entry + 1,))]


def test_a_transaction_is_judged_and_measured_as_its_single_writes(mended: Emulator, table: str) -> None:
    condition = {"TableName": table, "Key": item(pk="other"), "ConditionExpression": "attribute_not_exists(pk)"}
    writes = [{"Put": {"TableName": table, "Item": item(pk="b", text="y")}}, {"ConditionCheck": condition}]
    (call,) = recorded(mended, ("dynamodb:*",), ("transact_write_items", {"TransactItems": writes}))

    assert [check.action for check in call.checks] == ["dynamodb:PutItem", "dynamodb:ConditionCheckItem"]
    assert [(each.after, each.transacted) for each in call.writes] == [(8, True), (0, True)]


def test_a_read_is_known_by_what_was_looked_at(mended: Emulator, table: str) -> None:
    mended.client("dynamodb").put_item(TableName=table, Item=item(pk="c", owner="reader", text="z" * 500))
    query: dict[str, Any] = {"TableName": table, "IndexName": "owner", "KeyConditionExpression": "#o = :o"}
    query |= {"ExpressionAttributeNames": {"#o": "owner"}, "ExpressionAttributeValues": item(**{":o": "reader"})}
    get = {"TableName": table, "Key": item(pk="c"), "ConsistentRead": True, "ProjectionExpression": "pk"}
    got, queried = recorded(mended, ("dynamodb:*",), ("get_item", get), ("query", query))

    assert [(read.size, read.consistent, read.index) for read in got.reads] == [(518, True, None)]
    assert [(read.size, read.consistent, read.index) for read in queried.reads] == [(14, False, "owner")]
    assert queried.checks[0].resource.endswith(f"table/{table}/index/owner")


def test_a_denied_call_is_written_down_with_what_was_denied(mended: Emulator, table: str) -> None:
    (call,) = recorded(mended, ("dynamodb:PutItem",), ("get_item", {"TableName": table, "Key": item(pk="d")}))

    assert [(check.action, check.allowed) for check in call.checks] == [("dynamodb:GetItem", False)]


def test_no_value_is_written_down(mended: Emulator, table: str) -> None:
    secret = uuid.uuid4().hex
    recorded(mended, ("dynamodb:*",), ("put_item", {"TableName": table, "Item": item(pk=secret, text=secret)}))

    assert secret not in mended.home.calls.read_text()


def test_the_emulator_alone_still_makes_up_what_was_consumed(plain: Emulator) -> None:
    client = plain.client("dynamodb")
    client.create_table(
        TableName="consumed",
        BillingMode="PAY_PER_REQUEST",
        AttributeDefinitions=[{"AttributeName": "pk", "AttributeType": "S"}],
        KeySchema=[{"AttributeName": "pk", "KeyType": "HASH"}],
    )
    client.put_item(TableName="consumed", Item=item(pk="a", text="x" * 9000))
    answer = client.get_item(
        TableName="consumed", Key=item(pk="a"), ConsistentRead=True, ReturnConsumedCapacity="TOTAL"
    )
    assert answer["ConsumedCapacity"]["CapacityUnits"] != 3.0, "count what the emulator says was consumed"
