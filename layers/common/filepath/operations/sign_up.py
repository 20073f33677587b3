from __future__ import annotations

from typing import Annotated

from pydantic import Field

from filepath import clock, ids, passwords
from filepath.authentication import TOKEN_PREFIX
from filepath.aws import accounts, rates
from filepath.aws.accounts import User
from filepath.errors import Conflict, Forbidden, RateLimited
from filepath.operations.fields import Email, Moment, Name, Password, UserId
from filepath.operations.registry import Context, Model, operation
from filepath.rate_limit import RateLimit, network
from filepath.settings import settings

TOKEN_DAYS = 30
WINDOW_SECONDS = 3600


class SignUp(Model):
    email: Email
    password: Password
    name: Annotated[Name, Field(examples=["Ada"])]
    invite: str | None = None


class UserView(Model):
    id: UserId
    email: Annotated[str, Field(examples=["ada@example.org"])]
    name: Annotated[str, Field(examples=["Ada"])]
    created_at: Moment


class SignedIn(Model):
    token: Annotated[str, Field(examples=["fpt_9xk…"])]
    user: UserView


@operation(
    "POST",
    "/api/auth/sign-up/email",
    public=True,
    creates=True,
    on_socket=False,
    errors=(Forbidden, Conflict, RateLimited),
)
def sign_up(context: Context, request: SignUp) -> SignedIn:
    """Open an account.

    The token signs in for 30 days; create an API key with it. Where the stack wants an invite, its owner makes one.
    A repeated request with the same Idempotency-Key and password gives a fresh token to the same account.
    """
    limit = RateLimit("sign-up", settings().sign_ups_per_address, WINDOW_SECONDS)
    rates.take(limit, network(context.source), context.now, "Too many sign-ups from your address.")
    _admit(request, context.now)
    new = User(
        user_id=ids.user_id(clock.entropy()),
        email=request.email,
        name=request.name,
        created_at=context.now,
        password_hash=passwords.hashed(request.password),
        sign_up_key=ids.hashed(context.idempotency_key) if context.idempotency_key else None,
    )
    try:
        accounts.sign_up(new, settings().sign_up_credits, request.invite if _wants_invite() else None)
    except (Conflict, Forbidden):
        return signed_in(_replayed(context, request), context.now)
    return signed_in(new, context.now)


def _wants_invite() -> bool:
    return settings().sign_up == "invite"


def _admit(request: SignUp, now: int) -> None:
    if settings().sign_up == "closed":
        raise Forbidden("This stack takes no sign-ups. Ask its owner for an account.")
    if not _wants_invite():
        return
    if request.invite is None:
        raise Forbidden("This stack wants an invite. Ask its owner for one and send it as `invite`.")
    opened = accounts.open_secret(request.invite, now)
    if accounts.user_by_email(request.email) is None and (opened is None or opened["kind"] != "invite"):
        raise Forbidden("This invite is unknown, expired or used. Ask the owner for another.")


def _replayed(context: Context, request: SignUp) -> User:
    """The account that this very request opened before. Raises Conflict where another did."""
    known = accounts.user_by_email(request.email)
    if known is None:
        raise Forbidden("This invite was used already. Ask the owner for another.")
    same = context.idempotency_key is not None and known.sign_up_key == ids.hashed(context.idempotency_key)
    if not same or not passwords.matches(request.password, known.password_hash):
        raise Conflict("This address has an account already. Sign in instead.")
    return known


def signed_in(user: User, now: int) -> SignedIn:
    token = TOKEN_PREFIX + ids.base32(int.from_bytes(clock.entropy()), 50)
    accounts.keep_token(token, user.user_id, now + TOKEN_DAYS * 24 * 3600 * 1000)
    return SignedIn(token=token, user=user_view(user))


def user_view(user: User) -> UserView:
    return UserView(id=user.user_id, email=user.email, name=user.name, created_at=clock.iso(user.created_at))
