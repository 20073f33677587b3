from __future__ import annotations

from filepath import passwords
from filepath.aws import accounts
from filepath.errors import Unauthenticated
from filepath.operations.fields import Email, Password
from filepath.operations.registry import Context, Model, operation
from filepath.operations.sign_up import SignedIn, signed_in


class SignIn(Model):
    email: Email
    password: Password


@operation("POST", "/api/auth/sign-in/email", public=True, on_socket=False, errors=(Unauthenticated,))
def sign_in(context: Context, request: SignIn) -> SignedIn:
    """Get a token for an account."""
    user = accounts.user_by_email(request.email)
    if not passwords.matches(request.password, user.password_hash if user else None) or user is None:
        raise Unauthenticated("Address or password are wrong. Check both, or sign up.")
    return signed_in(user, context.now)
