from __future__ import annotations

from filepath import ids
from filepath.access import Scope
from filepath.aws import logs, tasks
from filepath.clock import iso
from filepath.errors import NotFound
from filepath.operations.fields import WorkflowId
from filepath.operations.registry import Context, Model, operation
from filepath.operations.views import TaskView, own_session, own_task, session_status, task_view


class GetTask(Model):
    workflow_id: WorkflowId


@operation("GET", "/api/workflow/{workflowId}", scope=Scope.TASKS_READ, errors=(NotFound,))
def get_task(context: Context, request: GetTask) -> TaskView:
    """All of one workflow: a task with its whole command, or a session (`kind` says which)."""
    if not ids.is_task(request.workflow_id):
        session = own_session(context.caller, ids.session_of(request.workflow_id))
        return TaskView(**session_status(session).model_dump(by_alias=False), created_at=iso(session.created_at))
    task = own_task(context.caller, request.workflow_id)
    stored = None if task.is_over else logs.get(task.workflow_id).stored
    return task_view(task, tasks.inputs(task).get("command"), stored)
