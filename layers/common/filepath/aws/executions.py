"""Executions of the two state machines, and the callback tokens that they wait on.

A token that is gone means that somebody was first: the state it belonged to has ended, and what ended it stands in
the table. That is no error.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

from filepath import ids, task
from filepath.aws import clients
from filepath.session import Alarm
from filepath.settings import settings


def start_session(session_id: str, alarm: Alarm, start_timeout_seconds: int) -> None:
    """Starts the session's machine, once: a second start under the same name is none."""
    document = {
        "sessionId": session_id,
        "clock": alarm.document(),
        "startTimeoutSeconds": start_timeout_seconds,
    }
    _start(settings().session_machine, ids.session_workflow_id(session_id), document)


def start_task(workflow_id: str, timeout_seconds: int) -> None:
    document = {"workflowId": workflow_id, "timeoutSeconds": task.backstop_seconds(timeout_seconds)}
    _start(settings().task_machine, workflow_id, document)


def _start(machine: str, name: str, document: dict[str, Any]) -> None:
    stepfunctions = clients.stepfunctions()
    try:
        stepfunctions.start_execution(stateMachineArn=machine, name=name, input=json.dumps(document))
    except stepfunctions.exceptions.ExecutionAlreadyExists:
        return  # it ended already


def wake(token: str | None) -> bool:
    """Lets the state that waits on `token` go on; it reads the table to see why. False where nobody waits."""
    return _send(token, lambda known: clients.stepfunctions().send_task_success(taskToken=known, output="{}"))


def beat(token: str | None) -> bool:
    """Winds the alarm clock of a waiting state up again."""
    return _send(token, lambda known: clients.stepfunctions().send_task_heartbeat(taskToken=known))


def _send(token: str | None, call: Callable[[str], object]) -> bool:
    if token is None:
        return False
    known = clients.stepfunctions().exceptions
    try:
        call(token)
    except (known.TaskTimedOut, known.TaskDoesNotExist, known.InvalidToken):
        return False
    return True
