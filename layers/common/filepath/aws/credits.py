"""Credits in the table: the account's amounts, which only ever move together, and the ledger of what moved them."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import asdict

from filepath import credit
from filepath.aws import keys, table
from filepath.aws.table import Put, Update
from filepath.credit import Account, Movement
from filepath.usage import Charge


def account(user_id: str) -> Account:
    item = table.get(keys.credit(user_id)) or {}
    return Account(**{name: item.get(name, 0) for name in ("granted", "charged", "held", "available")})


def opened(user_id: str, credits: int) -> Put:
    """Belongs beside the new user, whose condition is its own too."""
    return Put({**keys.credit(user_id), **asdict(Account().moved(credit.grant(credits))), "sandboxes": 0})


def held(user_id: str, credits: int) -> Update:
    """Refused where there are not so many available."""
    return _moved(user_id, credit.hold(credits), "#available >= :credits", {"credits": credits})


def held_of_key(user_id: str, key_id: str, credits: int) -> Update:
    """Refused where the key's own limit leaves less."""
    return Update(
        keys.api_key(user_id, key_id),
        condition="#creditsLeft >= :credits",
        add={"creditsLeft": -credits},
        values={"credits": credits},
    )


def given_back_to_key(user_id: str, key_id: str, credits: int) -> Update:
    """Refused where the key is no more: it is not to come back as an item without a secret."""
    return Update(
        keys.api_key(user_id, key_id), condition="attribute_exists(#creditsLeft)", add={"creditsLeft": credits}
    )


def settled(user_id: str, hold: int, charged: int) -> Update:
    """Refused where so much is not held: then a hold was settled before, and this is a fault."""
    return _moved(user_id, credit.settle(hold, charged), "#held >= :hold", {"hold": hold})


def charged(user_id: str, credits: int) -> Update:
    """Of what is not held. Refused where there are not so many."""
    return _moved(user_id, credit.charge(credits), "#available >= :credits", {"credits": credits})


def granted(user_id: str, credits: int) -> Update:
    return _moved(user_id, credit.grant(credits), "attribute_exists(pk)", {})


def entered(user_id: str, at: int, entry_id: str, kind: str, credits: int, key_id: str | None = None) -> Put:
    """A line of the ledger: `credits` is what it added to the balance, `key_id` whose task took it off."""
    line = {"kind": kind, "credits": credits, "at": at, "reference": entry_id, "keyId": key_id}
    return Put({**keys.ledger_entry(user_id, at, entry_id), **line}, new=True)


def charges(user_id: str, begin: int, end: int) -> Iterator[Charge]:
    """The ledger's, from one moment up to another that is not in it."""
    first, last = (keys.ledger_entry(user_id, moment, "")["sk"] for moment in (begin, end))
    for item in table.query_all(keys.user_partition(user_id), prefix="LEDGER#", start=first, end=last):
        if item["kind"] in {"charge", "background"}:
            yield Charge(item["at"], item["reference"], -item["credits"], item.get("keyId"))


def sandbox_counted(user_id: str, per_account: int) -> Update:
    """Refused where the account runs as many as it may, or has no credit."""
    return Update(
        keys.credit(user_id),
        condition="(#available > :none OR #held > :none) AND #sandboxes < :limit",
        add={"sandboxes": 1},
        values={"none": 0, "limit": per_account},
    )


def sandbox_released(user_id: str) -> Update:
    """Belongs beside the one end of a session that was counted."""
    return Update(keys.credit(user_id), add={"sandboxes": -1})


def stack_counted(per_stack: int) -> Update:
    """Refused where the whole stack runs as many sandboxes as its owner allows."""
    return Update(
        keys.STACK,
        condition="attribute_not_exists(#sandboxes) OR #sandboxes < :limit",
        add={"sandboxes": 1},
        values={"limit": per_stack},
    )


def stack_released() -> Update:
    return Update(keys.STACK, add={"sandboxes": -1})


def _moved(user_id: str, movement: Movement, condition: str, values: dict[str, int]) -> Update:
    changes = {name: amount for name, amount in asdict(movement).items() if amount}
    return Update(keys.credit(user_id), condition=condition, add=changes, values=values)
