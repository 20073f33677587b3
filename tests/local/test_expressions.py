"""Expressions of DynamoDB's, read once: local/mends/expressions.py."""

from __future__ import annotations

import uuid
from typing import Any

import pytest
from botocore.exceptions import ClientError

from local.mends.expressions import once_for_each_expression
from tests.local.emulators import Emulator

BY_PREFIX = "pk = :pk AND begins_with(sk, :sk)"


@pytest.fixture
def table(mended: Emulator) -> str:
    """With notes and one letter in a partition."""
    name, client = f"table-{uuid.uuid4().hex[:8]}", mended.client("dynamodb")
    client.create_table(
        TableName=name,
        BillingMode="PAY_PER_REQUEST",
        AttributeDefinitions=[{"AttributeName": key, "AttributeType": "S"} for key in ("pk", "sk")],
        KeySchema=[{"AttributeName": "pk", "KeyType": "HASH"}, {"AttributeName": "sk", "KeyType": "RANGE"}],
    )
    for sort_key in ("LETTER#1", "NOTE#1", "NOTE#2"):
        client.put_item(TableName=name, Item={"pk": {"S": "A"}, "sk": {"S": sort_key}})
    return name


def found(emulator: Emulator, table: str, condition: str, prefix: str) -> list[str]:
    values = {":pk": {"S": "A"}, ":sk": {"S": prefix}}
    answer = emulator.client("dynamodb").query(
        TableName=table, KeyConditionExpression=condition, ExpressionAttributeValues=values
    )
    return [item["sk"]["S"] for item in answer["Items"]]


def test_the_same_expression_is_held_against_each_item_and_each_value(mended: Emulator, table: str) -> None:
    assert found(mended, table, BY_PREFIX, "NOTE#") == ["NOTE#1", "NOTE#2"]
    assert found(mended, table, BY_PREFIX, "LETTER#") == ["LETTER#1"]


def test_what_is_no_expression_is_refused_each_time(mended: Emulator, table: str) -> None:
    for _ in range(2):
        with pytest.raises(ClientError, match="ValidationException"):
            found(mended, table, f"{BY_PREFIX} AND AND", "NOTE#")


def test_it_is_read_once_and_who_takes_it_apart_takes_a_copy() -> None:
    read: list[str] = []

    def tokenize(expression: str) -> list[Any]:
        read.append(expression)
        return expression.split()

    tokens = once_for_each_expression(tokenize)
    tokens("a = b").clear()
    assert tokens("a = b") == ["a", "=", "b"]
    assert read == ["a = b"]


def test_the_emulator_alone_still_reads_it_for_each_item(monkeypatch: pytest.MonkeyPatch) -> None:
    from ministack.services import dynamodb

    read: list[str] = []
    tokenize = dynamodb._tokenize

    def counted(expression: str) -> Any:
        read.append(expression)
        return tokenize(expression)

    monkeypatch.setattr(dynamodb, "_tokenize", counted)
    for name in ("a", "b"):
        dynamodb._evaluate_condition("pk = :pk", {"pk": {"S": name}}, {":pk": {"S": "a"}}, {})
    assert read == ["pk = :pk", "pk = :pk"]
