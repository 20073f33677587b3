"""How the commands show what they have: one JSON document, or rows under headings."""

from __future__ import annotations

import json
from typing import Any


def print_json(document: Any) -> None:
    print(json.dumps(document, indent=2, ensure_ascii=False, default=str))


def print_rows(headings: tuple[str, ...], rows: list[tuple[Any, ...]]) -> None:
    table = [headings, *(tuple("-" if cell is None else str(cell) for cell in row) for row in rows)]
    widths = [max(len(row[column]) for row in table) for column in range(len(headings))]
    for row in table:
        print("  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip())
