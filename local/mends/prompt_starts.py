"""When an execution begins.

AWS begins at once: the first state may run before the caller has StartExecution's answer.

MiniStack sleeps 150 ms first, so that this never happens, and every task takes that much longer.
"""

# ruff: noqa: SLF001 - a mend reaches into what it mends

from __future__ import annotations

import time
from collections.abc import Callable
from contextvars import ContextVar
from typing import Any

_is_beginning: ContextVar[bool] = ContextVar("_is_beginning", default=False)


class _Time:
    """The module as the emulator's Step Functions know it, but for the sleep with which an execution begins."""

    def __getattr__(self, name: str) -> Any:
        return getattr(time, name)

    def sleep(self, seconds: float) -> None:
        if _is_beginning.get():
            _is_beginning.set(False)
        else:
            time.sleep(seconds)


def apply() -> None:
    from ministack.services import stepfunctions as sfn

    sfn.time = _Time()
    sfn._run_execution = beginning(sfn._run_execution)


def beginning(run_execution: Callable[[str], None]) -> Callable[[str], None]:
    def run(execution_arn: str) -> None:
        _is_beginning.set(True)  # in a thread of the execution's own
        run_execution(execution_arn)

    return run
