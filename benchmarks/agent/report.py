"""The results as Markdown, the same on the terminal and in docs/."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from benchmarks.agent.measurements import Measurement
from benchmarks.agent.published import MARK, NOTE, PUBLISHED

Verdicts = Mapping[str, Mapping[str, str]]
"""By probe, then by runtime."""

_LIMITS = {
    "`true`": "≤ 1.25",
    "a line, one per 0.6 s": "≤ 1.3",
    "100 MB of text": "≥ 0.45",
    "50 at once": "≤ 1.2",
    "ready": "≤ 1.3",
    "idle memory": "≤ 30 MB",
}
"""What the agent is held to, by its ratio to the floor."""


def table(heads: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    lines = ["| " + " | ".join(heads) + " |", "|" + "---|" * len(heads)]
    return "\n".join([*lines, *("| " + " | ".join(row) + " |" for row in rows)]) + "\n"


def measured(measurements: Sequence[Measurement], runtimes: Sequence[str], floor: str) -> str:
    """Median and 95th percentile, and the ratio of the medians to the floor's."""
    rows = []
    for measurement in measurements:
        cells = [_cell(measurement, runtime, floor) for runtime in runtimes]
        rows.append([f"{measurement.name}, {measurement.unit}", *cells, _LIMITS.get(measurement.name, "")])
    return table(["", *runtimes, "aim"], rows)


def published(measurements: Sequence[Measurement], ours: str, floor: str) -> str:
    rows = []
    for measurement in measurements:
        if any(measurement.name in peer.ratios for peer in PUBLISHED):
            cells = [f"{peer.ratios[measurement.name]:.2f}×" for peer in PUBLISHED]
            rows.append([measurement.name, f"{measurement.ratio(ours, floor):.2f}×", *cells])
    return table(["ratio to the floor", ours, *(f"{peer.name} {MARK}" for peer in PUBLISHED)], rows) + f"\n{NOTE}\n"


def probed(verdicts: Verdicts, runtimes: Sequence[str]) -> str:
    return table(["probe", *runtimes], [[probe, *(by[name] for name in runtimes)] for probe, by in verdicts.items()])


def _cell(measurement: Measurement, runtime: str, floor: str) -> str:
    if runtime not in measurement.values:
        return "–"
    shown = f"{_number(measurement.median(runtime))} / {_number(measurement.p95(runtime))}"
    return shown if runtime == floor else f"{shown} ({measurement.ratio(runtime, floor):.2f}×)"


def _number(value: float) -> str:
    return f"{value:.0f}" if value >= 100 else f"{value:.1f}" if value >= 10 else f"{value:.2f}"


def page(sections: Sequence[str], machine: str) -> str:
    measurements, published_ratios, flood, probes = sections
    return f"""# How fast the sandbox agent is

Written by `make bench-agent`; the next run overwrites it. This one: {machine}.

Each runtime is a process on loopback; runtimes take turns within each measurement. The agent (first column) runs
with a platform on its socket that stores and acknowledges each message at once; it sends the product's own messages
and paces them as in the product. As root it runs commands as another user, which is in its times. The floor is
`benchmarks/agent/floor.py`: one WebSocket, binary frames, asyncio's subprocess, no acknowledgement, no deadline, no
other user. Absolute times are this machine's; ratios carry over.

Median / 95th percentile, and in brackets the ratio of the medians to the floor's:

{measurements}
A line of the agent's that comes every 50 ms is held back on purpose once 40 messages went out: a message costs the
platform the same, however little is in it.

![Ratios to the floor, as bars](agent-speed.svg)

{published_ratios}
{flood}
What each runtime gets right (✗: wrong, lost, hung or left running; –: it has no such thing):

{probes}"""
