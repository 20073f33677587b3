"""Sessions: create, list, close."""

from __future__ import annotations

from typing import Annotated

import typer

from filepath_sdk.cli.app import AsJson, Pairs, Url, environment, sessions_app
from filepath_sdk.cli.deployment import connect
from filepath_sdk.cli.printing import print_json, print_rows


@sessions_app.command("create")
def create_session(  # noqa: PLR0917 - each is an option of the command
    name: Annotated[str | None, typer.Option(metavar="NAME")] = None,
    cpu: Annotated[int | None, typer.Option(help="CPU units, 1024 to a vCPU.")] = None,
    memory: Annotated[int | None, typer.Option(help="MB.")] = None,
    env: Pairs = None,
    idle_timeout: Annotated[int | None, typer.Option("--idle-timeout", metavar="SECONDS")] = None,
    max_age: Annotated[int | None, typer.Option("--max-age", metavar="SECONDS")] = None,
    background: Annotated[
        int | None, typer.Option(metavar="SECONDS", help="How long what commands leave running may go on without one.")
    ] = None,
    url: Url = None,
    as_json: AsJson = False,
) -> None:
    """Open a session and print its id. It takes commands at once, though its sandbox may still start."""
    with connect(url) as fp:
        session = fp.sessions.create(
            name,
            cpu=cpu,
            memory=memory,
            env=environment(env),
            idle_timeout=idle_timeout,
            max_age=max_age,
            background=background,
        )
    print_json(session.info.raw) if as_json else print(session.id)


@sessions_app.command("list")
def list_sessions(
    status: Annotated[str | None, typer.Option(help="Only those with this status.")] = None,
    url: Url = None,
    as_json: AsJson = False,
) -> None:
    """List the account's sessions."""
    with connect(url) as fp:
        sessions = [session.info for session in fp.sessions.list(status=status)]
    if as_json:
        print_json({"sessions": [session.raw for session in sessions]})
        return
    rows = [(one.id, one.status, one.reason, one.name, one.created_at) for one in sessions]
    print_rows(("ID", "STATUS", "REASON", "NAME", "CREATED"), rows)


@sessions_app.command("close")
def close_session(
    session_ids: Annotated[list[str], typer.Argument(metavar="SESSION...")],
    url: Url = None,
    as_json: AsJson = False,
) -> None:
    """End sessions, and what still runs in them."""
    with connect(url) as fp:
        for session_id in session_ids:
            fp.sessions.close(session_id)
    print_json({"closing": session_ids}) if as_json else print("\n".join(f"{one} closes" for one in session_ids))
