"""boto3 clients, made on first use: 80 ms for the first of a process, 4 ms for each further one of the session."""

from __future__ import annotations

from functools import cache
from typing import TYPE_CHECKING

import boto3
from botocore.config import Config
from botocore.exceptions import BotoCoreError, ClientError

from filepath.settings import settings

if TYPE_CHECKING:
    from mypy_boto3_apigatewaymanagementapi import ApiGatewayManagementApiClient
    from mypy_boto3_dynamodb import DynamoDBClient
    from mypy_boto3_ecs import ECSClient
    from mypy_boto3_s3 import S3Client
    from mypy_boto3_stepfunctions import SFNClient

_PATIENT = Config(retries={"mode": "standard", "total_max_attempts": 4}, connect_timeout=2, read_timeout=8)
_ONE_TRY = Config(retries={"mode": "standard", "total_max_attempts": 1}, connect_timeout=1, read_timeout=1)
"""For posts to clients: nobody is waited for, and what was missed is read by offset."""


@cache
def _session() -> boto3.Session:
    return boto3.Session()


@cache
def dynamodb() -> DynamoDBClient:
    return _session().client("dynamodb", config=_PATIENT)


@cache
def stepfunctions() -> SFNClient:
    return _session().client("stepfunctions", config=_PATIENT)


@cache
def ecs() -> ECSClient:
    return _session().client("ecs", config=_PATIENT)


@cache
def s3() -> S3Client:
    return _session().client("s3", config=_PATIENT)


@cache
def presigning_s3() -> S3Client:
    """Signs addresses that sandboxes fetch: the host is part of the signature."""
    path_style = Config(signature_version="s3v4", s3={"addressing_style": "path"})
    return _session().client("s3", config=path_style, endpoint_url=settings().objects_endpoint)


@cache
def management(endpoint: str) -> ApiGatewayManagementApiClient:
    return _session().client("apigatewaymanagementapi", config=_ONE_TRY, endpoint_url=endpoint)


_BUSY = frozenset(
    {
        "ProvisionedThroughputExceededException",
        "RequestLimitExceeded",
        "ThrottlingException",
        "TooManyRequestsException",
        "TransactionInProgressException",
    }
)


def is_passing(error: Exception) -> bool:
    """Whether AWS may take the same call a moment later."""
    if isinstance(error, ClientError):
        status = error.response.get("ResponseMetadata", {}).get("HTTPStatusCode", 0)
        return error.response["Error"].get("Code") in _BUSY or status >= 500
    return isinstance(error, BotoCoreError)
