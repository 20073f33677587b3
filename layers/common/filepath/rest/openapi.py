"""The OpenAPI document: made from the same models as the doors, so that it cannot say otherwise."""

from __future__ import annotations

from contextlib import suppress
from typing import Any

from fastapi import FastAPI
from fastapi.openapi.docs import get_swagger_ui_html
from fastapi.openapi.utils import get_openapi
from fastapi.responses import HTMLResponse
from pydantic.json_schema import models_json_schema

from filepath.operations import registry
from filepath.operations.registry import Bytes, Model, Operation
from filepath.rest.examples import example, given
from filepath.rest.replies import OCTETS, header

_ERROR_SCHEMA = {
    "type": "object",
    "required": ["error"],
    "properties": {
        "error": {
            "type": "object",
            "required": ["code", "message", "requestId", "retryable", "details"],
            "properties": {
                "code": {"type": "string"},
                "message": {"type": "string", "description": "What to do."},
                "requestId": {"type": "string", "description": "Finds the log line; report it with a fault."},
                "retryable": {"type": "boolean", "description": "The same request may succeed later, unchanged."},
                "details": {"type": "object"},
            },
            "additionalProperties": False,
        }
    },
}
_TAGS = (
    ("/api/auth/api-key", "API keys"),
    ("/api/auth", "Account"),
    ("/api/credits", "Account"),
    ("/api/usage", "Account"),
    ("/api/orchestrator/session", "Sessions"),
    ("/api/orchestrator", "Tasks"),
    ("/api/workflow", "Tasks"),
    ("/", "Platform"),
)
"""The first that fits counts."""


def described(operation: Operation) -> dict[str, Any]:
    """What FastAPI is told of a route. Its parameters and body are described here by hand, as the route takes the
    bare request: so that every refusal is in our envelope.
    """
    return {
        "summary": operation.summary,
        "tags": [_tag(operation)],
        "description": operation.description,
        "responses": _responses(operation),
        "openapi_extra": _inputs(operation) | ({"security": []} if operation.public else {}),
        "response_model": None,
    }


def _tag(operation: Operation) -> str:
    """What the operation is about, by its path: `/api/orchestrator/session` is about sessions."""
    return next(tag for prefix, tag in _TAGS if operation.path.startswith(prefix))


def install(app: FastAPI) -> None:
    """Has the app serve the document with the models' schemas in it."""

    def document() -> dict[str, Any]:
        if app.openapi_schema is None:
            app.openapi_schema = _document(app)
        return app.openapi_schema

    @app.get("/docs", include_in_schema=False)
    def docs() -> HTMLResponse:
        """Asks for the document beside itself: the path before both differs from deployment to deployment."""
        return get_swagger_ui_html(openapi_url="openapi.json", title=app.title)

    app.openapi = document  # type: ignore[method-assign]  # FastAPI's documented way


def _document(app: FastAPI) -> dict[str, Any]:
    document = get_openapi(title=app.title, version=app.version, description=app.description, routes=app.routes)
    components = document.setdefault("components", {})
    components["schemas"] = {**_schemas(), "Error": _ERROR_SCHEMA}
    components["securitySchemes"] = {
        "apiKey": {"type": "apiKey", "in": "header", "name": "x-api-key"},
        "bearer": {"type": "http", "scheme": "bearer"},
    }
    document["servers"] = [{"url": "./"}]
    document["security"] = [{"apiKey": []}, {"bearer": []}]
    return document


def _schemas() -> dict[str, Any]:
    operations = registry.operations().values()
    models = [(operation.input, "validation") for operation in operations]
    models += [(operation.output, "serialization") for operation in operations]
    _, schema = models_json_schema(models, ref_template="#/components/schemas/{model}")  # type: ignore[arg-type]  # a list of literals
    definitions: dict[str, Any] = schema.get("$defs", {})
    return definitions


