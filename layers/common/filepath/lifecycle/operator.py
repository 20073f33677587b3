"""What only the stack's owner may do: grants, invites, closing everything."""

from __future__ import annotations

from typing import Any

from filepath import clock, ids
from filepath.authentication import INVITE_PREFIX
from filepath.aws import accounts, credits, sessions
from filepath.lifecycle import session_steps
from filepath.session import Reason

INVITE_DAYS = 14


def grant(email: str, amount: int, reference: str) -> dict[str, Any]:
    """Adds credits to an account, with a line in its ledger. A negative amount is refused: money is not taken back
    by hand.
    """
    if amount < 1:
        raise ValueError("credits must be at least 1")
    user = accounts.user_by_email(email.strip().lower())
    if user is None:
        raise LookupError(f"no account has the address {email}: sign up with it first")
    accounts.grant(user.user_id, amount, clock.now_ms(), reference)
    return {"email": user.email, "granted": amount, "balance": credits.account(user.user_id).balance}


def invite() -> dict[str, str]:
    """A code that opens one account."""
    code = INVITE_PREFIX + ids.base32(int.from_bytes(clock.entropy()), 50)
    expires_at = clock.now_ms() + INVITE_DAYS * 24 * 3600 * 1000
    accounts.keep_invite(code, expires_at)
    return {"invite": code, "expiresAt": clock.iso(expires_at)}


def close_sessions(reason: str) -> dict[str, int]:
    """Has every session end, and says how many have not yet: to be called again until none."""
    still_open = 0
    for session in sessions.live():
        still_open += 1
        session_steps.close(session.session_id, Reason(reason))
    return {"open": still_open}
