"""Who may do what: local/mends/root_key.py, admin.py and cluster_condition.py."""

from __future__ import annotations

import json
import uuid

import httpx
import pytest
from botocore.exceptions import ClientError

from tests.local.emulators import Emulator

GUESSES = ("test", "000000000000", "123456789012")


def is_refused(emulator: Emulator, access_key: str, secret_key: str) -> bool:
    try:
        emulator.client("s3", access_key, secret_key).list_buckets()
        emulator.client("dynamodb", access_key, secret_key).list_tables()
    except ClientError as error:
        return error.response["ResponseMetadata"]["HTTPStatusCode"] in {400, 403}
    return False


@pytest.mark.parametrize("guess", GUESSES)
def test_no_key_that_can_be_guessed_is_root(mended: Emulator, guess: str) -> None:
    assert is_refused(mended, guess, "test")


def test_the_root_key_needs_its_secret(mended: Emulator) -> None:
    root = mended.home.root_key()
    assert is_refused(mended, root.access_key, "another secret")
    assert not is_refused(mended, root.access_key, root.secret_key)


def test_an_object_cannot_be_read_without_a_signature(mended: Emulator) -> None:
    s3 = mended.client("s3")
    bucket = f"bucket-{uuid.uuid4().hex[:8]}"
    s3.create_bucket(Bucket=bucket)
    s3.put_object(Bucket=bucket, Key="key", Body=b"private")
    assert httpx.get(f"{mended.home.emulator_url}/{bucket}/key").status_code == 403


def test_a_function_holds_its_role_and_nothing_of_root(mended: Emulator) -> None:
    code = """
import os, boto3
def handler(event, context):
    boto3.client("dynamodb").list_tables()
    try:
        boto3.client("s3").list_buckets()
    except Exception as error:
        return [str(error), dict(os.environ)]
"""
    function = mended.function(code, actions=("dynamodb:ListTables",))
    answer = mended.client("lambda").invoke(FunctionName=function)
    error, variables = json.load(answer["Payload"])
    assert "s3:ListAllMyBuckets" in error
    root = mended.home.root_key()
    assert not {root.access_key, root.secret_key} & set(variables.values())


@pytest.mark.parametrize(
    "path",
    [
        "/_ministack/reset",
        "/_ministack/config",
        "/_localstack/state/reset",
        "/_ministack/ses/messages",
        "/latest/meta-data/iam/security-credentials/any",
        "/v2/credentials/any",
    ],
)
@pytest.mark.parametrize("method", ["GET", "POST"])
def test_the_emulators_own_endpoints_are_closed(mended: Emulator, method: str, path: str) -> None:
    assert httpx.request(method, mended.home.emulator_url + path).status_code == 403


def may_run_tasks_on(emulator: Emulator, allowed: str, cluster: str) -> bool:
    """Whether a function may whose role names one cluster in a condition."""
    ecs = emulator.client("ecs")
    for name in {allowed, cluster}:
        ecs.create_cluster(clusterName=name)
    function = emulator.function(
        'import boto3\ndef handler(event, context):\n    boto3.client("ecs").list_tasks(cluster=event)\n'
    )
    role = emulator.client("lambda").get_function(FunctionName=function)["Configuration"]["Role"].rpartition("/")[2]
    statement = {
        "Effect": "Allow",
        "Action": "ecs:ListTasks",
        "Resource": "*",
        "Condition": {"ArnEquals": {"ecs:cluster": f"arn:aws:ecs:us-east-1:000000000000:cluster/{allowed}"}},
    }
    policy = json.dumps({"Version": "2012-10-17", "Statement": [statement]})
    emulator.client("iam").put_role_policy(RoleName=role, PolicyName="tasks", PolicyDocument=policy)
    answer = emulator.client("lambda").invoke(FunctionName=function, Payload=json.dumps(cluster).encode())
    return "FunctionError" not in answer


def test_a_role_may_be_held_to_one_cluster(mended: Emulator) -> None:
    assert may_run_tasks_on(mended, "mine", "mine")
    assert not may_run_tasks_on(mended, "mine", "other")


def test_the_emulator_alone_still_takes_a_guessed_key_for_root(plain: Emulator) -> None:
    assert not is_refused(plain, "test", "test"), "mends/root_key.py is no longer needed"


def test_the_emulator_alone_still_opens_its_own_endpoints(plain: Emulator) -> None:
    answer = httpx.post(f"{plain.home.emulator_url}/_ministack/config", json={})
    assert answer.status_code == 200, "mends/admin.py is no longer needed"


def test_the_emulator_alone_still_does_not_know_the_cluster_of_a_request(plain: Emulator) -> None:
    assert not may_run_tasks_on(plain, "mine", "mine"), "mends/cluster_condition.py is no longer needed"
