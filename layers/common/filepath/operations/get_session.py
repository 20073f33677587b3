from __future__ import annotations

from filepath.access import Scope
from filepath.errors import NotFound
from filepath.operations.fields import SessionId
from filepath.operations.registry import Context, Model, operation
from filepath.operations.views import SessionView, own_session, session_view


class GetSession(Model):
    session_id: SessionId


@operation("GET", "/api/orchestrator/session/{sessionId}", scope=Scope.SESSIONS_READ, errors=(NotFound,))
def get_session(context: Context, request: GetSession) -> SessionView:
    """One session: its status and the reason for it, and when it will close by itself."""
    return session_view(own_session(context.caller, request.session_id))
