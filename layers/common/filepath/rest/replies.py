"""From an operation's result to an HTTP reply: JSON, or bytes with what belongs to them in headers."""

from __future__ import annotations

import json

from fastapi import Response

from filepath.operations.registry import Bytes, Model

OCTETS = "application/octet-stream"
"""API Gateway gives bytes to a request whose Accept names a type of the template's BinaryMediaTypes, and base64, as
text, to any other: `*/*` names none. So who does not say exactly this gets no bytes at all."""


def reply(status: int, result: Model) -> Response:
    if isinstance(result, Bytes):
        fields = result.model_dump(by_alias=False, exclude={"data"})
        headers = {header(name): json.dumps(value) for name, value in fields.items()}
        return Response(result.data, status, headers, media_type=OCTETS)
    return Response(result.model_dump_json(), status, media_type="application/json")


def header(field: str) -> str:
    """A field's name as a header's: `X-Next-Offset`."""
    return f"X-{field.replace('_', '-').title()}"
