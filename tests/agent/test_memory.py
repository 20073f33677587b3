"""Output without end: what memory the agent takes for it, and that the command waits rather than bytes get lost.

`make bench-agent` does the same with 10 GB."""

from __future__ import annotations

import pytest

from benchmarks.agent.flood import flood

pytestmark = pytest.mark.slow


async def test_a_command_that_writes_much_is_slowed_and_the_agents_memory_bounded() -> None:
    said = await flood(megabytes=300)
    assert said.startswith("300 MB from one command arrived in order")


async def test_bytes_that_are_no_text_are_bounded_alike() -> None:
    assert await flood(megabytes=100, period=bytes(range(1, 256)))
