"""Every minute: what fell between the table and the machines is set right."""

from __future__ import annotations

from typing import Any

from aws_lambda_powertools.utilities.typing import LambdaContext

from filepath.lifecycle.reconcile import reconcile
from filepath.log import logger


@logger.inject_lambda_context(clear_state=True)
def handle(event: dict[str, Any], context: LambdaContext) -> dict[str, int]:
    logger.append_keys(request_id=context.aws_request_id)
    return {"sessions": reconcile()}
