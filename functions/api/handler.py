"""REST: an API Gateway event in, the application's answer out."""

from __future__ import annotations

from typing import Any, cast

from aws_lambda_powertools.utilities.typing import LambdaContext
from mangum import Mangum

from filepath.log import logger
from filepath.rest.app import application
from filepath.settings import settings

rest = Mangum(application(), lifespan="off", api_gateway_base_path=settings().stage)


@logger.inject_lambda_context(clear_state=True)
def handle(event: dict[str, Any], context: LambdaContext) -> dict[str, Any]:
    logger.append_keys(request_id=event["requestContext"]["requestId"])
    answer: dict[str, Any] = rest(event, cast("Any", context))  # Mangum has a type of its own for it
    logger.info("answered", extra={"path": event.get("path"), "status": answer["statusCode"]})
    return answer
