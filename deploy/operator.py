"""The stack's operator function, which answers to its owner's AWS credentials alone."""

from __future__ import annotations

import json
from typing import Any

from deploy.account import Account
from deploy.failure import Failure


def ask(account: Account, function: str, request: dict[str, Any]) -> dict[str, Any]:
    answer = account.session.client("lambda").invoke(FunctionName=function, Payload=json.dumps(request))
    content: dict[str, Any] = json.loads(answer["Payload"].read() or b"{}")
    if answer.get("FunctionError"):
        raise Failure(f"The operator function failed: {content.get('errorMessage', content)}")
    return content
