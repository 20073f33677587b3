"""ECS told that a task stopped: its session's sandbox is gone."""

from __future__ import annotations

from typing import Any

from aws_lambda_powertools.utilities.typing import LambdaContext

from filepath.lifecycle import session_steps
from filepath.log import logger
from filepath.session import stop_reason


@logger.inject_lambda_context(clear_state=True)
def handle(event: dict[str, Any], context: LambdaContext) -> None:
    detail = event["detail"]
    session_id = detail.get("startedBy", "")
    logger.append_keys(request_id=context.aws_request_id, session_id=session_id)
    if detail["lastStatus"] != "STOPPED" or not session_id.startswith("ses_"):
        return
    logger.info("sandbox stopped", extra={"stopCode": detail.get("stopCode"), "why": detail.get("stoppedReason")})
    session_steps.sandbox_gone(session_id, stop_reason(detail.get("containers", [])))
