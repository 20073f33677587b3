"""What a stack costs in a month in which nobody uses it, from what it holds: pure arithmetic on AWS's list prices."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

PRICES_OF = "us-east-1, AWS's list prices as known in November 2025, free tiers left out"

GB = 1_000_000_000
MINUTES = 730 * 60

REQUEST = 0.20 / 1e6
GB_SECOND = 0.0000166667
SCHEDULED_CALL = 1.00 / 1e6
READ_UNIT = 0.125 / 1e6
TABLE_GB = 0.25
BACKUP_GB = 0.20
OBJECT_GB = 0.023
IMAGE_GB = 0.10
LOG_GB_WRITTEN = 0.50
LOG_GB_KEPT = 0.03
ALARM = 0.10

# One round of reconcile where there is nothing to do: a query of an empty index, and what it logs. Measured on no
# account yet.
ROUND_SECONDS = 0.1
ROUND_MEMORY_GB = 1.0
ROUND_READ_UNITS = 1
ROUND_LOG_BYTES = 1_000


@dataclass(frozen=True)
class Holdings:
    """What is there, counted."""

    schedules: int
    alarms: int
    log_groups: int
    log_bytes: int
    log_days: int
    table_bytes: int
    object_bytes: int
    image_bytes: int
    artifact_bytes: int


@dataclass(frozen=True)
class Line:
    what: str
    dollars: float

    def __str__(self) -> str:
        return f"{self.dollars:8.3f}  {self.what}"


def idle_month(holds: Holdings) -> list[Line]:
    rounds = holds.schedules * MINUTES
    written = rounds * ROUND_LOG_BYTES
    kept = holds.log_bytes + written * holds.log_days / 30
    return [
        Line(f"reconcile, once a minute: {rounds:,} short calls of Lambda", rounds * _a_round()),
        Line(f"its schedule: {rounds:,} calls", rounds * SCHEDULED_CALL),
        Line(f"logs: {holds.log_groups} groups, {_size(written)} written, {_size(kept)} kept", _logs(written, kept)),
        Line(f"alarms: {holds.alarms}", holds.alarms * ALARM),
        Line(f"table: {_size(holds.table_bytes)} and its backup of every second", _table(holds.table_bytes)),
        Line(f"objects: {_size(holds.object_bytes)}", holds.object_bytes / GB * OBJECT_GB),
        Line(f"images: {_size(holds.image_bytes)}", holds.image_bytes / GB * IMAGE_GB),
        Line(f"code kept for rollbacks: {_size(holds.artifact_bytes)}", holds.artifact_bytes / GB * OBJECT_GB),
    ]


def total(lines: Sequence[Line]) -> float:
    return sum(line.dollars for line in lines)


def _a_round() -> float:
    return REQUEST + ROUND_SECONDS * ROUND_MEMORY_GB * GB_SECOND + ROUND_READ_UNITS * READ_UNIT


def _logs(written: float, kept: float) -> float:
    return written / GB * LOG_GB_WRITTEN + kept / GB * LOG_GB_KEPT


def _table(size: int) -> float:
    return size / GB * (TABLE_GB + BACKUP_GB)


def _size(count: float) -> str:
    return f"{count / 1_000_000:,.1f} MB"
