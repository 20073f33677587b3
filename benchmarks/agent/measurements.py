"""What is measured, and in which turns."""

from __future__ import annotations

import asyncio
import statistics
import time
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from benchmarks.agent.runtime import Runtime

MEGABYTE = 1_000_000
WARM_UP = 5

Sample = Callable[[Runtime], Awaitable[Sequence[float]]]


@dataclass
class Measurement:
    """`values` by the name of a runtime; none where the runtime cannot do it."""

    name: str
    unit: str
    more_is_better: bool = False
    values: dict[str, list[float]] = field(default_factory=dict)

    def median(self, runtime: str) -> float:
        return statistics.median(self.values[runtime])

    def p95(self, runtime: str) -> float:
        ordered = sorted(self.values[runtime])
        return ordered[min(len(ordered) - 1, round(0.95 * len(ordered)))]

    def ratio(self, runtime: str, floor: str) -> float:
        return self.median(runtime) / self.median(floor)


async def in_turns(measurement: Measurement, runtimes: Sequence[Runtime], rounds: int, sample: Sample) -> Measurement:
    """A round asks every runtime once, each round beginning with another one."""
    for number in range(rounds):
        first = number % len(runtimes)
        for runtime in [*runtimes[first:], *runtimes[:first]]:
            measurement.values.setdefault(runtime.name, []).extend(await sample(runtime))
    return measurement


class Received:
    """A receiver that keeps what it is given."""

    def __init__(self) -> None:
        self.begun = time.perf_counter()
        self.first_after: float | None = None
        self.data = bytearray()

    def __call__(self, _: str, data: bytes | memoryview) -> None:
        if self.first_after is None:
            self.first_after = time.perf_counter() - self.begun
        self.data += data


class Latencies:
    """A receiver of lines that each say when they were printed, on the clock that all processes share."""

    def __init__(self) -> None:
        self.milliseconds: list[float] = []

    def __call__(self, _: str, data: bytes | memoryview) -> None:
        now = time.time_ns()
        self.milliseconds.extend((now - int(line)) / 1e6 for line in bytes(data).split())


async def round_trip(runtime: Runtime, command: str) -> list[float]:
    begun = time.perf_counter()
    result = await runtime.run(command, Received())
    milliseconds = (time.perf_counter() - begun) * 1000
    assert result.exit_code == 0
    return [milliseconds]


async def first_byte(runtime: Runtime) -> list[float]:
    received = Received()
    await runtime.run("echo x; sleep 0.2", received)
    assert received.first_after
    return [received.first_after * 1000]


async def lines(runtime: Runtime, count: int, gap_seconds: float) -> list[float]:
    latencies = Latencies()
    await runtime.run(
        f"exec python3 -Sc 'import time\nfor _ in range({count}):\n"
        f"  time.sleep({gap_seconds}); print(time.time_ns(), flush=True)'",
        latencies,
    )
    assert len(latencies.milliseconds) == count
    return latencies.milliseconds


async def throughput(runtime: Runtime, command: str, expected: bytes) -> list[float]:
    """Megabytes a second until the end is known. Compared with what should have come once the clock has stopped."""
    received = Received()
    await runtime.run(command, received)
    seconds = time.perf_counter() - received.begun
    assert received.data == expected, f"{runtime.name}: {len(received.data)} bytes, or other ones"
    return [len(expected) / MEGABYTE / seconds]


async def fifty_at_once(runtime: Runtime) -> list[float]:
    begun = time.perf_counter()
    await asyncio.gather(*(runtime.run("sleep 0.2; echo x", Received()) for _ in range(50)))
    return [(time.perf_counter() - begun) * 1000]


async def start(kind: type[Runtime]) -> tuple[float, float]:
    """Milliseconds until ready, and idle megabytes a moment later."""
    runtime = kind()
    begun = time.perf_counter()
    try:
        await runtime.start()
        milliseconds = (time.perf_counter() - begun) * 1000
        await runtime.run("true", Received())
        await asyncio.sleep(0.3)
        return milliseconds, memory(runtime.pid)
    finally:
        await runtime.stop()


def memory(pid: int) -> float:
    """Resident megabytes of a process, and with them what its helper processes have for themselves."""
    return (_kilobytes(pid, "status", "VmRSS:") + sum(_private(child) for child in _below(pid))) * 1024 / MEGABYTE


def peak_memory(pid: int) -> float:
    return _kilobytes(pid, "status", "VmHWM:") * 1024 / MEGABYTE


def _private(pid: int) -> int:
    return sum(_kilobytes(pid, "smaps_rollup", f"Private_{kind}:") for kind in ("Clean", "Dirty"))


def _kilobytes(pid: int, file: str, label: str) -> int:
    with Path(f"/proc/{pid}/{file}").open() as lines_of_file:
        return next(int(line.split()[1]) for line in lines_of_file if line.startswith(label))


def _below(pid: int) -> list[int]:
    children: list[int] = []
    for thread in Path(f"/proc/{pid}/task").iterdir():
        listed = [int(child) for child in (thread / "children").read_text().split()]
        children += listed + [below for child in listed for below in _below(child)]
    return children
