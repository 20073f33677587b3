"""Output without end: what memory the agent takes for it, and that the command waits rather than bytes get lost."""

from __future__ import annotations

import time

from benchmarks.agent.measurements import MEGABYTE, peak_memory
from benchmarks.agent.ours import Ours

MEMORY_LIMIT_MEGABYTES = 64
_PERIOD = b"abcdefghijklmnopqrstuvwxyz0123456789-_\n"


class Repeating:
    """A receiver that knows what comes next, to the byte, and keeps nothing."""

    def __init__(self) -> None:
        self.length = 0
        self._expected = _PERIOD * (256 * 1024 // len(_PERIOD))

    def __call__(self, stream: str, data: bytes | memoryview) -> None:
        at = self.length % len(_PERIOD)
        if stream != "stdout" or data != memoryview(self._expected)[at : at + len(data)]:
            raise AssertionError(f"other bytes than were written, at {self.length}")
        self.length += len(data)


async def flood(megabytes: int) -> str:
    """A sentence on it. Raises AssertionError where bytes are lost or memory is not bounded."""
    runtime = Ours()
    await runtime.start()
    received = Repeating()
    begun = time.perf_counter()
    try:
        line = _PERIOD.decode().strip()
        result = await runtime.run(f"yes {line} | head -c {megabytes * MEGABYTE}", received, timeout_seconds=3600)
        seconds = time.perf_counter() - begun
        peak = peak_memory(runtime.pid)
    finally:
        await runtime.stop()
    assert result.exit_code == 0
    assert received.length == megabytes * MEGABYTE
    assert peak < MEMORY_LIMIT_MEGABYTES
    return (
        f"{megabytes:,} MB from one command arrived in order, each byte compared, in {seconds:.0f} s ("
        f"{megabytes / seconds:.0f} MB/s, which is what the command was slowed to); the agent's peak: {peak:.1f} MB.\n"
    )
