"""StartExecution with the name and input of an execution that is still running.

AWS answers as it did the first time. It refuses with `ExecutionAlreadyExists` where the execution has ended, or where
the input is another.

MiniStack refuses every second call.
"""

# ruff: noqa: SLF001 - a mend reaches into what it mends

from __future__ import annotations

from collections.abc import Callable
from typing import Any


def apply() -> None:
    from ministack.services import stepfunctions as sfn

    sfn._start_execution = answering_identical_starts(sfn, sfn._start_execution)


def answering_identical_starts(sfn: Any, start_execution: Callable[..., Any]) -> Callable[..., Any]:
    def start(data: dict[str, Any]) -> Any:
        answer = start_execution(data)
        existing = _running(sfn, data) if answer[0] == 400 else None
        if existing is None:
            return answer
        from ministack.core.responses import json_response

        return json_response({name: existing[name] for name in ("executionArn", "startDate")})

    return start


def _running(sfn: Any, data: dict[str, Any]) -> dict[str, Any] | None:
    """The execution that this very call has started before, if it still runs."""
    wanted = {"name": data.get("name"), "input": data.get("input", "{}"), "status": "RUNNING"}
    machine = sfn._resolve_state_machine_arn(data.get("stateMachineArn", ""))
    for execution in list(sfn._executions.values()):
        same = execution["stateMachineArn"] == machine
        if same and all(execution[name] == value for name, value in wanted.items()):
            found: dict[str, Any] = execution
            return found
    return None
