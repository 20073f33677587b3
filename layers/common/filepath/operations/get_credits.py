from __future__ import annotations

from filepath.access import Scope
from filepath.aws import credits
from filepath.operations.registry import Context, Model, Nothing, operation


class Credits(Model):
    balance: int
    held: int
    """For tasks that are not over yet."""
    available: int
    granted: int
    charged: int


@operation("GET", "/api/credits", scope=Scope.ACCOUNT_READ)
def get_credits(context: Context, request: Nothing) -> Credits:
    """The account's credits: `balance = granted - charged = held + available`."""
    account = credits.account(context.caller.user_id)
    return Credits(
        balance=account.balance,
        held=account.held,
        available=account.available,
        granted=account.granted,
        charged=account.charged,
    )
