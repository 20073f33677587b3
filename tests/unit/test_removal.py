"""What a deployment leaves and takes away, and what stops it, against moto. All of it: tests/stack/test_deploy.py."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from moto import mock_aws

from deploy import buckets
from deploy.account import Account
from deploy.down import _delete_log_groups, _delete_table
from deploy.failure import Failure
from deploy.preflight import Findings, _vpc_quota

NAMES = ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_DEFAULT_REGION")


@pytest.fixture
def account(monkeypatch: pytest.MonkeyPatch) -> Iterator[Account]:
    for name, value in zip(NAMES, ("made-up", "made-up", "eu-central-1"), strict=True):
        monkeypatch.setenv(name, value)
    with mock_aws():
        yield Account.at_hand()


def test_without_a_region_nothing_begins(monkeypatch: pytest.MonkeyPatch, account: Account) -> None:
    monkeypatch.delenv("AWS_DEFAULT_REGION")
    monkeypatch.setenv("AWS_CONFIG_FILE", "/dev/null")
    with pytest.raises(Failure, match="No region is set"):
        Account.at_hand()


def test_without_credentials_nothing_begins(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in NAMES[:2]:
        monkeypatch.delenv(name, raising=False)
    for name in ("AWS_CONFIG_FILE", "AWS_SHARED_CREDENTIALS_FILE"):
        monkeypatch.setenv(name, "/dev/null")
    monkeypatch.setenv("AWS_DEFAULT_REGION", "eu-central-1")
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    with pytest.raises(Failure, match="AWS does not know who you are"):
        Account.at_hand()


def test_the_bucket_for_code_is_private_made_once_and_deleted_with_all_its_versions(account: Account) -> None:
    name = buckets.artifacts_bucket(account, "filepath-dev")
    buckets.make(account, name)
    buckets.make(account, name)
    s3 = account.session.client("s3")
    blocked = s3.get_public_access_block(Bucket=name)["PublicAccessBlockConfiguration"]
    assert all(blocked.values())
    s3.put_bucket_versioning(Bucket=name, VersioningConfiguration={"Status": "Enabled"})
    for content in (b"one", b"three"):
        s3.put_object(Bucket=name, Key="code", Body=content)
    assert buckets.size(account, name) == 5
    s3.delete_object(Bucket=name, Key="code")
    buckets.delete(account, name)
    assert s3.list_buckets()["Buckets"] == []
    buckets.delete(account, name)


def test_a_table_that_is_gone_already_is_no_failure(account: Account) -> None:
    _delete_table(account, "filepath-dev-Table-1")


@pytest.mark.parametrize(("removed", "stays"), [("filepath-dev", "filepath"), ("filepath", "filepath-dev")])
def test_log_groups_of_other_stacks_stay(account: Account, removed: str, stays: str) -> None:
    logs = account.session.client("logs")
    for stack in ("filepath", "filepath-dev"):
        logs.create_log_group(logGroupName=f"{stack}-FunctionsLogGroup-1")
    _delete_log_groups(account, removed)
    left = [group["logGroupName"] for group in logs.describe_log_groups()["logGroups"]]
    assert left == [f"{stays}-FunctionsLogGroup-1"]


def test_a_region_without_room_for_a_vpc_is_told_before_anything_is_changed(account: Account) -> None:
    ec2 = account.session.client("ec2")
    found = Findings()
    _vpc_quota(account, found)
    assert found == Findings()
    for number in range(4):  # and the default one
        ec2.create_vpc(CidrBlock=f"10.{number}.0.0/16")
    _vpc_quota(account, found)
    (problem,) = found.problems
    assert "has 5 of at most 5" in problem
