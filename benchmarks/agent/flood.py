"""Output without end: what memory the agent takes for it, and that the command waits rather than bytes get lost."""

from __future__ import annotations

import time

from benchmarks.agent.measurements import MEGABYTE, peak_memory
from benchmarks.agent.ours import Ours

MEMORY_LIMIT_MEGABYTES = 64
_LINE = b"abcdefghijklmnopqrstuvwxyz0123456789-_\n"


_REPEAT = """exec python3 -Sc '
import os
period = open("period", encoding="utf-8", newline="").read().encode("latin-1")
block, left = period * (64 * 1024 // len(period)), {size}
while left:
    left -= os.write(1, block[:left])
'"""


class Repeating:
    """A receiver that knows what comes next, to the byte, and keeps nothing."""

    def __init__(self, period: bytes) -> None:
        self.length = 0
        self._period = period
        self._expected = period * (256 * 1024 // len(period))

    def __call__(self, stream: str, data: bytes | memoryview) -> None:
        at = self.length % len(self._period)
        if stream != "stdout" or data != memoryview(self._expected)[at : at + len(data)]:
            raise AssertionError(f"other bytes than were written, at {self.length}")
        self.length += len(data)


async def flood(megabytes: int, period: bytes = _LINE) -> str:
    """A sentence on it. Raises AssertionError where bytes are lost or memory is not bounded."""
    runtime = Ours()
    await runtime.start()
    received = Repeating(period)
    await runtime.run("cat > period", Repeating(b"\n"), stdin=period.decode("latin-1"))
    begun = time.perf_counter()
    try:
        command = _REPEAT.format(size=megabytes * MEGABYTE)
        result = await runtime.run(command, received, timeout_seconds=3600)
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
