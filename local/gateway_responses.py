"""How API Gateway words its own refusals: as the template's `GatewayResponses` say.

The emulator drops them from the definition that SAM makes, and the refusals come from the doors here: a body that is
too large, alone or as an event, a function that failed or took too long.
"""

from __future__ import annotations

import json
import uuid
from dataclasses import dataclass
from typing import Any

DEFINITION = "x-amazon-apigateway-gateway-responses"


@dataclass(frozen=True)
class Refusal:
    """API Gateway's response type, and what it says where the template says nothing."""

    kind: str
    status: int
    words: str

    @property
    def fallback(self) -> str:
        return "DEFAULT_4XX" if self.status < 500 else "DEFAULT_5XX"


TOO_LARGE = Refusal("REQUEST_TOO_LARGE", 413, "Request Too Long")
TIMED_OUT = Refusal("INTEGRATION_TIMEOUT", 504, "Endpoint request timed out")
FAILED = Refusal("INTEGRATION_FAILURE", 502, "Internal server error")

EVENT_REFUSED = ("x-amzn-errortype", "RequestTooLargeException")
"""The header by which a door tells Lambda's refusal of an event from a 413 that the function itself gave."""


def of_template(template: dict[str, Any]) -> dict[str, Any]:
    """The gateway responses of the REST API in a processed template."""
    for resource in template["Resources"].values():
        if resource["Type"] == "AWS::ApiGateway::RestApi":
            found: dict[str, Any] = resource["Properties"].get("Body", {}).get(DEFINITION, {})
            return found
    return {}


def render(refusal: Refusal, responses: dict[str, Any]) -> tuple[int, bytes]:
    """Status and body."""
    response = responses.get(refusal.kind) or responses.get(refusal.fallback) or {}
    templates = response.get("responseTemplates") or {"application/json": '{"message":$context.error.messageString}'}
    body = templates["application/json"]
    for variable, value in (
        ("$context.error.messageString", json.dumps(refusal.words)),
        ("$context.error.message", refusal.words),
        ("$context.requestId", str(uuid.uuid4())),
    ):
        body = body.replace(variable, value)
    return int(response.get("statusCode") or refusal.status), body.encode()
