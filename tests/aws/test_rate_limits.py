"""Signing up and in, too often: refused before the password costs anything, and told until when."""

from __future__ import annotations

from typing import Any

import pytest
from argon2 import PasswordHasher

from filepath import passwords
from filepath.aws import accounts
from tests.aws.conftest import Clock
from tests.aws.gateway import Answer, Rest
from tests.aws.people import Platform
from tests.aws.wire import Wire

PASSWORD = "correct horse battery"
SIGN_UP, SIGN_IN = "/api/auth/sign-up/email", "/api/auth/sign-in/email"


@pytest.fixture(autouse=True)
def at_the_beginning_of_a_window(clock: Clock) -> None:
    clock.now_ms -= clock.now_ms % 3_600_000


@pytest.fixture
def few(configure: Any) -> None:
    configure(SIGN_UPS_PER_ADDRESS="3", SIGN_INS_PER_ADDRESS="5", SIGN_IN_FAILURES_PER_ACCOUNT="3")


def sign_up(number: int, source: str = "192.0.2.1", **headers: str) -> Answer:
    body = {"email": f"ada{number}@example.org", "password": PASSWORD, "name": "Ada"}
    return Rest(source=source)("POST", SIGN_UP, body, headers=headers)


def sign_in(email: str, password: str = PASSWORD, source: str = "192.0.2.1") -> Answer:
    return Rest(source=source)("POST", SIGN_IN, {"email": email, "password": password})


def refused(answer: Answer, seconds: int) -> bool:
    assert (answer.status, answer.code) == (429, "rate_limited"), answer.text
    assert abs(int(answer.headers["retry-after"]) - seconds) <= 1
    assert answer.headers["retry-after"] in answer.body["error"]["message"]
    assert answer.body["error"]["retryable"]
    return True


def test_an_address_signs_up_so_many_in_an_hour_and_then_again(platform: Platform, few: None, clock: Clock) -> None:
    assert [sign_up(number).status for number in range(3)] == [200, 200, 200]
    clock.pass_(600)
    assert refused(sign_up(3), 3000)
    assert accounts.user_by_email("ada3@example.org") is None
    assert sign_up(4, source="192.0.2.2").status == 200
    clock.pass_(3001)
    assert sign_up(3).status == 200


def test_what_a_caller_says_of_its_address_counts_for_nothing(platform: Platform, few: None) -> None:
    answers = [sign_up(number, **{"X-Forwarded-For": f"198.51.100.{number}"}) for number in range(4)]
    assert [answer.status for answer in answers] == [200, 200, 200, 429]


def test_all_addresses_of_one_customer_count_together(platform: Platform, few: None) -> None:
    assert [sign_up(number, source=f"2001:db8::{number}").status for number in range(4)] == [200, 200, 200, 429]
    assert sign_up(5, source="2001:db8:0:1::1").status == 200


def test_invites_are_not_guessed_faster(platform: Platform, few: None, configure: Any) -> None:
    configure(SIGN_UP="invite")
    assert [sign_up(number).status for number in range(4)] == [403, 403, 403, 429]


def test_an_address_signs_in_so_often_whatever_the_account(platform: Platform, few: None, clock: Clock) -> None:
    assert [sign_in(f"nobody{number}@example.org").status for number in range(5)] == [401] * 5
    assert refused(sign_in("nobody5@example.org"), 900)
    assert sign_in("nobody5@example.org", source="192.0.2.2").status == 401
    clock.pass_(901)
    assert sign_in("nobody5@example.org").status == 401


@pytest.mark.parametrize("exists", [True, False])
def test_an_account_is_guessed_at_so_often_from_wherever_and_whether_or_not_it_exists(
    platform: Platform, few: None, clock: Clock, exists: bool
) -> None:
    """Also with the right password: else the limit would tell a right guess."""
    if exists:
        sign_up(1)
    answers = [sign_in("ada1@example.org", "a wrong password", f"198.51.100.{number}") for number in range(3)]
    assert [answer.status for answer in answers] == [401, 401, 401]
    assert refused(sign_in("ADA1@example.org", PASSWORD, "203.0.113.1"), 900)
    clock.pass_(901)
    assert sign_in("ada1@example.org").status == (200 if exists else 401)


def test_signing_in_rightly_is_no_failure_and_forgives_none(platform: Platform, few: None) -> None:
    sign_up(1)
    address = (f"198.51.100.{number}" for number in range(99))
    for _ in range(2):
        assert sign_in("ada1@example.org", "a wrong password", next(address)).status == 401
        assert sign_in("ada1@example.org", PASSWORD, next(address)).status == 200
    assert sign_in("ada1@example.org", "a wrong password", next(address)).status == 401
    assert sign_in("ada1@example.org", PASSWORD, next(address)).status == 429


def test_a_refusal_writes_nothing_and_looks_nothing_up(platform: Platform, few: None, wire: Wire) -> None:
    for number in range(3):
        sign_up(number)
    wire.seen.clear()
    assert sign_up(3).status == 429
    assert wire.seen == []


def test_counters_go_with_their_window(platform: Platform, few: None, wire: Wire, clock: Clock) -> None:
    sign_in("nobody@example.org")
    counted = [asked["ExpressionAttributeValues"] for operation, asked in wire.seen if operation == "UpdateItem"]
    assert len(counted) == 2
    for values in counted:
        assert 0 < int(values[":default_expiresAt"]["N"]) - clock.now_ms // 1000 <= 900


# What the time of an answer could tell


def test_an_address_without_an_account_costs_as_many_calls_as_one_with(platform: Platform, wire: Wire) -> None:
    sign_up(1)
    asked = []
    for email in ("ada1@example.org", "nobody@example.org"):
        wire.seen.clear()
        assert sign_in(email, "a wrong password").status == 401
        asked.append([operation for operation, _ in wire.seen])
    assert asked[0] == asked[1]


def test_an_address_without_an_account_costs_as_much_hashing() -> None:
    assert not PasswordHasher().check_needs_rehash(passwords.NOBODYS)
    assert not passwords.matches("nobody has this password", None)
