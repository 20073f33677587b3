"""S3 buckets of a deployment: made, measured, emptied, deleted."""

from __future__ import annotations

from typing import TYPE_CHECKING

from botocore.exceptions import ClientError

from deploy.account import Account
from deploy.failure import Failure

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client
    from mypy_boto3_s3.type_defs import CreateBucketRequestTypeDef, ObjectIdentifierTypeDef


def artifacts_bucket(account: Account, stack: str) -> str:
    """Where SAM puts the stack's code. One of its own, so that removing the stack leaves nothing of it in another."""
    return f"{stack}-artifacts-{account.id}-{account.region}"


def make(account: Account, name: str) -> None:
    s3 = account.session.client("s3")
    if exists(account, name):
        return
    wanted: CreateBucketRequestTypeDef = {"Bucket": name}
    if account.region != "us-east-1":  # which alone is not to be named
        wanted["CreateBucketConfiguration"] = {"LocationConstraint": account.region}  # type: ignore[typeddict-item]
    s3.create_bucket(**wanted)
    s3.put_public_access_block(
        Bucket=name,
        PublicAccessBlockConfiguration={
            "BlockPublicAcls": True,
            "BlockPublicPolicy": True,
            "IgnorePublicAcls": True,
            "RestrictPublicBuckets": True,
        },
    )


def exists(account: Account, name: str) -> bool:
    """Bucket names are the whole world's: one of another account is refused rather than used."""
    try:
        account.session.client("s3").head_bucket(Bucket=name, ExpectedBucketOwner=account.id)
    except ClientError as error:
        status = error.response["ResponseMetadata"]["HTTPStatusCode"]
        if status == 404:
            return False
        raise Failure(f"The bucket {name} is not this account's, or not for you: S3 answers {status}.") from None
    return True


def size(account: Account, name: str) -> int:
    pages = account.session.client("s3").get_paginator("list_objects_v2").paginate(Bucket=name)
    return sum(item["Size"] for page in pages for item in page.get("Contents", []))


def delete(account: Account, name: str) -> None:
    """With all it holds, old versions too where its owner had them kept."""
    if not exists(account, name):
        return
    s3 = account.session.client("s3")
    for page in s3.get_paginator("list_object_versions").paginate(Bucket=name):
        stored = [*page.get("Versions", []), *page.get("DeleteMarkers", [])]
        _delete_objects(s3, name, [{"Key": item["Key"], "VersionId": item["VersionId"]} for item in stored])
    s3.delete_bucket(Bucket=name)


def _delete_objects(s3: S3Client, name: str, objects: list[ObjectIdentifierTypeDef]) -> None:
    if not objects:
        return
    refused = s3.delete_objects(Bucket=name, Delete={"Objects": objects, "Quiet": True}).get("Errors", [])
    if refused:
        first = refused[0]
        raise Failure(f"S3 kept {len(refused)} objects of {name}: {first.get('Key')}: {first.get('Message')}")
