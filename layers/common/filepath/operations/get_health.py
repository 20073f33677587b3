from __future__ import annotations

from typing import Literal

from filepath.clock import iso
from filepath.operations.fields import Moment
from filepath.operations.registry import Context, Model, Nothing, operation


class Health(Model):
    status: Literal["ok"] = "ok"
    time: Moment


@operation("GET", "/api/health", public=True, asks_aws=False)
def get_health(context: Context, request: Nothing) -> Health:
    """That the stack answers, and what time it has. On a socket it keeps the connection from idling."""
    return Health(time=iso(context.now))
