from __future__ import annotations

from filepath import passwords
from filepath.aws import accounts, rates
from filepath.errors import RateLimited, Unauthenticated
from filepath.operations.fields import Email, Password
from filepath.operations.registry import Context, Model, operation
from filepath.operations.sign_up import SignedIn, signed_in
from filepath.rate_limit import RateLimit, network
from filepath.settings import settings

WINDOW_SECONDS = 15 * 60


class SignIn(Model):
    email: Email
    password: Password


@operation("POST", "/api/auth/sign-in/email", public=True, on_socket=False, errors=(Unauthenticated, RateLimited))
def sign_in(context: Context, request: SignIn) -> SignedIn:
    """Get a token for an account.

    Tries are counted by source address, and failures by the account's address. Keys are not touched by that.
    """
    _admit(context)
    failures = RateLimit("sign-in-failures", settings().sign_in_failures_per_account, WINDOW_SECONDS)
    rates.take(failures, request.email, context.now, "Too many failed sign-ins to this account; its keys still work.")
    user = accounts.user_by_email(request.email)
    if not passwords.matches(request.password, user.password_hash if user else None) or user is None:
        raise Unauthenticated("Address or password are wrong. Check both, or sign up.")
    rates.give_back(failures, request.email, context.now)
    return signed_in(user, context.now)


def _admit(context: Context) -> None:
    """Before the password is looked at, which costs tens of milliseconds of CPU."""
    limit = RateLimit("sign-in", settings().sign_ins_per_address, WINDOW_SECONDS)
    rates.take(limit, network(context.source), context.now, "Too many sign-ins from your address.")
