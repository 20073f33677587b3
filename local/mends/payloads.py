"""How much a function is given and gives back.

AWS refuses an event over 6 MB, which API Gateway passes on as 413, and lets a call fail whose answer is over 6 MB. Both
are measured as JSON: quotes within a body count twice.

MiniStack passes on any size.
"""

# ruff: noqa: SLF001 - a mend reaches into what it mends

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

from local.gateway_responses import EVENT_REFUSED

EVENT_LIMIT = 6 * 1024 * 1024
ANSWER_LIMIT = EVENT_LIMIT + 100


def apply() -> None:
    from ministack.services import lambda_svc

    lambda_svc._execute_function_warm = within_the_limits(lambda_svc._execute_function_warm)


def within_the_limits(execute: Callable[..., dict[str, Any]]) -> Callable[..., dict[str, Any]]:
    def execute_within_the_limits(function: dict[str, Any], event: Any, request_id: str) -> dict[str, Any]:
        if _size(event) > EVENT_LIMIT:
            words = f"Request must be smaller than {EVENT_LIMIT} bytes for the InvokeFunction operation"
            # With a status, the emulator's REST API answers as told.
            return _failed(EVENT_REFUSED[1], words, words, statusCode=413, headers=dict([EVENT_REFUSED]))
        result = execute(function, event, request_id)
        if _size(result.get("body")) > ANSWER_LIMIT:
            words = f"Response payload size exceeded maximum allowed payload size ({ANSWER_LIMIT} bytes)."
            log = f"{result.get('log', '')}\n{words}"
            return _failed("Function.ResponseSizeTooLarge", words, log)
        return result

    return execute_within_the_limits


def _size(content: Any) -> int:
    return len(json.dumps(content, ensure_ascii=False).encode())


def _failed(error: str, words: str, log: str, **more: Any) -> dict[str, Any]:
    return {"body": {"errorType": error, "errorMessage": words, **more}, "error": True, "log": log}
