"""How much a function is given and gives back: local/mends/payloads.py, seen at the door."""

from __future__ import annotations

import json
from typing import Any

import httpx
import pytest

from tests.local.emulators import Deployed, Emulator

MEGABYTE = 1024 * 1024
ECHO = "def handler(event, context):\n    return event\n"
MANY = "def handler(event, context):\n    return 'x' * event\n"


def called(emulator: Emulator, function: str, event: Any) -> tuple[str | None, int]:
    """The error's type, if it failed, and how long the answer is."""
    answer = emulator.client("lambda").invoke(FunctionName=function, Payload=json.dumps(event).encode())
    payload = answer["Payload"].read()
    return json.loads(payload)["errorType"] if "FunctionError" in answer else None, len(payload)


def test_an_answer_over_6_mb_fails_the_call(mended: Emulator) -> None:
    function = mended.function(MANY)
    assert called(mended, function, 6_291_556 - 2) == (None, 6_291_556)
    assert called(mended, function, 6_291_556 - 1)[0] == "Function.ResponseSizeTooLarge"


def test_an_event_over_6_mb_does_not_reach_its_function(mended: Emulator) -> None:
    function = mended.function(ECHO)
    assert called(mended, function, "x" * (6 * MEGABYTE - 2)) == (None, 6 * MEGABYTE)
    assert called(mended, function, "x" * (6 * MEGABYTE - 1))[0] == "RequestTooLargeException"


def test_why_a_call_failed_is_in_its_log(mended: Emulator) -> None:
    function = mended.function(MANY)
    called(mended, function, 7 * MEGABYTE)
    name = function.rpartition(":")[2]
    log = (mended.home.logs / "functions.log").read_text().splitlines()
    assert any(name in line and "exceeded maximum allowed payload size" in line for line in log)


def test_too_large_an_answer_is_refused_in_api_gateways_words(deployed: Deployed) -> None:
    url = f"{deployed.home.front_url}/answer"
    assert len(httpx.get(url, params={"size": 5 * MEGABYTE}).content) == 5 * MEGABYTE
    answer = httpx.get(url, params={"size": 7 * MEGABYTE})
    assert (answer.status_code, answer.json()) == (502, {"message": "Internal server error"})


@pytest.mark.parametrize("body", [b"x" * 7 * MEGABYTE, b'"' * 4 * MEGABYTE])
def test_too_large_an_event_is_refused_in_the_templates_words(deployed: Deployed, body: bytes) -> None:
    """A quote takes two bytes of an event."""
    answer = httpx.post(f"{deployed.home.front_url}/any", content=body)
    assert (answer.status_code, answer.json()) == (413, {"ours": "Request Too Long"})


def test_a_functions_own_413_stays_its_own(deployed: Deployed) -> None:
    answer = httpx.get(f"{deployed.home.front_url}/refuse")
    assert (answer.status_code, answer.text) == (413, "by the function")


def test_the_emulator_alone_still_passes_on_any_size(plain: Emulator) -> None:
    error, size = called(plain, plain.function(ECHO), "x" * 7 * MEGABYTE)
    assert error is None, "mends/payloads.py is no longer needed"
    assert size > 7 * MEGABYTE
