from __future__ import annotations

from filepath import ids
from filepath.access import Scope
from filepath.aws import sessions
from filepath.operations.fields import Limit, NextToken, next_token, position
from filepath.operations.registry import Context, Model, operation
from filepath.operations.views import SessionView, session_view
from filepath.session import SessionStatus


class ListSessions(Model):
    status: SessionStatus | None = None
    limit: Limit = 50
    next_token: NextToken | None = None


class Sessions(Model):
    sessions: list[SessionView]
    next_token: str | None = None


@operation("GET", "/api/orchestrator/session", scope=Scope.SESSIONS_READ)
def list_sessions(context: Context, request: ListSessions) -> Sessions:
    """The account's sessions, newest first.

    With `status`, a page may hold fewer than `limit`: go on while there is a `nextToken`.
    """
    after = position(request.next_token, ids.SESSION_ID.pattern)
    found, last = sessions.owned_by(context.caller.user_id, after, request.limit)
    shown = [session_view(session) for session in found if request.status in {None, session.status}]
    return Sessions(sessions=shown, next_token=next_token(last))
