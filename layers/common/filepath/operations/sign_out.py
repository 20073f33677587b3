from __future__ import annotations

from typing import Literal

from filepath.authentication import TOKEN_PREFIX
from filepath.aws import accounts, sockets
from filepath.errors import InvalidRequest
from filepath.operations.registry import Context, Model, Nothing, operation


class SignedOut(Model):
    success: Literal[True] = True


@operation("POST", "/api/auth/sign-out", on_socket=False)
def sign_out(context: Context, request: Nothing) -> SignedOut:
    """End the sign-in token of this request, and the sockets opened with it."""
    if not (context.caller.secret or "").startswith(TOKEN_PREFIX):
        raise InvalidRequest("This request came with an API key. Delete keys with POST /api/auth/api-key/delete.")
    accounts.forget_secret(context.caller.credential_id)
    sockets.disconnect_credential(context.caller.user_id, context.caller.credential_id)
    return SignedOut()
