from __future__ import annotations

from filepath.access import Scope
from filepath.errors import NotFound
from filepath.lifecycle import session_steps
from filepath.operations.fields import SessionId
from filepath.operations.registry import Context, Model, operation
from filepath.operations.views import SessionView, own_session, session_view
from filepath.session import Reason


class CloseSession(Model):
    session_id: SessionId


@operation(
    "DELETE",
    "/api/orchestrator/session/{sessionId}",
    status=202,
    scope=Scope.SESSIONS_WRITE,
    errors=(NotFound,),
)
def close_session(context: Context, request: CloseSession) -> SessionView:
    """Close a session and its sandbox; its running tasks end as cancelled. Closing twice is fine."""
    session = own_session(context.caller, request.session_id)
    return session_view(session_steps.close(session.session_id, Reason.USER) or session)
