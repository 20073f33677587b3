from __future__ import annotations

from filepath import ids
from filepath.access import Scope
from filepath.aws import logs
from filepath.errors import NotFound
from filepath.operations.fields import WorkflowId
from filepath.operations.registry import Context, Model, operation
from filepath.operations.views import TaskStatusView, own_session, own_task, session_status, task_status


class GetTaskStatus(Model):
    workflow_id: WorkflowId


@operation("GET", "/api/workflow/{workflowId}/status", scope=Scope.TASKS_READ, errors=(NotFound,))
def get_task_status(context: Context, request: GetTaskStatus) -> TaskStatusView:
    """How a task stands, or how it ended: exactly one of `exitCode` and `signal` is set when it ran to an end."""
    if not ids.is_task(request.workflow_id):
        return session_status(own_session(context.caller, ids.session_of(request.workflow_id)))
    task = own_task(context.caller, request.workflow_id)
    return task_status(task, None if task.is_over else logs.get(task.workflow_id).stored)
