"""`python -m benchmarks.agent [quick]`: measures, prints, and writes docs/agent-speed.md and its chart.

`quick` asks everything a few times only, for a look while working, and writes nothing."""

from __future__ import annotations

import asyncio
import os
import platform
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from benchmarks.agent import measurements, probes, report
from benchmarks.agent.chart import chart
from benchmarks.agent.flood import flood
from benchmarks.agent.floor_client import Floor
from benchmarks.agent.http_runtimes import OpenHands, SweRex
from benchmarks.agent.measurements import MEGABYTE, Measurement, in_turns
from benchmarks.agent.ours import Ours
from benchmarks.agent.runtime import Runtime

DOCS = Path(__file__).parents[2] / "docs"
CHARTED = ("`true`", "first byte", "a line, one per 0.6 s", "100 MB of text", "50 at once", "idle memory")


@dataclass(frozen=True)
class Rounds:
    calls: int
    lines: int
    floods: int
    starts: int
    flood_megabytes: int


FULL = Rounds(calls=100, lines=10, floods=5, starts=9, flood_megabytes=10_000)
QUICK = Rounds(calls=30, lines=4, floods=3, starts=3, flood_megabytes=500)


def kinds() -> list[type[Runtime]]:
    found: list[type[Runtime]] = [Ours, Floor]
    for peer in (SweRex, OpenHands):
        if peer.is_installed():
            found.append(peer)
        else:
            print(f"{peer.name} is not installed and left out", file=sys.stderr)
    return found


async def measure_calls(runtimes: Sequence[Runtime], rounds: Rounds) -> list[Measurement]:
    live = [runtime for runtime in runtimes if runtime.streams]
    for runtime in runtimes:
        for _ in range(measurements.WARM_UP):
            await measurements.round_trip(runtime, "true")
    say("round trips")
    true = partial(measurements.round_trip, command="true")
    echo = partial(measurements.round_trip, command="echo hello")
    slow = partial(measurements.lines, count=5, gap_seconds=0.6)
    fast = partial(measurements.lines, count=30, gap_seconds=0.05)
    done = [
        await in_turns(Measurement("`true`", "ms"), runtimes, rounds.calls, true),
        await in_turns(Measurement("`echo hello`", "ms"), runtimes, rounds.calls, echo),
        await in_turns(Measurement("first byte", "ms"), runtimes, rounds.lines * 2, measurements.first_byte),
    ]
    say("lines")
    return [
        *done,
        await in_turns(Measurement("a line, one per 0.6 s", "ms"), live, rounds.lines, slow),
        await in_turns(Measurement("a line, one per 50 ms", "ms"), live, rounds.lines, fast),
        await in_turns(Measurement("50 at once", "ms"), runtimes, rounds.floods, measurements.fifty_at_once),
    ]


async def measure_throughput(runtimes: Sequence[Runtime], rounds: Rounds) -> list[Measurement]:
    say("throughput")
    numbers = b"".join(b"%d\n" % number for number in range(1, 1_000_001))
    letters = "head -c 100000000 /dev/zero | tr '\\0' a"
    with tempfile.NamedTemporaryFile(prefix="filepath-bench-") as file:
        noise = os.urandom(100 * MEGABYTE)
        file.write(noise)
        os.chmod(file.fileno(), 0o644)  # noqa: PTH101 - as another user the command reads it
        exact = [runtime for runtime in runtimes if runtime.streams]
        return [
            await in_turns(
                Measurement(name, "MB/s", more_is_better=True),
                able,
                rounds.floods,
                partial(measurements.throughput, command=command, expected=expected),
            )
            for name, command, expected, able in (
                ("100 MB of text", letters, b"a" * (100 * MEGABYTE), runtimes),
                ("seq 1 1000000", "seq 1 1000000", numbers, runtimes),
                ("100 MB of random bytes", f"cat {file.name}", noise, exact),
            )
        ]


async def measure_starts(found: Sequence[type[Runtime]], rounds: Rounds) -> list[Measurement]:
    say("starts")
    ready, idle = Measurement("ready", "ms"), Measurement("idle memory", "MB")
    for number in range(rounds.starts):
        for kind in found:
            if kind is OpenHands and number >= 3:
                continue
            milliseconds, megabytes = await measurements.start(kind)
            ready.values.setdefault(kind.name, []).append(milliseconds)
            idle.values.setdefault(kind.name, []).append(megabytes)
    return [ready, idle]


async def measure(found: Sequence[type[Runtime]], rounds: Rounds) -> list[Measurement]:
    starts = await measure_starts(found, rounds)
    runtimes = [kind() for kind in found]
    try:
        for runtime in runtimes:
            await runtime.start()
        calls = await measure_calls(runtimes, rounds)
        throughput = await measure_throughput(runtimes, rounds)
        peaks = {runtime.name: [measurements.peak_memory(runtime.pid)] for runtime in runtimes}
    finally:
        for runtime in runtimes:
            await runtime.stop()
    return [*calls, *throughput, *starts, Measurement("peak memory", "MB", values=peaks)]


async def probe(found: Sequence[type[Runtime]]) -> dict[str, dict[str, str]]:
    say("probes")
    by_runtime = {kind.name: await probes.verdicts(kind) for kind in found}
    return {name: {kind: verdicts[name] for kind, verdicts in by_runtime.items()} for name in probes.PROBES}


async def main(rounds: Rounds) -> None:
    found = kinds()
    results = await measure(found, rounds)
    names = [kind.name for kind in found]
    say(f"{rounds.flood_megabytes:,} MB from one command")
    sections = [
        report.measured(results, names, Floor.name),
        report.published(results, Ours.name, Floor.name),
        await flood(rounds.flood_megabytes),
        report.probed(await probe(found), names),
    ]
    print("\n" + "\n".join(sections))
    if rounds is FULL:
        charted = [each for each in results if each.name in CHARTED]
        (DOCS / "agent-speed.svg").write_text(chart(charted, names, Ours.name, Floor.name))
        (DOCS / "agent-speed.md").write_text(report.page(sections, machine()))


def machine() -> str:
    return (
        f"{os.cpu_count()} cores, {platform.machine()}, Linux {platform.release()}, Python {platform.python_version()}"
    )


def say(what: str) -> None:
    print(f"{what} …", file=sys.stderr, flush=True)


if __name__ == "__main__":
    asyncio.run(main(QUICK if sys.argv[1:] == ["quick"] else FULL))
