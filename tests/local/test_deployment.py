"""The deployment by the real SAM command line: local/deployment.py."""

from __future__ import annotations

import tomllib
from pathlib import Path
from typing import Any

import pytest

from local import deployment
from local.deployment import SAMCONFIG, Deployment, what_went_wrong
from local.home import STACK, Home
from local.steps import Failure
from tests.local.emulators import Emulator

TEMPLATE = """
Parameters: { SignUp: { Type: String }, SignUpCredits: { Type: Number }, SocketUrl: { Type: String } }
Resources: { Queue: { Type: AWS::SQS::Queue } }
Outputs: { SignUp: { Value: !Ref SignUp }, Credits: { Value: !Ref SignUpCredits }, Url: { Value: !Ref SocketUrl } }
"""

SETTINGS = f"""
version = 0.1
[local.deploy.parameters]
stack_name = "{STACK}"
s3_bucket = "artifacts-of-a-test"
confirm_changeset = false
parameter_overrides = ["SignUp=invite", "SignUpCredits=7"]
tags = ["of=a-test"]
"""


@pytest.fixture
def settings(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Another samconfig.toml than the repository's."""
    path = tmp_path / "samconfig.toml"
    path.write_text(SETTINGS)
    monkeypatch.setattr(deployment, "SAMCONFIG", path)
    return path


def deployable(home: Home, template: str) -> Deployment:
    built = home.build / "sam" / "template.yaml"
    built.parent.mkdir(parents=True, exist_ok=True)
    built.write_text(template)
    return Deployment(home)


def test_a_deployment_follows_samconfig_and_the_ports(mended: Emulator, settings: Path) -> None:
    small = deployable(mended.home, TEMPLATE)
    small.deploy()
    assert small.outputs() == {"SignUp": "invite", "Credits": "7", "Url": mended.home.socket_url}
    stack: dict[str, Any] = mended.client("cloudformation").describe_stacks(StackName=STACK)["Stacks"][0]
    assert {"Key": "of", "Value": "a-test"} in stack["Tags"]
    assert small.is_deployed()
    settings.write_text(SETTINGS.replace("a-test", "another"))
    assert not Deployment(mended.home).is_deployed()


def test_the_local_stack_is_named_as_samconfig_says() -> None:
    assert tomllib.loads(SAMCONFIG.read_text())["local"]["deploy"]["parameters"]["stack_name"] == STACK


def test_a_failed_deployment_says_why(mended: Emulator, settings: Path) -> None:
    with pytest.raises(Failure) as failed:
        deployable(mended.home, "Resources: { Nothing: { Type: AWS::None } }").deploy()
    assert "Unrecognized resource types: [AWS::None]" in str(failed.value)
    assert str(mended.home.logs / "sam-deploy.log") in str(failed.value)


def test_an_error_is_shown_with_what_is_said_to_it() -> None:
    log = """
UPDATE_IN_PROGRESS  AWS::IAM::Policy  Broken
UPDATE_FAILED       AWS::IAM::Policy  Broken  The role with
                                              name nope cannot
                                              be found.
UPDATE_ROLLBACK_IN  AWS::IAM::Policy
-----------------
Error: Failed to update the stack.
It is as it was.
Traceback (most recent call last):
  File ...
"""
    assert what_went_wrong(log).splitlines() == [
        "UPDATE_FAILED       AWS::IAM::Policy  Broken  The role with",
        "                                              name nope cannot",
        "                                              be found.",
        "Error: Failed to update the stack.",
        "It is as it was.",
    ]


def test_a_sam_that_does_not_start_is_named_with_the_remedy(
    tmp_path: Path, settings: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    sam = tmp_path / ".tools" / "bin" / "sam"
    sam.parent.mkdir(parents=True)
    sam.write_text("#!/a/python/that/is/gone\n")
    sam.chmod(0o755)
    monkeypatch.setattr(deployment, "CHECKOUT", tmp_path)
    home = Home(tmp_path / "home", 1, 2, 3)
    home.prepare()
    with pytest.raises(Failure, match=r"rm -rf \.tools && make setup"):
        Deployment(home).build()


def test_parameters_of_the_caller_go_before_all_others(tmp_path: Path) -> None:
    home = Home(tmp_path, 1, 2, 3, (("SignUp", "closed"),))
    assert Deployment(home).parameters()["SignUp"] == "closed"
