"""Deploying: look, build, then change. A run that was cut short goes on when it is made again."""

from __future__ import annotations

import time
import urllib.error
import urllib.request
from dataclasses import dataclass
from pathlib import Path

from deploy import buckets, cost, preflight
from deploy.account import Account
from deploy.build import build, misfits_of
from deploy.environment import Environment, template_defaults
from deploy.failure import Failure
from deploy.holdings import holdings
from deploy.image import Engine, Image
from deploy.operator import ask
from deploy.stack import Stack

ANSWER_SECONDS = 60.0


@dataclass(frozen=True)
class Wishes:
    """What the owner said beside the environment's name."""

    image: str | None = None
    """An image that is on this machine already, in place of one built now."""
    uncompiled: bool = False


def up(environment: Environment, wishes: Wishes) -> None:
    environment.check_names()
    account = Account.at_hand()
    stack = Stack(account, environment.stack)
    is_new = stack.status() is None
    print(f"Stack {stack.name}, {'new' if is_new else 'to be updated'}, in {account}")
    parameters = {**template_defaults(), **stack.parameters(), **environment.parameters}
    _check(preflight.look(account, stack, environment, parameters, uncompiled=wishes.uncompiled))

    image = _image(parameters, wishes)
    print("Building the functions and the layer")
    built = build(account.environment(), parameters["PythonRuntime"])
    for misfit in misfits_of(built, parameters["PythonRuntime"]):
        print(f"Note: of the layer, {misfit}")

    # Nothing runs until a session is made: the repository comes with the stack, so the first image follows it. Later
    # the image goes first, so that no task definition names one that is not there.
    if image and not is_new:
        _push(account, stack, image)
    _deploy(stack, environment, built, image)
    if image and is_new:
        _push(account, stack, image)
    _tell(account, stack, is_new=is_new)


def _check(found: preflight.Findings) -> None:
    for note in found.notes:
        print(f"Note: {note}")
    if found.problems:
        raise Failure("Nothing was changed.\n\n" + "\n\n".join(found.problems))


def _image(parameters: dict[str, str], wishes: Wishes) -> Image | None:
    """None where the stack takes an image from elsewhere."""
    engine = Engine.at_hand()
    if parameters["SandboxImage"] or engine is None:
        return None
    if wishes.image:
        return engine.image(wishes.image)
    print(f"Building the sandbox's image with {engine.program}")
    return engine.build()


def _push(account: Account, stack: Stack, image: Image) -> None:
    engine = Engine.at_hand()
    assert engine is not None  # noqa: S101 - it has just built or found the image
    engine.push(image, account.session.client("ecr"), stack.outputs()["SandboxRepository"])


def _deploy(stack: Stack, environment: Environment, built: Path, image: Image | None) -> None:
    artifacts = buckets.artifacts_bucket(stack.account, stack.name)
    buckets.make(stack.account, artifacts)
    tag = {"SandboxTag": image.tag} if image else {}
    stack.deploy(environment, built, artifacts, {**environment.parameters, **tag})


# What it tells


def _tell(account: Account, stack: Stack, *, is_new: bool) -> None:
    outputs, parameters = stack.outputs(), stack.parameters()
    rest = _address(outputs["RestUrl"], outputs["RestApiId"], account, outputs)
    _wait_for(f"{rest}/api/health")
    print(f"\nFILEPATH_URL={rest}")
    print(f"FILEPATH_SOCKET_URL={_address(parameters['SocketUrl'], outputs['ClientsApiId'], account, outputs)}")
    print(f"Its API is described at {rest}/docs")
    if is_new and parameters["SignUp"] == "invite":
        invite = ask(account, outputs["OperatorFunction"], {"action": "invite"})["invite"]
        print(f"\nThe first invite, good for one account: {invite}")
    print(f"\nMore invites, and credits for an account (the README has the payloads):\n{_operator(outputs)}")
    _tell_cost(stack)


def _operator(outputs: dict[str, str]) -> str:
    return (
        f"aws lambda invoke --function-name {outputs['OperatorFunction']} --cli-binary-format raw-in-base64-out"
        """ --payload '{"action": "invite"}' /dev/stdout"""
    )


def _address(pattern: str, api: str, account: Account, outputs: dict[str, str]) -> str:
    """An address as the template's parameters write it, filled in as the functions do."""
    return pattern.format(apiId=api, region=account.region, stage=outputs["Stage"])


def _tell_cost(stack: Stack) -> None:
    lines = cost.idle_month(holdings(stack))
    print(f"\nA month in which nobody uses it, in dollars ({cost.PRICES_OF}):")
    for line in lines:
        print(line)
    print(f"{cost.total(lines):8.3f}  in all. What sandboxes and tasks cost is in the README.")


def _wait_for(url: str) -> None:
    deadline = time.monotonic() + ANSWER_SECONDS
    while (refusal := _refusal(url)) is not None:
        if time.monotonic() > deadline:
            raise Failure(
                f"The stack is deployed, but {url} does not answer with 200: {refusal}\nIts log group has the reason."
            )
        time.sleep(0.5)


def _refusal(url: str) -> str | None:
    if not url.startswith(("https://", "http://")):
        return f"{url} is no address of the web"
    try:
        with urllib.request.urlopen(url, timeout=30) as answer:  # noqa: S310 - checked above
            return None if answer.status == 200 else str(answer.status)
    except urllib.error.HTTPError as error:
        return f"{error.code} {error.read(500).decode(errors='replace')}"
    except OSError as error:
        return str(error)
