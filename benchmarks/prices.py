"""AWS's list prices in us-east-1, without free tiers and volume discounts, as published in 2026. In dollars.

From the pricing pages of each service. A price that changed is changed here, with the year above.
"""

from __future__ import annotations

STATE_TRANSITION = 0.025 / 1_000
"""Standard workflows. The start of an execution counts as one."""

LAMBDA_REQUEST = 0.20 / 1_000_000
LAMBDA_GB_SECOND = 0.0000166667
"""x86, first tier; billed by the started millisecond."""

DYNAMODB_WRITE_UNIT = 0.625 / 1_000_000
DYNAMODB_READ_UNIT = 0.125 / 1_000_000
"""On demand, since November 2024."""

REST_REQUEST = 3.50 / 1_000_000
WEBSOCKET_MESSAGE = 1.00 / 1_000_000
"""Each started 32 KB, either way."""
WEBSOCKET_CONNECTION_MINUTE = 0.25 / 1_000_000

S3_PUT = 0.005 / 1_000
S3_GET = 0.0004 / 1_000

LOGS_GB = 0.50
TRANSFER_OUT_GB = 0.09

SCHEDULE_INVOCATION = 1.00 / 1_000_000
"""Of EventBridge Scheduler. ECS's own events on the default bus cost nothing."""

FARGATE_VCPU_HOUR = 0.04048
FARGATE_GB_HOUR = 0.004445
PUBLIC_IPV4_HOUR = 0.005


def sandbox_hour(vcpus: float, gigabytes: float) -> float:
    return FARGATE_VCPU_HOUR * vcpus + FARGATE_GB_HOUR * gigabytes + PUBLIC_IPV4_HOUR
