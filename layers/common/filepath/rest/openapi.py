"""The OpenAPI document: made from the same models as the doors, so that it cannot say otherwise."""

from __future__ import annotations

from typing import Any

from fastapi import FastAPI
from fastapi.openapi.docs import get_swagger_ui_html
from fastapi.openapi.utils import get_openapi
from fastapi.responses import HTMLResponse
from pydantic.json_schema import models_json_schema

from filepath import errors
from filepath.operations import registry
from filepath.operations.registry import Operation

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
                "requestId": {"type": "string"},
                "retryable": {"type": "boolean"},
                "details": {"type": "object"},
            },
        }
    },
}
_TAGS = (
    ("/api/auth/api-key", "API keys"),
    ("/api/auth", "Account"),
    ("/api/credits", "Account"),
    ("/api/orchestrator/session", "Sessions"),
    ("/api/orchestrator", "Tasks"),
    ("/api/workflow", "Tasks"),
    ("/", "Platform"),
)
"""The first that fits counts."""
_ANY_CALL = (errors.InvalidRequest, errors.RateLimited, errors.Unavailable, errors.InternalError)
_CALL_WITH_CREDENTIAL = (errors.Unauthenticated, errors.Forbidden)


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
    failing = [*_ANY_CALL, *(() if operation.public else _CALL_WITH_CREDENTIAL), *operation.errors]
    replies: dict[int | str, dict[str, Any]] = {
        operation.status: {"description": operation.summary, "content": _content(operation.output.__name__)}
    }
    for status in sorted({error.status for error in failing}):
        codes = sorted({error.code for error in failing if error.status == status})
        replies[status] = {"description": " or ".join(codes), "content": _content("Error")}
    return replies


def _content(model: str) -> dict[str, Any]:
    return {"application/json": {"schema": {"$ref": f"#/components/schemas/{model}"}}}


def _inputs(operation: Operation) -> dict[str, Any]:
    schema = operation.input.model_json_schema(ref_template="#/components/schemas/{model}")
    properties, required = schema.get("properties", {}), schema.get("required", [])
    place = dict.fromkeys(operation.path_fields, "path")
    if operation.method != "POST":
        place = {name: place.get(name, "query") for name in properties}
    parameters: list[dict[str, Any]] = [
        {"name": name, "in": where, "required": name in required, "schema": properties[name]}
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
                    }
                }
            },
        }
    return described


_IDEMPOTENCY_KEY: dict[str, Any] = {
    "name": "Idempotency-Key",
    "in": "header",
    "required": False,
    "description": "The same key and body give the first answer again, for a day.",
    "schema": {"type": "string", "minLength": 1, "maxLength": 255},
}
