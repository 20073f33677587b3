"""Guessing at a password, through the whole stack: the counters work with the rights that the function has there."""

from __future__ import annotations

import secrets

import httpx

from tests.stack.conftest import RunningStack, once

pytestmark = once


def test_an_account_is_guessed_at_ten_times_and_then_told_when_to_go_on(stack: RunningStack) -> None:
    guess = {"email": f"ada-{secrets.token_hex(4)}@example.org", "password": "not the password"}
    answers = [httpx.post(f"{stack.url}/api/auth/sign-in/email", json=guess, timeout=30) for _ in range(21)]

    statuses = [answer.status_code for answer in answers]
    assert 10 <= statuses.index(429) <= 20, "more than ten where a window turned in between"
    limited = next(answer for answer in answers if answer.status_code == 429)
    assert limited.json()["error"]["code"] == "rate_limited"
    assert 1 <= int(limited.headers["retry-after"]) <= 900
