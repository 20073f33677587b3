"""From the parts of an HTTP request to an operation's input."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from typing import Any

from filepath.errors import InvalidRequest
from filepath.operations.registry import Model, Operation


def parsed(operation: Operation, path: Mapping[str, str], query: Iterable[tuple[str, str]], body: bytes) -> Model:
    """The path names ids, the body of a POST or the query of the rest gives the other fields; nothing is ignored.
    Raises InvalidRequest, or pydantic's ValidationError.
    """
    given = _query(query)
    if operation.method == "POST":
        if given:
            raise InvalidRequest(f"This call takes no query: {', '.join(given)}. Send it in the body.")
        fields = _body(body)
    else:
        if body.strip() not in {b"", b"{}"}:
            raise InvalidRequest(f"A {operation.method} takes no body. Send parameters in the query.")
        fields = given
    doubled = sorted(fields.keys() & path.keys())
    if doubled:
        raise InvalidRequest(f"{', '.join(doubled)} is given by the path. Leave it out of the rest.")
    return operation.accepted({**fields, **path}, strict=operation.method == "POST")


def _query(query: Iterable[tuple[str, str]]) -> dict[str, Any]:
    fields: dict[str, Any] = {}
    for name, value in query:
        if name in fields:
            raise InvalidRequest(f"{name} is given twice.", details={"field": name})
        fields[name] = value
    return fields


def _body(body: bytes) -> dict[str, Any]:
    """An empty body is an empty object: fine where nothing is required."""
    if not body.strip():
        return {}
    try:
        fields = json.loads(body, parse_constant=_no_constant, object_pairs_hook=_once)
    except (ValueError, RecursionError) as error:
        raise InvalidRequest(f"The body is not JSON: {error}. Send an object, in UTF-8.") from error
    if not isinstance(fields, dict):
        raise InvalidRequest("The body must be a JSON object.")
    return fields


def _no_constant(name: str) -> None:
    raise ValueError(f"{name} is no JSON")


def _once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """Of two fields with one name JSON keeps the last, silently."""
    fields = dict(pairs)
    if len(fields) < len(pairs):
        raise ValueError("a field is given twice")
    return fields
