"""When to try again, and after how long. Pure: chance and the number of the try are arguments."""

from __future__ import annotations

from filepath_sdk.errors import FilepathError, RateLimited, Unreachable

TRIES = 6
FIRST_PAUSE = 0.25
LONGEST_PAUSE = 8.0
LONGEST_RETRY_AFTER = 30.0
"""A caller who is told to come back later than this is told so, and not kept waiting."""


def pause_before_retry(error: FilepathError, tries: int, *, repeatable: bool, chance: float) -> float | None:
    """Seconds to wait after `tries` failed tries, or None to give up. `chance` is a number in [0, 1)."""
    if not error.retryable or tries >= TRIES:
        return None
    if not repeatable and not isinstance(error, Unreachable | RateLimited):
        return None
    if error.retry_after is None:
        return backoff(tries, chance)
    if error.retry_after > LONGEST_RETRY_AFTER:
        return None
    return error.retry_after + chance * FIRST_PAUSE


def backoff(failures: int, chance: float, longest: float = LONGEST_PAUSE) -> float:
    """Full jitter: many clients that failed together do not come back together."""
    ceiling = min(longest, FIRST_PAUSE * 2.0 ** min(failures, 16))
    return ceiling * (0.25 + 0.75 * chance)
