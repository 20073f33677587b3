"""What can go wrong for a caller: one hierarchy, one class for each error code of the platform.

Reading an error out of a reply is `calls.error_of`; whether to try again decides `retry.pause_before_retry`.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from filepath_sdk.models import Result


class FilepathError(Exception):
    """`str(error)` says what happened, `error.what_to_do` what to do about it, `error.code` is stable."""

    code: str = "error"
    what_to_do: str = "Read the message; if it does not help, report it together with the request id."

    def __init__(
        self,
        message: str,
        *,
        code: str | None = None,
        status: int | None = None,
        request_id: str | None = None,
        retryable: bool = False,
        retry_after: float | None = None,
        details: Mapping[str, Any] | None = None,
        what_to_do: str | None = None,
    ) -> None:
        super().__init__(message)
        self.message = message
        self.code = code or type(self).code
        self.status = status
        self.request_id = request_id
        self.retryable = retryable
        self.retry_after = retry_after
        self.details = dict(details or {})
        if what_to_do is not None:
            self.what_to_do = what_to_do

    def __str__(self) -> str:
        return self.message

    def envelope(self) -> dict[str, Any]:
        """The error in the shape in which the platform reports it."""
        error = {
            "code": self.code,
            "message": self.message,
            "requestId": self.request_id,
            "retryable": self.retryable,
            "details": self.details,
        }
        return {"error": error}


class InvalidRequest(FilepathError):
    code = "invalid_request"
    what_to_do = "Correct the field that the message names."


class Unauthenticated(FilepathError):
    code = "unauthenticated"
    what_to_do = "Set FILEPATH_API_KEY to a valid key, or get one with `filepath signup` or `filepath signin`."


class InsufficientCredits(FilepathError):
    code = "insufficient_credits"
    what_to_do = "Ask the owner of the deployment for credits, or submit with a shorter timeout: it decides the hold."


class Forbidden(FilepathError):
    code = "forbidden"
    what_to_do = "Use a key that has the scope the message names, or an invite where the deployment asks for one."


class NotFound(FilepathError):
    code = "not_found"
    what_to_do = "Check the id, and that the key belongs to the account that owns it."


class Conflict(FilepathError):
    code = "conflict"
    what_to_do = "Read the current state and decide again."


class SessionClosed(FilepathError):
    code = "session_closed"
    what_to_do = "Create another session."


class TooLarge(FilepathError):
    code = "too_large"
    what_to_do = "Send less: a task is at most 1 MB, stdin 5 MB, env 64 KB."


class RateLimited(FilepathError):
    code = "rate_limited"
    what_to_do = "Wait for `retry_after` seconds and try again."


class QuotaExceeded(FilepathError):
    code = "quota_exceeded"
    what_to_do = "Wait until something that counts against the quota has ended, or ask the owner for a larger one."


class Unavailable(FilepathError):
    """The platform could not answer, or its answer did not arrive. What was asked may have been done."""

    code = "unavailable"
    what_to_do = "Try again in a moment."


class Unreachable(Unavailable):
    """No connection could be made: what was asked has not been done."""

    what_to_do = "Check FILEPATH_URL and that the deployment is up (`make up` starts the local one)."


class NotConfigured(FilepathError):
    code = "not_configured"
    what_to_do = "Pass it to Filepath(...), or set the environment variable that the message names."


class WaitTimeout(FilepathError, TimeoutError):
    """The wait is over, the task is not: it runs on, and can be waited for again."""

    code = "wait_timeout"
    what_to_do = "Wait again, or cancel the task."


class ClientClosed(FilepathError):
    """The client was closed while something waited for its events."""

    code = "client_closed"
    what_to_do = "Close the client after its last task, or attach to the task with another."


class CommandFailed(FilepathError):
    """Raised by `check=True`: the command did not end with exit code 0. `result` has its output."""

    code = "command_failed"
    what_to_do = "Read `error.result.stderr`."

    def __init__(self, result: Result) -> None:
        super().__init__(f"the command {result.outcome}")
        self.result = result


_BY_CODE: dict[str, type[FilepathError]] = {
    kind.code: kind
    for kind in (
        InvalidRequest,
        Unauthenticated,
        InsufficientCredits,
        Forbidden,
        NotFound,
        Conflict,
        SessionClosed,
        TooLarge,
        RateLimited,
        QuotaExceeded,
        Unavailable,
    )
}
_BY_STATUS: dict[int, type[FilepathError]] = {
    400: InvalidRequest,
    401: Unauthenticated,
    402: InsufficientCredits,
    403: Forbidden,
    404: NotFound,
    409: Conflict,
    410: SessionClosed,
    413: TooLarge,
    429: RateLimited,
}


def error_class(code: str | None, status: int) -> type[FilepathError]:
    """The class for an error code. Where API Gateway answered by itself there is no code: then by status."""
    if code in _BY_CODE:
        return _BY_CODE[code]
    fallback = Unavailable if status in (502, 503, 504) else FilepathError
    return _BY_STATUS.get(status, fallback)
