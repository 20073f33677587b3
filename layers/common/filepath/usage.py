"""What an account's credits were spent on: the charges of its ledger, added up by day, session or key. Pure."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from typing import Literal

from filepath import ids

Group = Literal["day", "session", "key"]

LONGEST_DAYS = 366


@dataclass(frozen=True)
class Charge:
    """One task's, when it was over, or a minute's of what a session's tasks left running."""

    at: int
    workflow_id: str
    credits: int
    key_id: str | None = None
    """The key it was submitted with; None for a sign-in token."""


@dataclass(frozen=True)
class Row:
    group: str | None
    credits: int = 0
    tasks: int = 0


def rows(charges: Iterable[Charge], group_by: Group) -> list[Row]:
    """In the order of their groups; what belongs to no key comes first."""
    sums: dict[str | None, Row] = {}
    for charge in charges:
        group = _group(charge, group_by)
        row = sums.get(group, Row(group))
        sums[group] = Row(group, row.credits + charge.credits, row.tasks + ids.is_task(charge.workflow_id))
    return sorted(sums.values(), key=lambda row: row.group or "")


def _group(charge: Charge, group_by: Group) -> str | None:
    match group_by:
        case "day":
            return datetime.fromtimestamp(charge.at / 1000, UTC).date().isoformat()
        case "session":
            return ids.session_of(charge.workflow_id)
        case "key":
            return charge.key_id


def beginning(day: date) -> int:
    """Of a day in UTC, in milliseconds."""
    return int(datetime.combine(day, time(), UTC).timestamp()) * 1000


def day_of(now: int) -> date:
    return datetime.fromtimestamp(now / 1000, UTC).date()


def period(first: date | None, last: date | None, now: int) -> tuple[date, date]:
    """Both days belong to it; 30 days up to today unless said otherwise. Raises ValueError, with what to do."""
    until = last or day_of(now)
    since = first or until - timedelta(days=29)
    if since > until:
        raise ValueError("from is later than to.")
    if (until - since).days >= LONGEST_DAYS:
        raise ValueError(f"from and to are more than {LONGEST_DAYS} days apart. Ask for a part of them at a time.")
    return since, until
