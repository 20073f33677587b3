"""How logs are shown: local/follow.py."""

from __future__ import annotations

import json

from local.follow import readable

NAME = "filepath-local-ApiFunction-120C050B1652E"


def test_a_structured_line_shows_what_is_particular_to_it() -> None:
    entry = {"level": "INFO", "location": "handle:22", "message": "answered", "service": "api", "status": 200}
    assert readable("functions", f"12:00:01 {NAME} {json.dumps(entry)}") == "12:00:01 Api  INFO answered  status=200"


def test_any_other_line_is_shown_as_it_is() -> None:
    assert readable("functions", f"12:00:01 {NAME} Traceback") == "12:00:01 Api  Traceback"
    assert readable("functions", f'12:00:01 {NAME} ["no", "object"]') == '12:00:01 Api  ["no", "object"]'
    assert readable("doors", "whatever") == "doors  whatever"
