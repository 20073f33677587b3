"""From any exception to what a caller is told: done once, at each door."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from pydantic import BaseModel, ValidationError

from filepath.aws import clients
from filepath.errors import FilepathError, InternalError, InvalidRequest, Unavailable
from filepath.log import logger


def explained(error: Exception) -> FilepathError:
    if isinstance(error, FilepathError):
        return error
    if isinstance(error, ValidationError):
        return _invalid(error)
    if clients.is_passing(error):
        logger.warning("AWS did not take a call", exc_info=error)
        return Unavailable("The platform is busy. Send the same request again in a moment.", retry_after=1)
    logger.error("unexpected failure", exc_info=error)
    return InternalError()


@contextmanager
def left_to_reconcile() -> Iterator[None]:
    """For what comes after the write that counts: where AWS does not take it now, reconcile does it within minutes, and
    the caller, whose request was accepted, is told so.
    """
    try:
        yield
    except Exception as error:
        if not isinstance(error, Unavailable) and not clients.is_passing(error):
            raise
        logger.warning("left to reconcile", exc_info=error)


def subject(message: BaseModel) -> dict[str, str]:
    """The ids in a request or its answer, for every log line about it."""
    return {name: value for name in ("session_id", "workflow_id") if (value := getattr(message, name, None))}


def _invalid(error: ValidationError) -> FilepathError:
    problems = [
        {"field": ".".join(map(str, problem["loc"])), "problem": _problem(problem["type"], problem["msg"])}
        for problem in error.errors(include_url=False, include_context=False, include_input=False)
    ]
    said = "; ".join(f"{each['field'] or 'the request'}: {each['problem']}" for each in problems[:_SAID])
    return InvalidRequest(f"{said.rstrip('.')}. Correct it and send it again.", details={"fields": problems})


_SAID = 3
"""Problems named in the message itself; all are in its details."""
_PROBLEMS = {
    "extra_forbidden": "is no field of this call",
    "missing": "is required",
    "string_pattern_mismatch": "is not of the form that it should have",
}


def _problem(kind: str, message: str) -> str:
    """The words of pydantic where they help a caller, ours where they speak of models and patterns."""
    return _PROBLEMS.get(kind, message.removeprefix("Value error, "))
