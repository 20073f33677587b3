"""The sandbox agents' socket. Starts fast and stays small: no FastAPI, no pydantic, no operations."""

from __future__ import annotations

from typing import Any

from aws_lambda_powertools.utilities.typing import LambdaContext

from filepath.lifecycle import agent_door
from filepath.log import logger
from filepath.websocket import answered


@logger.inject_lambda_context(clear_state=True)
def handle(event: dict[str, Any], context: LambdaContext) -> dict[str, Any]:
    return answered(agent_door, event)
