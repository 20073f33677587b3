"""How often a task's output may go out: a message costs the platform the same, however little is in it.

Pure: the time is an argument."""

from __future__ import annotations

CAPACITY = 40
WATCHED_RATE = 2.0
UNWATCHED_RATE = 0.5


class Bucket:
    """Chunks that may go at once, refilled by the second.

    So a command that prints now and then is shown without delay, and one that prints always settles at two messages
    a second, or at one in two seconds while nobody watches."""

    def __init__(self, now: float) -> None:
        self.watched = True
        self._level = float(CAPACITY)
        self._at = now

    def delay(self, now: float) -> float:
        """Seconds until the next chunk may go."""
        self._refill(now)
        return max(0.0, 1 - self._level) / self._rate

    def take(self, now: float) -> None:
        self._refill(now)
        self._level -= 1

    @property
    def _rate(self) -> float:
        return WATCHED_RATE if self.watched else UNWATCHED_RATE

    def _refill(self, now: float) -> None:
        self._level = min(float(CAPACITY), self._level + (now - self._at) * self._rate)
        self._at = now
