"""Who you are, and what you have: sign up, sign in, credits, usage."""

from __future__ import annotations

import contextlib
import os
import sys
from enum import StrEnum
from typing import TYPE_CHECKING, Annotated

import typer

from filepath_sdk import config
from filepath_sdk.cli.app import AsJson, Url, app
from filepath_sdk.cli.deployment import connect, without_key
from filepath_sdk.cli.keys import ALL_SCOPES
from filepath_sdk.cli.printing import print_json, print_rows
from filepath_sdk.errors import Conflict, FilepathError, NotConfigured, Unauthenticated

if TYPE_CHECKING:
    from filepath_sdk.client import Filepath

Email = Annotated[str | None, typer.Option(envvar="FILEPATH_EMAIL", help="Asked for unless given.")]
Password = Annotated[str | None, typer.Option(envvar="FILEPATH_PASSWORD", help="Asked for unless given.")]
KeyName = Annotated[str, typer.Option("--key-name", metavar="NAME", help="The name of the API key that is made.")]


@app.command()
def signup(
    email: Email = None,
    password: Password = None,
    name: Annotated[
        str | None, typer.Option(metavar="NAME", help="Shown in lists; the part before the @ unless given.")
    ] = None,
    invite: Annotated[str | None, typer.Option(help="Where the deployment asks for one.")] = None,
    key_name: KeyName = "command line",
    url: Url = None,
    as_json: AsJson = False,
) -> None:
    """Make an account and an API key, and keep the key for this command line."""
    with without_key(url) as fp:
        email, password = _credentials(email, password)
        try:
            fp.sign_up(email, password, name or email.partition("@")[0], invite)
        except Conflict as error:
            error.what_to_do = "Use `filepath signin`."
            raise
        _keep_a_key(fp, email, key_name, as_json=as_json)


@app.command()
def signin(
    email: Email = None,
    password: Password = None,
    key_name: KeyName = "command line",
    url: Url = None,
    as_json: AsJson = False,
) -> None:
    """Make an API key for an account that exists, and keep it for this command line."""
    with without_key(url) as fp:
        email, password = _credentials(email, password)
        try:
            fp.sign_in(email, password)
        except Unauthenticated as error:
            error.what_to_do = "Check address and password; `filepath signup` makes an account."
            raise
        _keep_a_key(fp, email, key_name, as_json=as_json)


def _credentials(email: str | None, password: str | None) -> tuple[str, str]:
    return (
        email or _asked("Email", "Give --email or set FILEPATH_EMAIL.", hidden=False),
        password or _asked("Password", "Set FILEPATH_PASSWORD.", hidden=True),
    )


def _asked(what: str, otherwise: str, *, hidden: bool) -> str:
    if not sys.stdin.isatty():
        raise NotConfigured(f"{what.lower()}: none is given, and there is no terminal to ask at", what_to_do=otherwise)
    return str(typer.prompt(what, hide_input=hidden, err=True))


def _keep_a_key(fp: Filepath, email: str, key_name: str, *, as_json: bool) -> None:
    key = fp.keys.create(key_name, scopes=ALL_SCOPES)
    place = config.save(config.Config(fp.url, key.key))
    with contextlib.suppress(FilepathError):  # the token ends by itself, later
        fp.sign_out()
    if as_json:
        print_json({"email": email, "url": fp.url, "keyId": key.id, "config": str(place)})
        return
    print(f"Signed in as {email} at {fp.url}.\nThe API key {key.start or key.id}… is in {place}, for you alone.")
    if os.environ.get("FILEPATH_API_KEY"):
        print("FILEPATH_API_KEY is set, and goes before it.")
    print("Try: filepath run -- echo hello")


@app.command("credits")
def show_credits(url: Url = None, as_json: AsJson = False) -> None:
    """Show the account's credits: one is a started minute of a running task."""
    with connect(url) as fp:
        now = fp.credits()
    if as_json:
        print_json({"balance": now.balance, "held": now.held, "available": now.available})
    else:
        print(f"{now.available} available ({now.balance} less {now.held} held for running tasks)")


class Grouping(StrEnum):
    day = "day"
    session = "session"
    key = "key"


@app.command("usage")
def show_usage(
    from_: Annotated[
        str | None, typer.Option("--from", metavar="DAY", help="As 2026-01-31; 29 days before the last unless given.")
    ] = None,
    to: Annotated[str | None, typer.Option("--to", metavar="DAY", help="The last day; today unless given.")] = None,
    by: Annotated[Grouping, typer.Option("--by", help="What a row is of.")] = Grouping.day,
    url: Url = None,
    as_json: AsJson = False,
) -> None:
    """Show what credits were spent on. A task counts on the day on which it was over."""
    with connect(url) as fp:
        usage = fp.usage(from_, to, group_by=by.value)
    if as_json:
        print_json(usage.raw)
        return
    rows = [(row.day or row.session_id or row.key_id, row.credits, row.tasks) for row in usage.rows]
    print_rows((by.upper(), "CREDITS", "TASKS"), [*rows, ("total", usage.total, sum(row.tasks for row in usage.rows))])
