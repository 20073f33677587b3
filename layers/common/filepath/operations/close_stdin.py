from __future__ import annotations

from filepath.access import Scope
from filepath.errors import Conflict, NotFound
from filepath.lifecycle import task_stdin
from filepath.operations.fields import OpenWorkflowId
from filepath.operations.registry import Context, Model, operation
from filepath.operations.views import own_task
from filepath.operations.write_stdin import StdinWritten


class CloseStdin(Model):
    workflow_id: OpenWorkflowId


@operation("POST", "/api/workflow/{workflowId}/stdin/close", scope=Scope.TASKS_WRITE, errors=(NotFound, Conflict))
def close_stdin(context: Context, request: CloseStdin) -> StdinWritten:
    """End the standard input of a task: its command reads what was written, and then the end. Closing twice is fine."""
    task = own_task(context.caller, request.workflow_id)
    return StdinWritten(offset=task_stdin.close(task, context.now))
