"""The sandbox agents' socket. Starts fast and stays small: no FastAPI, no pydantic, no operations."""

from __future__ import annotations

from typing import Any

from aws_lambda_powertools.utilities.typing import LambdaContext

from filepath.lifecycle import agent_door
from filepath.log import logger


@logger.inject_lambda_context(clear_state=True)
def handle(event: dict[str, Any], context: LambdaContext) -> dict[str, Any]:
    request = event["requestContext"]
    logger.append_keys(request_id=request["requestId"], connection_id=request["connectionId"])
    match request["eventType"]:
        case "CONNECT":
            return {"statusCode": agent_door.connect(event)}
        case "DISCONNECT":
            agent_door.disconnect(event)
            return {"statusCode": 200}
    answer = agent_door.message(event)
    return {"statusCode": 200} if answer is None else {"statusCode": 200, "body": answer}
