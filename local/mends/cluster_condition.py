"""The condition key `ecs:cluster`.

AWS fills it in for RunTask, StopTask and ListTasks, so that a policy can hold a role to one cluster.

MiniStack leaves it out: a statement that asks for it is never met.
"""

from __future__ import annotations

from functools import wraps
from typing import Any


def apply() -> None:
    from ministack.core import iam_evaluator

    enforce = iam_evaluator.enforce

    @wraps(enforce)
    def enforce_with_cluster(*caller: Any, resource_arn: str = "*", service_context: Any = None) -> Any:
        if ":cluster/" in resource_arn and resource_arn.startswith("arn:aws:ecs:"):
            service_context = {**(service_context or {}), "ecs:cluster": resource_arn}
        return enforce(*caller, resource_arn=resource_arn, service_context=service_context)

    iam_evaluator.enforce = enforce_with_cluster
