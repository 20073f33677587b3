"""What a deployment decides by itself: its environment, its cost. The rest is tried in tests/stack/test_deploy.py."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from deploy import cost
from deploy.cost import Holdings, idle_month, total
from deploy.environment import Environment, template_defaults
from deploy.failure import Failure

EMPTY = Holdings(
    schedules=1, alarms=0, log_groups=2, log_bytes=0, log_days=30,
    table_bytes=0, object_bytes=0, image_bytes=0, artifact_bytes=0,
)  # fmt: skip
SAMCONFIG = """
version = 0.1
[default.build.parameters]
cached = true
[dev.deploy.parameters]
stack_name = "filepath-dev"
parameter_overrides = ["SignUp=invite", "LogLevel=DEBUG"]
"""


@pytest.fixture
def samconfig(tmp_path: Path) -> Path:
    path = tmp_path / "samconfig.toml"
    path.write_text(SAMCONFIG)
    return path


def test_what_the_owner_gives_goes_before_samconfig(samconfig: Path) -> None:
    environment = Environment.read("dev", ["LogLevel=INFO", "SocketUrl=wss://a.example/?x=y"], samconfig)
    assert environment.stack == "filepath-dev"
    assert environment.parameters == {"SignUp": "invite", "LogLevel": "INFO", "SocketUrl": "wss://a.example/?x=y"}


@pytest.mark.parametrize(
    ("name", "given", "words"),
    [
        ("staging", (), "no environment 'staging'. Choose one of dev"),
        ("default", (), "no environment 'default'"),
        ("dev", ("SignUp",), "'SignUp' is no parameter"),
    ],
)
def test_what_cannot_be_meant_is_refused(samconfig: Path, name: str, given: tuple[str, ...], words: str) -> None:
    with pytest.raises(Failure, match=words):
        Environment.read(name, given, samconfig)


def test_a_parameter_that_the_template_lacks_is_refused(samconfig: Path) -> None:
    with pytest.raises(Failure, match="no parameter SingUp"):
        Environment.read("dev", ["SingUp=open"], samconfig).check_names()


def test_every_parameter_of_the_template_has_a_default() -> None:
    """Or the first deployment would stop at a question."""
    assert template_defaults()["SandboxTag"] == "latest"


@pytest.mark.parametrize("name", ["dev", "prod"])
def test_the_environments_of_this_repository_name_parameters_that_there_are(name: str) -> None:
    Environment.read(name).check_names()


def test_a_stack_that_holds_nothing_costs_its_reconcile_and_what_that_logs() -> None:
    calls = 730 * 60
    lines = idle_month(EMPTY)
    assert total(lines[:2]) == pytest.approx(calls * (0.2e-6 + 0.1 * 0.0000166667 + 0.125e-6 + 1e-6))
    assert total(lines) == pytest.approx(total(lines[:3]))
    assert total(idle_month(replace(EMPTY, schedules=0))) == 0


@pytest.mark.parametrize(
    ("more", "price"),
    [
        ({"table_bytes": cost.GB}, 0.25 + 0.20),
        ({"object_bytes": cost.GB}, 0.023),
        ({"artifact_bytes": cost.GB}, 0.023),
        ({"image_bytes": cost.GB}, 0.10),
        ({"log_bytes": cost.GB}, 0.03),
        ({"alarms": 3}, 0.30),
    ],
)
def test_each_thing_that_is_kept_has_its_price(more: dict[str, int], price: float) -> None:
    assert total(idle_month(replace(EMPTY, **more))) - total(idle_month(EMPTY)) == pytest.approx(price)
