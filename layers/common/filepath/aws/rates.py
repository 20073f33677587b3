"""Counters of tries, one for each limit, origin and window. A window's counter goes when the window is over."""

from __future__ import annotations

from filepath.aws import keys, table
from filepath.aws.table import ConditionFailed, Update
from filepath.errors import RateLimited
from filepath.rate_limit import RateLimit


def take(limit: RateLimit, who: str, now: int, refusal: str) -> None:
    """Counts a try. Raises RateLimited, with the words of `refusal`, where the window's are used up."""
    window = limit.window(now)
    try:
        table.update(
            Update(
                keys.rate(limit.name, who, window),
                condition="attribute_not_exists(#tries) OR #tries < :limit",
                add={"tries": 1},
                default={"expiresAt": (window + 1) * limit.seconds},
                values={"limit": limit.times},
            )
        )
    except ConditionFailed as error:
        seconds = limit.retry_after(now)
        raise RateLimited(f"{refusal} Try again in {seconds} s.", retry_after=seconds) from error


def give_back(limit: RateLimit, who: str, taken_at: int) -> None:
    """Takes a try off again that is not to count after all."""
    table.update(Update(keys.rate(limit.name, who, limit.window(taken_at)), add={"tries": -1}))
