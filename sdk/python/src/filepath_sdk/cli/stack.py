"""A stack on this machine, from a checkout of the repository, and the main job shown on whatever stack there is."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Any, NoReturn

import typer

from filepath_sdk import checkout
from filepath_sdk.checkout import Checkout
from filepath_sdk.cli.app import AsJson, Url, app
from filepath_sdk.cli.deployment import connect, known_url
from filepath_sdk.cli.printing import print_json
from filepath_sdk.errors import NotConfigured

if TYPE_CHECKING:
    from filepath_sdk.demo import Demo


@app.command()
def up(as_json: AsJson = False) -> None:
    """Start the stack of the checkout that this is called in, as `make up` does."""
    _make(checkout.required(), "up", as_json=as_json)


@app.command()
def down(as_json: AsJson = False) -> None:
    """Stop the stack of the checkout that this is called in, as `make down` does: its state is kept."""
    _make(checkout.required(), "down", as_json=as_json)


def _make(found: Checkout, target: str, *, as_json: bool) -> NoReturn:
    code = found.make(target, output_to=sys.stderr.fileno() if as_json else None)
    if as_json and code == 0:
        addresses = {_camel(name): value for name, value in found.addresses().items()}
        print_json({"checkout": str(found.directory), **addresses})
    raise typer.Exit(code)


def _camel(name: str) -> str:
    """FILEPATH_SOCKET_URL is socketUrl, as in the contract."""
    first, *rest = name.removeprefix("FILEPATH_").lower().split("_")
    return first + "".join(word.capitalize() for word in rest)


@app.command()
def demo(url: Url = None, as_json: AsJson = False) -> None:
    """Run the main job: twenty lines from a sandbox, each with its delay. It costs a credit of your account.

    Where no deployment is named, that of the checkout in which this is called is started and given an account.
    """
    if known_url(url) is None:
        _demo_of_a_checkout(as_json=as_json)
    from filepath_sdk import demo as main_job

    with connect(url) as fp:
        print(f"On {fp.url}, as the account that its API key belongs to.", file=sys.stderr)
        seen = main_job.run(fp, _told_to_stderr if as_json else _said)
    print_json(_document(seen)) if as_json else print(seen.summary())


def _demo_of_a_checkout(*, as_json: bool) -> NoReturn:
    found = checkout.here()
    if found is None:
        missing = "no deployment is named, and there is no checkout here that could start one"
        raise NotConfigured(missing, what_to_do=checkout.WITHOUT)
    print(f"No deployment is named. Starting the one of {found.directory}, with an account for this.", file=sys.stderr)
    _make(found, "demo", as_json=as_json)


def _said(text: str) -> None:
    print(text, flush=True)


def _told_to_stderr(text: str) -> None:
    print(text, file=sys.stderr, flush=True)


def _document(seen: Demo) -> dict[str, Any]:
    return {
        "workflowId": seen.result.workflow_id,
        "sessionId": seen.session_id,
        "status": seen.result.status,
        "exitCode": seen.result.exit_code,
        "creditsCharged": seen.result.credits_charged,
        "balance": seen.credits.balance,
        "delaysSeconds": seen.delays,
        "seconds": round(seen.took, 3),
    }
