"""Bar charts as SVG, legible on light and on dark ground. No measuring, no prices."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from xml.sax.saxutils import escape

WIDTH, LABELS, RIGHT = 760, 230, 90
ROW, BAR, HEAD = 26, 16, 54

STYLE = """
text { font: 13px system-ui, sans-serif; fill: #1f2328 }
.title { font-weight: 600; font-size: 15px } .note { fill: #59636e } .bar { fill: #2f6feb }
.other { fill: #8b949e }
.limit { stroke: #cf222e; stroke-width: 1.5; stroke-dasharray: 4 3 } .limit-text { fill: #cf222e }
.ground { fill: #ffffff }
@media (prefers-color-scheme: dark) {
  text { fill: #e6edf3 } .note { fill: #9198a1 } .bar { fill: #58a6ff } .other { fill: #6e7681 }
  .limit { stroke: #ff7b72 } .limit-text { fill: #ff7b72 } .ground { fill: #0d1117 }
}
"""


@dataclass(frozen=True)
class Bar:
    label: str
    value: float
    told: str
    kind: str = "bar"


@dataclass(frozen=True)
class Chart:
    title: str
    note: str
    bars: Sequence[Bar]
    limit: float | None = None
    limit_label: str = ""

    @property
    def height(self) -> int:
        return HEAD + ROW * len(self.bars) + (30 if self.limit is not None else 12)

    def drawn(self, top: int) -> str:
        largest = max([bar.value for bar in self.bars] + [self.limit or 0.0])
        scale = (WIDTH - LABELS - RIGHT) / largest
        parts = [
            f'<text class="title" x="16" y="{top + 22}">{escape(self.title)}</text>',
            f'<text class="note" x="16" y="{top + 41}">{escape(self.note)}</text>',
            *(_bar(bar, top + HEAD + ROW * row, scale) for row, bar in enumerate(self.bars)),
        ]
        if self.limit is not None:
            parts.append(_limit(LABELS + self.limit * scale, top + HEAD, ROW * len(self.bars), self.limit_label))
        return "\n".join(parts)


def _limit(x: float, top: float, height: float, label: str) -> str:
    bottom = top + height
    return (
        f'<line class="limit" x1="{x:.1f}" y1="{top - 4}" x2="{x:.1f}" y2="{bottom}"/>\n'
        f'<text class="limit-text" x="{x:.1f}" y="{bottom + 16}" text-anchor="end">{escape(label)}</text>'
    )


def _bar(bar: Bar, top: float, scale: float) -> str:
    length, middle = max(1.0, bar.value * scale), top + BAR - 3
    return "\n".join(
        [
            f'<text x="{LABELS - 10}" y="{middle}" text-anchor="end">{escape(bar.label)}</text>',
            f'<rect class="{bar.kind}" x="{LABELS}" y="{top}" width="{length:.1f}" height="{BAR}" rx="2"/>',
            f'<text x="{LABELS + length + 8:.1f}" y="{middle}">{escape(bar.told)}</text>',
        ]
    )


def svg(charts: Sequence[Chart]) -> str:
    """The charts below each other."""
    tops = [sum(chart.height for chart in charts[:number]) for number in range(len(charts))]
    height = sum(chart.height for chart in charts) + 8
    drawn = "\n".join(chart.drawn(top) for chart, top in zip(charts, tops, strict=True))
    told = escape("; ".join(chart.title for chart in charts))
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {height}" width="{WIDTH}" height="{height}"'
        f' role="img" aria-label="{told}">\n<style>{STYLE}</style>\n'
        f'<rect class="ground" width="{WIDTH}" height="{height}" rx="6"/>\n{drawn}\n</svg>\n'
    )
