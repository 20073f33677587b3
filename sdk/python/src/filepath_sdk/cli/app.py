"""The program `filepath`: its groups of commands, and the options that commands share."""

from __future__ import annotations

from typing import Annotated

import typer

from filepath_sdk._version import __version__

app = typer.Typer(
    help="Run commands in sandboxes on your own AWS account.",
    no_args_is_help=True,
    add_completion=False,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
)
tasks_app = typer.Typer(help="Tasks: list.", no_args_is_help=True, rich_markup_mode=None)
keys_app = typer.Typer(help="API keys: create, list, delete.", no_args_is_help=True, rich_markup_mode=None)
sessions_app = typer.Typer(help="Sessions: create, list, close.", no_args_is_help=True, rich_markup_mode=None)
app.add_typer(keys_app, name="keys")
app.add_typer(sessions_app, name="sessions")
app.add_typer(tasks_app, name="tasks")


def _here_or_before(context: typer.Context, value: bool) -> bool:
    """`filepath --json COMMAND` is `filepath COMMAND --json`."""
    return value or bool(context.find_root().params.get("as_json"))


AsJson = Annotated[
    bool, typer.Option("--json", callback=_here_or_before, help="Print one JSON document instead of text.")
]
Url = Annotated[str | None, typer.Option("--url", help="The deployment; FILEPATH_URL, or that of signup.")]
Pairs = Annotated[list[str] | None, typer.Option("--env", "-e", metavar="K=V", help="May be repeated.")]


def _show_version(value: bool) -> None:
    if value:
        print(f"filepath {__version__}")
        raise typer.Exit


@app.callback()
def options(
    version: Annotated[
        bool, typer.Option("--version", callback=_show_version, is_eager=True, help="Show the version.")
    ] = False,
    as_json: AsJson = False,
) -> None:
    del version, as_json  # told by their callbacks


def environment(pairs: list[str] | None) -> dict[str, str] | None:
    if not pairs:
        return None
    split = [pair.partition("=") for pair in pairs]
    for name, equals, _ in split:
        if not name or not equals:
            raise typer.BadParameter("write it as NAME=VALUE", param_hint="--env")
    return {name: value for name, _, value in split}
