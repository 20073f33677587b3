from __future__ import annotations

from datetime import date, timedelta
from typing import Annotated

from pydantic import AfterValidator, Field, StringConstraints

from filepath import usage
from filepath.access import Scope
from filepath.aws import credits
from filepath.errors import InvalidRequest
from filepath.operations.fields import KeyId, SessionId
from filepath.operations.registry import Context, Model, operation
from filepath.usage import Group


def _date(text: str) -> str:
    try:
        is_kept = date.fromisoformat(text).year in range(2000, 3000)
    except ValueError:
        is_kept = False
    if not is_kept:
        raise ValueError("must be a day, as 2026-01-31")
    return text


Day = Annotated[
    str,
    StringConstraints(pattern=r"^\d{4}-\d{2}-\d{2}$"),
    AfterValidator(_date),
    Field(json_schema_extra={"format": "date"}, examples=["2026-01-31"]),
]


class GetUsage(Model):
    first: Annotated[Day | None, Field(alias="from")] = None
    """The first day, in UTC; 29 days before the last unless given."""
    last: Annotated[Day | None, Field(alias="to")] = None
    """The last day, which belongs to it; today unless given."""
    group_by: Group = "day"


class UsageRow(Model):
    day: Day | None = None
    session_id: SessionId | None = None
    key_id: KeyId | None = None
    """Null also for what was submitted after signing in."""
    credits: Annotated[int, Field(examples=[12])]
    tasks: Annotated[int, Field(examples=[3])]


class Usage(Model):
    rows: list[UsageRow]
    total: Annotated[int, Field(examples=[12])]
    """Credits, of all rows together."""


@operation("GET", "/api/usage", scope=Scope.ACCOUNT_READ)
def get_usage(context: Context, request: GetUsage) -> Usage:
    """Credits charged in a period, by day, session or key.

    A task counts on the day on which it was over; what tasks left running, minute by minute and for no key. What is
    held for tasks that are not over is in `GET /api/credits`.
    """
    first, last = (None if day is None else date.fromisoformat(day) for day in (request.first, request.last))
    try:
        since, until = usage.period(first, last, context.now)
    except ValueError as error:
        raise InvalidRequest(str(error), details={"field": "from"}) from error
    begin, end = usage.beginning(since), usage.beginning(until + timedelta(days=1))
    rows = usage.rows(credits.charges(context.caller.user_id, begin, end), request.group_by)
    return Usage(rows=[_shown(row, request.group_by) for row in rows], total=sum(row.credits for row in rows))


def _shown(row: usage.Row, group_by: Group) -> UsageRow:
    name = {"day": "day", "session": "session_id", "key": "key_id"}[group_by]
    return UsageRow(**{name: row.group}, credits=row.credits, tasks=row.tasks)