def _responses(operation: Operation) -> dict[int | str, dict[str, Any]]:
    reference = {"$ref": f"#/components/schemas/{operation.output.__name__}"}
    answer: dict[str, Any] = {
        "description": operation.summary,
        "content": {"application/json": {"schema": reference, **_example_of(operation.output)}},
    }
    if operation.output_as_bytes is not None:
        answer["content"][OCTETS] = {}
        answer["headers"] = _headers(operation.output_as_bytes)
    replies: dict[int | str, dict[str, Any]] = {operation.status: answer}
    for status in sorted({error.status for error in operation.refusals}):
        codes = sorted({error.code for error in operation.refusals if error.status == status})
        replies[status] = _refusal(codes, is_timed=status in {429, 503})
    return replies


def _headers(model: type[Bytes]) -> dict[str, Any]:
    """What comes with bytes."""
    fields = model.model_json_schema(by_alias=False)["properties"].items()
    return {
        header(name): {"description": field["description"], "schema": {"type": field["type"]}}
        for name, field in fields
        if name != "data"
    }


def _refusal(codes: list[str], *, is_timed: bool) -> dict[str, Any]:
    """The envelope, with those codes alone."""
    these = {"properties": {"error": {"properties": {"code": {"enum": codes}}}}}
    schema = {"allOf": [{"$ref": "#/components/schemas/Error"}, these]}
    described = {"description": " or ".join(codes), "content": {"application/json": {"schema": schema}}}
    return described | ({"headers": {"Retry-After": _RETRY_AFTER}} if is_timed else {})


_RETRY_AFTER = {"description": "Seconds to wait.", "schema": {"type": "integer", "minimum": 1}}


def _example_of(model: type[Model]) -> dict[str, Any]:
    """Nothing for a model with a field that has no example: tests ask for them, the document does without."""
    schema = model.model_json_schema(mode="serialization")
    with suppress(LookupError):
        return {"example": example(schema, schema.get("$defs", {}))}
    return {}


def _inputs(operation: Operation) -> dict[str, Any]:
    schema = operation.input.model_json_schema(ref_template="#/components/schemas/{model}")
    properties, required = schema.get("properties", {}), schema.get("required", [])
    place = dict.fromkeys(operation.path_fields, "path")
    if operation.method != "POST":
        place = {name: place.get(name, "query") for name in properties}
    examples = _examples(schema)
    parameters: list[dict[str, Any]] = [
        {"name": name, "in": where, "required": name in required, "schema": _not_null(properties[name])}
        | ({"example": examples[name]} if name in examples else {})
        for name, where in place.items()
    ]
    if operation.creates:
        parameters.append(_IDEMPOTENCY_KEY)
    body = {name: field for name, field in properties.items() if name not in place}
    described: dict[str, Any] = {"parameters": parameters} if parameters else {}
    if body:
        needed = [name for name in required if name in body]
        described["requestBody"] = {
            "required": bool(needed),
            "content": {
                "application/json": {
                    "schema": {
                        "type": "object",
                        "properties": body,
                        "required": needed,
                        "additionalProperties": False,
                    },
                    "example": {name: value for name, value in examples.items() if name in body},
                }
            },
        }
    return described


def _not_null(schema: dict[str, Any]) -> dict[str, Any]:
    """A parameter is left out where a field of a body may be null."""
    branches: list[dict[str, Any]] = [branch for branch in schema.get("anyOf", ()) if branch != {"type": "null"}]
    if len(branches) != 1:
        return schema
    return branches[0] | {name: value for name, value in schema.items() if name not in {"anyOf", "default"}}


def _examples(schema: dict[str, Any]) -> dict[str, Any]:
    with suppress(LookupError):
        return given(schema.get("properties", {}), schema.get("$defs", {}))
    return {}


_IDEMPOTENCY_KEY: dict[str, Any] = {
    "name": "Idempotency-Key",
    "in": "header",
    "required": False,
    "description": "The same key and body give the first answer again, for a day.",
    "schema": {"type": "string", "minLength": 1, "maxLength": 255},
    "example": "9f86d081-nightly",
}
