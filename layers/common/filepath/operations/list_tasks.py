from __future__ import annotations

from filepath import ids
from filepath.access import Scope
from filepath.aws import tasks
from filepath.errors import NotFound
from filepath.operations.fields import Limit, NextToken, SessionId, next_token, position
from filepath.operations.registry import Context, Model, operation
from filepath.operations.views import TaskView, own_session, task_view
from filepath.task import TaskStatus


class ListTasks(Model):
    session_id: SessionId | None = None
    status: TaskStatus | None = None
    limit: Limit = 50
    next_token: NextToken | None = None


class Tasks(Model):
    workflows: list[TaskView]
    next_token: str | None = None


@operation("GET", "/api/workflow", scope=Scope.TASKS_READ, errors=(NotFound,))
def list_tasks(context: Context, request: ListTasks) -> Tasks:
    """The account's tasks, or one session's, newest first.

    With `status`, a page may hold fewer than `limit`: go on while there is a `nextToken`.
    """
    if request.session_id is None:
        after = position(request.next_token, rf"\d{{13}}~{ids.WORKFLOW_ID.pattern}")
        found, last = tasks.owned_by(context.caller.user_id, after, request.limit)
    else:
        session = own_session(context.caller, request.session_id)
        after = position(request.next_token, f"{ids.session_workflow_id(session.session_id)}[{ids.ALPHABET}]+")
        found, last = tasks.of_session(session.session_id, after, request.limit)
    kept = [task for task in found if not task.has_expired(context.now)]
    shown = [task_view(task) for task in kept if request.status in {None, task.status}]
    return Tasks(workflows=shown, next_token=next_token(last))
