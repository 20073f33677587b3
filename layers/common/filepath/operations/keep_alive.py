from __future__ import annotations

from filepath.access import Scope
from filepath.aws import executions, sessions
from filepath.errors import NotFound, SessionClosed
from filepath.operations.fields import Moment, SessionId
from filepath.operations.registry import Context, Model, operation
from filepath.operations.views import own_session, session_view


class KeepAlive(Model):
    session_id: SessionId


class KeptAlive(Model):
    idle_deadline: Moment | None = None
    """Null while tasks run: they keep it."""


@operation(
    "POST",
    "/api/orchestrator/session/{sessionId}/keep-alive",
    scope=Scope.SESSIONS_WRITE,
    errors=(NotFound, SessionClosed),
)
def keep_alive(context: Context, request: KeepAlive) -> KeptAlive:
    """Start a session's idle time anew."""
    session = own_session(context.caller, request.session_id)
    if not session.takes_tasks:
        raise SessionClosed("This session has ended. Create a new one.")
    if sessions.active(session, context.now):
        executions.beat(session.wake_token)
        session = own_session(context.caller, request.session_id)
    return KeptAlive(idle_deadline=session_view(session).idle_deadline)
