"""The AWS account that a deployment goes to, as its credentials show it."""

from __future__ import annotations

import os
from dataclasses import dataclass

import boto3
from botocore.exceptions import BotoCoreError, ClientError

from deploy.failure import Failure


@dataclass(frozen=True)
class Account:
    session: boto3.Session
    region: str
    id: str
    caller: str

    @classmethod
    def at_hand(cls) -> Account:
        try:
            session = boto3.Session()
            if session.region_name is None:
                raise Failure("No region is set. Say which: AWS_REGION=eu-central-1 make deploy, or `aws configure`.")
            identity = session.client("sts").get_caller_identity()
        except (BotoCoreError, ClientError) as error:
            raise Failure(
                f"AWS does not know who you are: {error}\n"
                "Sign in (`aws sso login`, `aws configure`), or say who: AWS_PROFILE."
            ) from None
        return cls(session, session.region_name, identity["Account"], identity["Arn"])

    def __str__(self) -> str:
        return f"account {self.id}, region {self.region}, as {self.caller}"

    def environment(self) -> dict[str, str]:
        """For the programs that a deployment starts: the same account and region."""
        region = {"AWS_REGION": self.region, "AWS_DEFAULT_REGION": self.region}
        return {**os.environ, **region, "SAM_CLI_TELEMETRY": "0"}
