"""The clock and the dice: the shell reads them here, the core gets what they say as arguments."""

from __future__ import annotations

import secrets
import time
from datetime import UTC, datetime


def now_ms() -> int:
    return time.time_ns() // 1_000_000


def sleep(seconds: float) -> None:
    time.sleep(seconds)


def entropy() -> bytes:
    return secrets.token_bytes(32)


def iso(milliseconds: int) -> str:
    """As callers see times: ISO 8601 in UTC, to the millisecond."""
    return datetime.fromtimestamp(milliseconds / 1000, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
