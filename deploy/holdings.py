"""Counts what a stack holds, for what it costs."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING

from deploy import buckets
from deploy.account import Account
from deploy.cost import Holdings
from deploy.stack import Stack

if TYPE_CHECKING:
    from mypy_boto3_logs.type_defs import LogGroupTypeDef

LOG_GROUPS = ("FunctionsLogGroup", "SandboxLogGroup")


def holdings(stack: Stack) -> Holdings:
    account = stack.account
    resources = stack.resources()
    kinds = Counter(item["ResourceType"] for item in resources)
    names = {item["LogicalResourceId"]: item["PhysicalResourceId"] for item in resources}
    groups = [_log_group(account, names[name]) for name in LOG_GROUPS]
    table = account.session.client("dynamodb").describe_table(TableName=names["Table"])["Table"]
    return Holdings(
        schedules=kinds["AWS::Scheduler::Schedule"],
        alarms=kinds["AWS::CloudWatch::Alarm"],
        log_groups=kinds["AWS::Logs::LogGroup"],
        log_bytes=sum(group.get("storedBytes", 0) for group in groups),
        log_days=max(group.get("retentionInDays", 0) for group in groups),
        table_bytes=table["TableSizeBytes"],
        object_bytes=buckets.size(account, names["Bucket"]),
        image_bytes=_image_bytes(account, names["SandboxRepository"]),
        artifact_bytes=buckets.size(account, buckets.artifacts_bucket(account, stack.name)),
    )


def _log_group(account: Account, name: str) -> LogGroupTypeDef:
    return account.session.client("logs").describe_log_groups(logGroupNamePrefix=name)["logGroups"][0]


def _image_bytes(account: Account, repository: str) -> int:
    pages = account.session.client("ecr").get_paginator("describe_images").paginate(repositoryName=repository)
    return sum(image["imageSizeInBytes"] for page in pages for image in page["imageDetails"])
