"""The clients' socket: connect by key or ticket, calls, disconnect."""

from __future__ import annotations

from typing import Any

from aws_lambda_powertools.utilities.typing import LambdaContext

from filepath.log import logger
from filepath.rpc import door
from filepath.websocket import answered


@logger.inject_lambda_context(clear_state=True)
def handle(event: dict[str, Any], context: LambdaContext) -> dict[str, Any]:
    return answered(door, event)
