from __future__ import annotations

from typing import Literal

from filepath.access import Scope
from filepath.errors import NotFound
from filepath.lifecycle import task_steps
from filepath.operations.fields import WorkflowId
from filepath.operations.registry import Context, Model, operation
from filepath.operations.views import TaskStatusView, own_task, task_status


class CancelTask(Model):
    workflow_id: WorkflowId
    signal: Literal["TERM", "INT", "HUP", "QUIT", "KILL", "USR1", "USR2"] = "TERM"
    """Sent first; what is left after the grace of 5 s gets KILL."""


@operation("POST", "/api/workflow/{workflowId}/cancel", status=202, scope=Scope.TASKS_WRITE, errors=(NotFound,))
def cancel_task(context: Context, request: CancelTask) -> TaskStatusView:
    """End a task, with all processes it started. One that is over stays as it ended."""
    task = own_task(context.caller, request.workflow_id)
    return task_status(task_steps.cancel(task.workflow_id, request.signal) or task)
