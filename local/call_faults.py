"""How the calls that functions make to AWS fail: by a seed, before their effect or after it.

A plan names calls as IAM does, `dynamodb:TransactWriteItems` or `s3:*`, each with its rates, and the first name that
fits a call counts. Whether the n-th call of an operation fails, and how, follows from the seed, the operation and n.
It is carried out by `mends/failing_calls.py`.
"""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from fnmatch import fnmatchcase
from typing import Any

from local.faults import NotAPlanError


@dataclass(frozen=True)
class Rates:
    """Shares of all calls, between 0 and 1."""

    refuse: float = 0.0
    """AWS takes none of it: busy, in conflict with another call, or failing."""
    lose: float = 0.0
    """It takes effect, and the reply is lost."""
    kill: float = 0.0
    """It takes effect, and the function that made it dies."""

    @classmethod
    def from_json(cls, content: Mapping[str, Any]) -> Rates:
        known = {each.name for each in fields(cls)}
        if unknown := set(content) - known:
            raise NotAPlanError(f"Rates are {sorted(known)}, not {sorted(unknown)}.")
        return cls(**{name: float(share) for name, share in content.items()})


@dataclass(frozen=True)
class CallPlan:
    seed: int = 0
    calls: Mapping[str, Rates] = field(default_factory=dict)

    @classmethod
    def from_json(cls, content: Mapping[str, Any]) -> CallPlan:
        if unknown := set(content) - {"seed", "calls"}:
            raise NotAPlanError(f"A plan of calls knows 'seed' and 'calls', not {sorted(unknown)}.")
        calls = {name: Rates.from_json(rates) for name, rates in content.get("calls", {}).items()}
        return cls(int(content.get("seed", 0)), calls)

    def rates(self, call: str) -> Rates:
        return next((rates for name, rates in self.calls.items() if fnmatchcase(call, name)), Rates())


@dataclass(frozen=True)
class Refusal:
    """An error of AWS's. A transaction is refused for one of its writes."""

    code: str
    status: int
    reason: str | None = None


@dataclass(frozen=True)
class Fate:
    """What becomes of one call: `refusal` comes in place of the effect, the others after it."""

    refusal: Refusal | None = None
    reply_lost: bool = False
    caller_dies: bool = False
    choice: float = 0.0
    """Between 0 and 1, for what else is to be chosen of this call."""


@dataclass
class CallFaults:
    plan: CallPlan = field(default_factory=CallPlan)
    counts: Counter[str] = field(default_factory=Counter)
    """Of calls by name, since the plan was set."""
    befallen: Counter[str] = field(default_factory=Counter)
    """Of faults by their name and the call's."""

    def follow(self, plan: CallPlan) -> None:
        self.plan = plan
        self.counts.clear()
        self.befallen.clear()

    def next_fate(self, call: str) -> Fate:
        self.counts[call] += 1
        fate = decided(self.plan, call, self.counts[call])
        for name, befell in (("refuse", fate.refusal), ("lose", fate.reply_lost), ("kill", fate.caller_dies)):
            self.befallen[f"{name} {call}"] += bool(befell)
        return fate


def decided(plan: CallPlan, call: str, number: int) -> Fate:
    rates = plan.rates(call)
    dice = random.Random(f"{plan.seed} {call} {number}")  # noqa: S311 - repeatable on purpose
    throw, choice = dice.random(), dice.random()
    if throw < rates.refuse:
        return Fate(refusal=dice.choice(refusals(call)), choice=choice)
    if throw < rates.refuse + rates.lose:
        return Fate(reply_lost=True)
    return Fate(caller_dies=throw < rates.refuse + rates.lose + rates.kill)


_TRANSACTIONS = frozenset({"dynamodb:TransactWriteItems"})
_SINGLE_WRITES = frozenset({"dynamodb:PutItem", "dynamodb:UpdateItem", "dynamodb:DeleteItem"})
_OF_SERVICE: Mapping[str, tuple[Refusal, ...]] = {
    "dynamodb": (
        Refusal("ProvisionedThroughputExceededException", 400),
        Refusal("ThrottlingException", 400),
        Refusal("InternalServerError", 500),
    ),
    "states": (Refusal("ThrottlingException", 400), Refusal("InternalFailure", 500)),
    "ecs": (Refusal("ThrottlingException", 400), Refusal("ServerException", 500)),
    "s3": (Refusal("SlowDown", 503), Refusal("InternalError", 500)),
    "execute-api": (Refusal("LimitExceededException", 429), Refusal("InternalServerErrorException", 500)),
}
_UNKNOWN = (Refusal("ThrottlingException", 400), Refusal("InternalFailure", 500))


def refusals(call: str) -> tuple[Refusal, ...]:
    """Errors that AWS documents for the call and that are nobody's mistake."""
    errors = _OF_SERVICE.get(call.partition(":")[0], _UNKNOWN)
    if call in _TRANSACTIONS:
        conflicts = [Refusal("TransactionCanceledException", 400, reason) for reason in _CANCELLED_FOR]
        return (*errors, *conflicts)
    if call in _SINGLE_WRITES:
        return (*errors, Refusal("TransactionConflictException", 400))
    return errors


_CANCELLED_FOR = ("TransactionConflict", "TransactionConflict", "ProvisionedThroughputExceeded", "ThrottlingError")
"""A conflict twice: it is what happens."""


def lost_reply(call: str) -> Refusal:
    """What a caller sees whose call took effect and whose reply did not arrive."""
    return next(refusal for refusal in refusals(call) if refusal.status >= 500)
