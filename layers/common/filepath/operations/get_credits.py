from __future__ import annotations

from typing import Annotated

from pydantic import Field

from filepath.access import Scope
from filepath.aws import credits
from filepath.operations.registry import Context, Model, Nothing, operation


class Credits(Model):
    balance: Annotated[int, Field(examples=[990])]
    held: Annotated[int, Field(examples=[5])]
    """For tasks that are not over yet."""
    available: Annotated[int, Field(examples=[985])]
    granted: Annotated[int, Field(examples=[1000])]
    charged: Annotated[int, Field(examples=[10])]


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
