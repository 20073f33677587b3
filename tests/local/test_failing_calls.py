"""Calls of functions that fail: local/mends/failing_calls.py, and the plan that says how."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import httpx
import pytest

from local.call_faults import CallFaults, CallPlan, Rates, decided, refusals
from local.faults import NotAPlanError
from tests.local.emulators import Emulator

# Adds one to a counter by the transaction that it is given, and says what it saw.
COUNTING = """
import boto3
from botocore.config import Config
from botocore.exceptions import BotoCoreError, ClientError

def handler(event, context):
    client = boto3.client("dynamodb", config=Config(retries={"total_max_attempts": event.get("tries", 1)}))
    update = {"TableName": event["table"], "Key": {"id": {"S": "one"}}, "UpdateExpression": "ADD n :one",
              "ExpressionAttributeValues": {":one": {"N": "1"}}}
    try:
        if event.get("single"):
            client.update_item(**update)
        else:
            client.transact_write_items(TransactItems=[{"Update": update}])
    except ClientError as error:
        reasons = [reason["Code"] for reason in error.response.get("CancellationReasons", [])]
        return {"code": error.response["Error"]["Code"], "reasons": reasons}
    return {"code": None}
"""


@pytest.fixture(scope="module")
def table(mended: Emulator) -> str:
    name = "counted"
    mended.client("dynamodb").create_table(
        TableName=name,
        BillingMode="PAY_PER_REQUEST",
        AttributeDefinitions=[{"AttributeName": "id", "AttributeType": "S"}],
        KeySchema=[{"AttributeName": "id", "KeyType": "HASH"}],
    )
    return name


@pytest.fixture(scope="module")
def function(mended: Emulator) -> str:
    return mended.function(COUNTING, actions=("dynamodb:*",))


Call = Callable[..., dict[str, Any]]


@pytest.fixture
def call(mended: Emulator, function: str, table: str) -> Call:
    def call(**event: Any) -> dict[str, Any]:
        payload = json.dumps({"table": table, **event}).encode()
        answer = mended.client("lambda").invoke(FunctionName=function, Payload=payload)
        content: dict[str, Any] = json.loads(answer["Payload"].read())
        return content

    return call


def follow(emulator: Emulator, secret: str | None = None, **plan: Any) -> httpx.Response:
    return httpx.post(
        f"{emulator.home.emulator_url}/_local/faults",
        headers={"x-local-secret": secret or emulator.home.control_secret()},
        json={"plan": plan},
    )


@pytest.fixture(autouse=True)
def _all_goes_well_again(mended: Emulator) -> Any:
    yield
    follow(mended).raise_for_status()


def count(emulator: Emulator, table: str) -> int:
    found = emulator.client("dynamodb").get_item(TableName=table, Key={"id": {"S": "one"}}, ConsistentRead=True)
    return int(found.get("Item", {"n": {"N": "0"}})["n"]["N"])


def test_a_refused_call_has_no_effect_and_an_error_that_aws_documents(mended: Emulator, table: str, call: Call) -> None:
    before = count(mended, table)
    follow(mended, seed=1, calls={"dynamodb:TransactWriteItems": {"refuse": 1}})
    seen = [call() for _ in range(12)]
    assert {each["code"] for each in seen} <= {refusal.code for refusal in refusals("dynamodb:TransactWriteItems")}
    cancelled = [each for each in seen if each["code"] == "TransactionCanceledException"]
    assert cancelled
    assert all(len(each["reasons"]) == 1 and each["reasons"] != ["None"] for each in cancelled)
    assert count(mended, table) == before


def test_a_single_write_meets_a_transaction(mended: Emulator, call: Call) -> None:
    follow(mended, seed=1, calls={"dynamodb:UpdateItem": {"refuse": 1}})
    assert "TransactionConflictException" in {call(single=True)["code"] for _ in range(12)}


def test_a_call_whose_reply_is_lost_took_effect(mended: Emulator, table: str, call: Call) -> None:
    before = count(mended, table)
    follow(mended, calls={"dynamodb:*": {"lose": 1}})
    assert call()["code"] == "InternalServerError"
    assert count(mended, table) == before + 1


def test_a_transaction_sent_again_after_its_reply_was_lost_is_done_once(
    mended: Emulator, table: str, call: Call
) -> None:
    """The SDK bears the same token at each try."""
    before = count(mended, table)
    follow(mended, calls={"dynamodb:*": {"lose": 1}})
    call(tries=3)
    assert count(mended, table) == before + 1
    assert follow(mended).json()["calls"] == {"dynamodb:TransactWriteItems": 3}


def test_a_function_dies_once_its_call_took_effect(mended: Emulator, table: str, call: Call) -> None:
    before = count(mended, table)
    follow(mended, calls={"dynamodb:*": {"kill": 1}})
    assert "died" in call()["errorMessage"]
    assert count(mended, table) == before + 1
    follow(mended)
    assert call() == {"code": None}


def test_the_stacks_own_calls_fare_well(mended: Emulator, table: str) -> None:
    follow(mended, calls={"*": {"refuse": 1}})
    count(mended, table)
    assert follow(mended).json()["calls"] == {}


def test_a_plan_is_set_only_by_who_knows_the_stacks_secret(mended: Emulator, call: Call) -> None:
    assert follow(mended, "guessed", calls={"dynamodb:*": {"refuse": 1}}).status_code == 403
    assert call() == {"code": None}


def test_what_is_no_plan_is_refused(mended: Emulator) -> None:
    assert follow(mended, chance=1).status_code == 400
    assert follow(mended, calls={"dynamodb:*": {"before": 1}}).status_code == 400


def test_the_plan_is_set_over_the_front_door(deployed: Any) -> None:
    assert deployed.control(door="aws", plan={"seed": 1}) == {"calls": {}, "befallen": {}}


# The plan itself


def test_a_seed_gives_the_same_fates_whatever_else_is_called() -> None:
    plan = CallPlan(7, {"dynamodb:*": Rates(refuse=0.3, lose=0.2, kill=0.1)})
    first, second = CallFaults(plan), CallFaults(plan)
    fates = [first.next_fate("dynamodb:PutItem") for _ in range(200)]
    for fate in fates:
        second.next_fate("dynamodb:GetItem")
        second.next_fate("s3:PutObject")
        assert second.next_fate("dynamodb:PutItem") == fate
    other = CallPlan(8, plan.calls)
    assert fates != [decided(other, "dynamodb:PutItem", number) for number in range(1, 201)]


def test_calls_fare_at_the_rates_of_the_first_name_that_fits() -> None:
    plan = CallPlan(1, {"dynamodb:GetItem": Rates(), "dynamodb:*": Rates(refuse=0.2, lose=0.1)})
    faults = CallFaults(plan)
    for _ in range(5000):
        faults.next_fate("dynamodb:GetItem")
        faults.next_fate("dynamodb:PutItem")
        faults.next_fate("states:StartExecution")
    assert set(+faults.befallen) == {"refuse dynamodb:PutItem", "lose dynamodb:PutItem"}
    assert 900 < faults.befallen["refuse dynamodb:PutItem"] < 1100
    assert 400 < faults.befallen["lose dynamodb:PutItem"] < 600


def test_a_misspelt_rate_is_no_plan() -> None:
    with pytest.raises(NotAPlanError):
        CallPlan.from_json({"calls": {"dynamodb:*": {"refused": 0.1}}})
