from __future__ import annotations

from filepath.access import Scope
from filepath.aws import accounts
from filepath.errors import Unauthenticated
from filepath.operations.registry import Context, Model, Nothing, operation
from filepath.operations.sign_up import UserView, user_view


class CallerView(Model):
    user: UserView
    scopes: list[Scope]


@operation("GET", "/api/auth/get-session")
def get_caller(context: Context, request: Nothing) -> CallerView:
    """Who the credential of this request belongs to, and what it may do."""
    user = accounts.user(context.caller.user_id)
    if user is None:
        raise Unauthenticated("The account of this credential is no more.")
    return CallerView(user=user_view(user), scopes=sorted(context.caller.scopes))
