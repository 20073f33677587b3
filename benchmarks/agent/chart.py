"""Bars of ratios to the floor, as one SVG: a panel for each measurement, a bar for each runtime.

Written by hand, because what a plotting library adds to such a picture is its own weight."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from html import escape

from benchmarks.agent.measurements import Measurement
from benchmarks.agent.published import MARK, NOTE, PUBLISHED

_PANEL_WIDTH, _BAR_HEIGHT, _GAP, _LABEL_WIDTH, _HEAD = 460, 18, 8, 150, 46
_OURS, _LIVE, _NOTED, _INK, _FAINT = "#1f6f8b", "#8a99a8", "#d5dbe1", "#22292f", "#6b7680"


@dataclass(frozen=True)
class Bar:
    label: str
    ratio: float
    colour: str


def chart(measurements: Sequence[Measurement], runtimes: Sequence[str], ours: str, floor: str) -> str:
    panels = [_bars(measurement, runtimes, ours, floor) for measurement in measurements]
    height = _HEAD + max(len(bars) for bars in panels) * (_BAR_HEIGHT + _GAP) + 24
    rows = math.ceil(len(panels) / 2)
    drawn = [
        _panel(measurement, bars, (number % 2) * _PANEL_WIDTH, (number // 2) * height)
        for number, (measurement, bars) in enumerate(zip(measurements, panels, strict=True))
    ]
    note = _note(rows * height)
    return _svg(2 * _PANEL_WIDTH, rows * height + 64, [*drawn, note])


def _bars(measurement: Measurement, runtimes: Sequence[str], ours: str, floor: str) -> list[Bar]:
    live = [
        Bar(name, measurement.ratio(name, floor), _OURS if name == ours else _LIVE)
        for name in runtimes
        if name in measurement.values
    ]
    noted = [
        Bar(f"{peer.name} {MARK}", peer.ratios[measurement.name], _NOTED)
        for peer in PUBLISHED
        if measurement.name in peer.ratios
    ]
    return live + noted


def _panel(measurement: Measurement, bars: Sequence[Bar], x: int, y: int) -> str:
    better = "more is better" if measurement.more_is_better else "less is better"
    title = f"{measurement.name.replace('`', '')}: ratio to the floor, {better}"
    room = _PANEL_WIDTH - _LABEL_WIDTH - 90
    # A runtime that is fifty times slower would leave nothing of the others to see: its bar is cut.
    full = max(1.0, min(4.0, max(bar.ratio for bar in bars)))
    parts = [_text(x + 16, y + 28, title, weight="600", size=13)]
    for number, bar in enumerate(bars):
        top = y + _HEAD + number * (_BAR_HEIGHT + _GAP)
        width = max(2.0, min(bar.ratio, full) / full * room)
        cut = " ▸" if bar.ratio > full else ""
        parts += [
            _text(x + _LABEL_WIDTH + 8, top + 13, bar.label, anchor="end"),
            _rectangle(x + _LABEL_WIDTH + 16, top, width, bar.colour),
            _text(x + _LABEL_WIDTH + 22 + width, top + 13, f"{bar.ratio:.2f}×{cut}"),
        ]
    line = x + _LABEL_WIDTH + 16 + room / full
    bottom = y + _HEAD + len(bars) * (_BAR_HEIGHT + _GAP) - _GAP + 4
    parts.append(
        f'<path d="M{line:.1f} {y + _HEAD - 4}V{bottom}" stroke="{_INK}" stroke-width="1" stroke-dasharray="3 3"/>'
    )
    return "".join(parts)


def _note(y: int) -> str:
    words, lines = NOTE.split(), [""]
    for word in words:
        if len(lines[-1]) + len(word) > 140:
            lines.append("")
        lines[-1] += f"{word} "
    return "".join(_text(16, y + 16 + 15 * n, line, size=11, colour=_FAINT) for n, line in enumerate(lines))


def _rectangle(x: float, y: float, width: float, colour: str) -> str:
    size = f'width="{width:.1f}" height="{_BAR_HEIGHT}"'
    return f'<rect x="{x}" y="{y}" {size} rx="2" fill="{colour}"/>'


def _text(
    x: float,
    y: float,
    text: str,
    anchor: str = "start",
    weight: str = "400",
    size: int = 12,
    colour: str = _INK,
) -> str:
    return (
        f'<text x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}" font-weight="{weight}" font-size="{size}"'
        f' fill="{colour}">{escape(text)}</text>'
    )


def _svg(width: int, height: int, parts: Sequence[str]) -> str:
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" width="{width}" height="{height}"'
        f' font-family="system-ui, sans-serif"><rect width="{width}" height="{height}" fill="#ffffff"/>'
        + "\n".join(parts)
        + "</svg>\n"
    )
