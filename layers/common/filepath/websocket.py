"""What both WebSocket APIs have in common: the shape of their events and of what they are answered."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Protocol

from filepath.log import logger

Event = Mapping[str, Any]


class Door(Protocol):
    """Who is let in, and what one message is answered. `agent_door` and `rpc.door` are such."""

    def connect(self, event: Event) -> int:
        """The HTTP status that the handshake is answered with."""

    def disconnect(self, event: Event) -> None: ...

    def message(self, event: Event) -> str | None:
        """The answer; None for a message that wants none."""


def answered(door: Door, event: Event) -> dict[str, Any]:
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


def address(event: Event) -> str:
    """Where the connection is posted to: `apiId/stage/connectionId`."""
    request = event["requestContext"]
    return f"{request['apiId']}/{request['stage']}/{request['connectionId']}"


def headers(event: Event) -> dict[str, str]:
    return {name.lower(): value for name, value in (event.get("headers") or {}).items()}
