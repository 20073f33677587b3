"""The clients' socket: connect by key or ticket, calls, disconnect."""

from __future__ import annotations

from typing import Any

from aws_lambda_powertools.utilities.typing import LambdaContext

from filepath.log import logger
from filepath.rpc import door


@logger.inject_lambda_context(clear_state=True)
def handle(event: dict[str, Any], context: LambdaContext) -> dict[str, Any]:
    request = event["requestContext"]
    logger.append_keys(request_id=request["requestId"], connection_id=request["connectionId"])
    match request["eventType"]:
        case "CONNECT":
            return {"statusCode": door.connect(event)}
        case "DISCONNECT":
            door.disconnect(event)
            return {"statusCode": 200}
    answer = door.message(event)
    return {"statusCode": 200} if answer is None else {"statusCode": 200, "body": answer}
