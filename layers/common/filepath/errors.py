"""The one error hierarchy: what a caller is told, on every door, in the same envelope.

Raised where the fact is known, translated once, at the door. A message says what to do next. What never reaches a
caller (a conflict inside a transaction, a token that is gone) lives beside the code that handles it.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar


class FilepathError(Exception):
    """Base of all errors a caller sees. `retryable`: the same request may succeed later, unchanged."""

    code: ClassVar[str] = "internal_error"
    status: ClassVar[int] = 500
    retryable: ClassVar[bool] = False
    default_retry_after: ClassVar[int | None] = None

    def __init__(
        self, message: str, *, details: Mapping[str, Any] | None = None, retry_after: int | None = None
    ) -> None:
        super().__init__(message)
        self.message = message
        self.details = dict(details or {})
        self.retry_after = retry_after or self.default_retry_after
        """Seconds, for the Retry-After header."""

    def envelope(self, request_id: str) -> dict[str, Any]:
        return {
            "error": {
                "code": self.code,
                "message": self.message,
                "requestId": request_id,
                "retryable": self.retryable,
                "details": self.details,
            }
        }


class InvalidRequest(FilepathError):
    code, status = "invalid_request", 400


class Unauthenticated(FilepathError):
    code, status = "unauthenticated", 401


class InsufficientCredits(FilepathError):
    code, status = "insufficient_credits", 402


class Forbidden(FilepathError):
    code, status = "forbidden", 403


class NotFound(FilepathError):
    """Also for what belongs to someone else: whether it exists is not told."""

    code, status = "not_found", 404


class Conflict(FilepathError):
    code, status = "conflict", 409


class SessionClosed(FilepathError):
    code, status = "session_closed", 410


class TooLarge(FilepathError):
    code, status = "too_large", 413


class RateLimited(FilepathError):
    code, status, retryable = "rate_limited", 429, True


class QuotaExceeded(FilepathError):
    code, status = "quota_exceeded", 429


class Unavailable(FilepathError):
    code, status, retryable = "unavailable", 503, True
    default_retry_after = 1


class InternalError(FilepathError):
    """A fault of ours. The message names nothing internal; the request id finds the log line."""

    def __init__(self) -> None:
        super().__init__("Something failed on our side. Try again; if it stays, report the requestId to the owner.")
