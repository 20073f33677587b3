"""State machine definitions in YAML.

AWS takes the definition at `DefinitionS3Location` in JSON or in YAML.

MiniStack takes JSON alone, and finds out when the first execution fails.
"""

# ruff: noqa: SLF001 - a mend reaches into what it mends

from __future__ import annotations

import json
from functools import wraps
from typing import Any

import yaml


def apply() -> None:
    from ministack.services.cloudformation import provisioners

    read = provisioners._sfn_definition

    @wraps(read)
    def read_as_json(properties: dict[str, Any]) -> str:
        return json.dumps(yaml.safe_load(read(properties)))

    provisioners._sfn_definition = read_as_json
