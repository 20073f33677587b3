"""The platform as its OpenAPI document describes it, in process: the same fixtures as for the AWS code."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from tests.aws.conftest import (  # noqa: F401 - pytest finds fixtures by name in here
    ada,
    bob,
    clock,
    configure,
    impatient,
    platform,
    wire,
    wire_of_all,
)
from tests.aws.people import Platform
from tests.contract.world import World


@pytest.fixture
def world(platform: Platform, configure: Callable[..., None]) -> World:  # noqa: F811 - the fixtures of these names
    return World.of(platform, configure)
