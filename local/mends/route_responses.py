"""`AWS::ApiGatewayV2::RouteResponse`.

AWS returns a socket function's answer only where the route has one.

MiniStack's API takes it, its CloudFormation refuses the resource as unknown.
"""

# ruff: noqa: SLF001 - a mend reaches into what it mends

from __future__ import annotations

import uuid
from typing import Any


def apply() -> None:
    from ministack.services.cloudformation import provisioners

    provisioners._RESOURCE_HANDLERS["AWS::ApiGatewayV2::RouteResponse"] = {"create": create, "delete": delete}


def create(logical_id: str, properties: dict[str, Any], stack_name: str) -> tuple[str, dict[str, str]]:  # noqa: ARG001
    response_id = uuid.uuid4().hex[:8]
    key = properties.get("RouteResponseKey", "$default")
    _of_route(properties)[response_id] = {"routeResponseId": response_id, "routeResponseKey": key}
    return response_id, {"RouteResponseId": response_id}


def delete(physical_id: str, properties: dict[str, Any]) -> None:
    _of_route(properties).pop(physical_id, None)


def _of_route(properties: dict[str, Any]) -> dict[str, Any]:
    from ministack.services import apigateway

    # `Ref` of a route is "{apiId}/{routeId}" here, and the route's id alone on AWS.
    route_id = properties["RouteId"].rpartition("/")[2]
    responses: dict[str, Any] = apigateway._route_responses.setdefault(properties["ApiId"], {}).setdefault(route_id, {})
    return responses
