"""The FastAPI application: one route for each operation, and one envelope for every error."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from fastapi import FastAPI, Request
from fastapi.responses import JSONResponse, Response
from starlette.exceptions import HTTPException

from filepath import clock, failures
from filepath.access import Caller
from filepath.authentication import authenticate, bearer
from filepath.errors import FilepathError, InvalidRequest, NotFound
from filepath.log import logger
from filepath.operations import registry
from filepath.operations.fields import idempotency_key
from filepath.operations.registry import Context, Operation
from filepath.rest import openapi, requests
from filepath.rest.replies import OCTETS, reply
from filepath.settings import settings

ANONYMOUS = Caller("", "", frozenset())


def application() -> FastAPI:
    app = FastAPI(
        title="filepath",
        description="Execution environments for AI agents: sessions, tasks, their output and what they cost.",
        version="1",
        docs_url=None,
        redoc_url=None,
        redirect_slashes=False,
    )
    for operation in registry.operations().values():
        app.add_api_route(
            operation.path,
            _endpoint(operation),
            methods=[operation.method],
            status_code=operation.status,
            operation_id=operation.rpc_name,
            **openapi.described(operation),
        )
    app.add_exception_handler(HTTPException, _not_routed)
    openapi.install(app)
    return app


def _endpoint(operation: Operation) -> Callable[[Request], Any]:
    async def answer(request: Request) -> Response:
        body = await request.body()
        try:
            return reply(operation.status, _call(operation, request, body))
        except Exception as error:  # noqa: BLE001 - the edge: whatever it is, the caller gets the envelope
            return _refusal(failures.explained(error), request_id(request))

    return answer


def _call(operation: Operation, request: Request, body: bytes) -> registry.Model:
    now = clock.now_ms()
    caller = ANONYMOUS if operation.public else authenticate(_credential(request), now)
    logger.append_keys(user_id=caller.user_id or None, operation=operation.name)
    parsed = requests.parsed(operation, request.path_params, request.query_params.multi_items(), body)
    logger.append_keys(**failures.subject(parsed))
    context = Context(
        caller=caller,
        now=now,
        request_id=request_id(request),
        idempotency_key=idempotency_key(request.headers.get("idempotency-key")),
        source=_source(request),
        takes_bytes=request.headers.get("accept") == OCTETS,
        clients_api=f"{settings().clients_api_id}/{settings().stage}",
    )
    result = registry.call(operation, context, parsed)
    logger.append_keys(**failures.subject(result))
    return result


def _credential(request: Request) -> str | None:
    return request.headers.get("x-api-key") or bearer(request.headers.get("authorization"))


def _source(request: Request) -> str:
    """The address that API Gateway saw; what the caller says of it in headers counts for nothing."""
    event = request.scope.get("aws.event") or {}
    address: str = event.get("requestContext", {}).get("identity", {}).get("sourceIp", "")
    return address


def request_id(request: Request) -> str:
    """API Gateway's own, so that its logs and ours meet."""
    event = request.scope.get("aws.event") or {}
    identity: str = event.get("requestContext", {}).get("requestId", "local")
    return identity


def _refusal(error: FilepathError, request_id: str) -> Response:
    headers = {"Retry-After": str(error.retry_after)} if error.retry_after else {}
    return JSONResponse(error.envelope(request_id), error.status, headers)


async def _not_routed(request: Request, error: Exception) -> Response:
    """What no route took."""
    status = getattr(error, "status_code", 404)
    if status == 405:
        wrong = InvalidRequest(f"{request.url.path} does not take {request.method}. See /openapi.json.")
        return _refusal(wrong, request_id(request))
    missing = NotFound(f"There is nothing at {request.url.path}. See /openapi.json for what there is.")
    return _refusal(missing, request_id(request))
