"""What the stack told this function through its environment: the only reader of os.environ in the layer.

Every value comes from a parameter or a resource of template.yaml. Addresses may hold `{apiId}`, `{stage}` and
`{region}`, filled in where they are used: a function cannot name the API that invokes it without a circle.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache


@dataclass(frozen=True)
class Settings:
    region: str
    stage: str
    table: str
    bucket: str
    agents_url: str
    management_endpoint: str
    socket_url: str
    objects_endpoint: str | None
    clients_api_id: str | None
    agents_api_id: str | None
    session_machine: str
    task_machine: str
    cluster: str
    task_definition: str
    subnets: tuple[str, ...]
    security_group: str
    sign_up: str
    sign_up_credits: int
    sign_ups_per_address: int
    sign_ins_per_address: int
    sign_in_failures_per_account: int
    sandboxes_per_account: int
    sandboxes_per_stack: int
    retention_days: int
    output_limit_bytes: int
    background_seconds: int
    start_timeout_seconds: int

    @classmethod
    def of(cls, environ: Mapping[str, str]) -> Settings:
        """Functions get only what they use: what is absent is empty, and fails where it is used without being set."""

        def text(name: str) -> str:
            return environ.get(name, "")

        return cls(
            region=text("AWS_REGION"),
            stage=text("STAGE"),
            table=text("TABLE"),
            bucket=text("BUCKET"),
            agents_url=text("AGENTS_URL"),
            management_endpoint=text("MANAGEMENT_ENDPOINT"),
            socket_url=text("SOCKET_URL"),
            objects_endpoint=text("OBJECTS_ENDPOINT") or None,
            clients_api_id=text("CLIENTS_API_ID") or None,
            agents_api_id=text("AGENTS_API_ID") or None,
            session_machine=text("SESSION_MACHINE"),
            task_machine=text("TASK_MACHINE"),
            cluster=text("CLUSTER"),
            task_definition=text("TASK_DEFINITION"),
            subnets=tuple(filter(None, text("SUBNETS").split(","))),
            security_group=text("SECURITY_GROUP"),
            sign_up=environ.get("SIGN_UP", "closed"),
            sign_up_credits=int(environ.get("SIGN_UP_CREDITS", "0")),
            sign_ups_per_address=int(environ.get("SIGN_UPS_PER_ADDRESS", "0")),
            sign_ins_per_address=int(environ.get("SIGN_INS_PER_ADDRESS", "0")),
            sign_in_failures_per_account=int(environ.get("SIGN_IN_FAILURES_PER_ACCOUNT", "0")),
            sandboxes_per_account=int(environ.get("SANDBOXES_PER_ACCOUNT", "0")),
            sandboxes_per_stack=int(environ.get("SANDBOXES_PER_STACK", "0")),
            retention_days=int(environ.get("RETENTION_DAYS", "30")),
            background_seconds=int(environ.get("BACKGROUND_SECONDS", "300")),
            output_limit_bytes=int(environ.get("OUTPUT_LIMIT_BYTES", str(1024**3))),
            start_timeout_seconds=int(environ.get("START_TIMEOUT_SECONDS", "300")),
        )

    def kept_until(self, since: int) -> int:
        """When what is kept for the retention time from `since` (milliseconds) on is let go, in seconds, as DynamoDB's
        TTL wants it."""
        return since // 1000 + self.retention_days * 24 * 3600


@cache
def settings() -> Settings:
    return Settings.of(os.environ)
