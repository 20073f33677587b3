"""API keys: create, list, delete."""

from __future__ import annotations

from typing import Annotated

import typer

from filepath_sdk.cli.app import AsJson, Url, keys_app
from filepath_sdk.cli.deployment import connect
from filepath_sdk.cli.printing import print_json, print_rows

ALL_SCOPES = [
    *(f"{what}:{how}" for what in ("sessions", "tasks", "files") for how in ("read", "write")),
    "keys:write",
    "account:read",
]
"""For a key that a person keeps: one made by default cannot make others, which `filepath keys` does."""


@keys_app.command("create")
def create_key(
    name: Annotated[str, typer.Argument(metavar="NAME")],
    expires_in: Annotated[int | None, typer.Option("--expires-in", metavar="SECONDS")] = None,
    scope: Annotated[
        list[str] | None,
        typer.Option(
            "--scope",
            metavar="SCOPE",
            help=f"{', '.join(ALL_SCOPES)}. May be repeated; all but keys:write unless given.",
        ),
    ] = None,
    url: Url = None,
    as_json: AsJson = False,
) -> None:
    """Make a key. It is shown this once: keep it."""
    with connect(url) as fp:
        key = fp.keys.create(name, expires_in=expires_in, scopes=scope)
    print_json(key.raw) if as_json else print(key.key)


@keys_app.command("list")
def list_keys(url: Url = None, as_json: AsJson = False) -> None:
    """List the account's keys, without their secrets."""
    with connect(url) as fp:
        keys = fp.keys.list()
    if as_json:
        print_json({"keys": [key.raw for key in keys]})
        return
    rows = [(key.id, key.name, key.start, key.expires_at or "never", ",".join(key.scopes)) for key in keys]
    print_rows(("ID", "NAME", "START", "EXPIRES", "SCOPES"), rows)


@keys_app.command("delete")
def delete_key(
    key_id: Annotated[str, typer.Argument(metavar="KEY", help="Its id, key_…")],
    url: Url = None,
    as_json: AsJson = False,
) -> None:
    """Revoke a key at once."""
    with connect(url) as fp:
        fp.keys.delete(key_id)
    print_json({"keyId": key_id, "deleted": True}) if as_json else print(f"{key_id} is revoked")
