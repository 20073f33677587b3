"""What only the stack's owner may do. Invoked directly, with the owner's AWS credentials; no API leads here."""

from __future__ import annotations

from typing import Any

from aws_lambda_powertools.utilities.typing import LambdaContext

from filepath.lifecycle import operator
from filepath.log import logger


@logger.inject_lambda_context(clear_state=True)
def handle(event: dict[str, Any], context: LambdaContext) -> dict[str, Any]:
    logger.append_keys(request_id=context.aws_request_id, action=event.get("action"))
    match event:
        case {"action": "grant", "email": str(email), "credits": int(credits)}:
            return operator.grant(email, credits, reference=context.aws_request_id)
        case {"action": "invite"}:
            return operator.invite()
        case {"action": "closeSessions", "reason": str(reason)}:
            return operator.close_sessions(reason)
    raise ValueError(
        'send {"action": "grant", "email", "credits"}, {"action": "invite"}, or "closeSessions" with "reason"'
    )
