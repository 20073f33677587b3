"""What became of commands: tasks, their status, their output, their end."""

from __future__ import annotations

import itertools
import sys
from typing import TYPE_CHECKING, Annotated

import typer

from filepath_sdk.cli.app import AsJson, Url, app, tasks_app
from filepath_sdk.cli.deployment import connect
from filepath_sdk.cli.printing import print_json, print_rows

if TYPE_CHECKING:
    from filepath_sdk.models import TaskInfo

COMMAND_SHOWN = 50
"""Characters of a command in a list."""
WorkflowId = Annotated[str, typer.Argument(metavar="WORKFLOW", help="A task's workflow id, wf_…")]


@tasks_app.command("list")
def list_tasks(
    session: Annotated[str | None, typer.Option("--session", "-s", metavar="SESSION", help="Only its.")] = None,
    limit: Annotated[int, typer.Option(metavar="N", min=1, help="At most so many.")] = 50,
    url: Url = None,
    as_json: AsJson = False,
) -> None:
    """List the account's tasks, newest first."""
    with connect(url) as fp:
        tasks = list(itertools.islice(fp.tasks.list(session_id=session, limit=min(limit, 50)), limit))
    if as_json:
        print_json({"workflows": [task.raw for task in tasks]})
        return
    rows = [(one.workflow_id, one.status, _exit_shown(one), one.created_at, _start_of(one.task or "")) for one in tasks]
    print_rows(("WORKFLOW", "STATUS", "EXIT", "CREATED", "COMMAND"), rows)


def _exit_shown(task: TaskInfo) -> int | str | None:
    return task.signal if task.exit_code is None else task.exit_code


def _start_of(command: str) -> str:
    line = " ".join(command.split())
    return line if len(line) <= COMMAND_SHOWN else line[: COMMAND_SHOWN - 1] + "…"


@app.command()
def status(workflow_id: WorkflowId, url: Url = None, as_json: AsJson = False) -> None:
    """Show how a task stands."""
    with connect(url) as fp:
        now = fp.tasks.attach(workflow_id).status()
    if as_json:
        print_json(now.raw)
        return
    for name, value in now.raw.items():
        if value is not None:
            print(f"{name}: {value}")


@app.command()
def output(
    workflow_id: WorkflowId,
    after: Annotated[int, typer.Option(metavar="OFFSET", help="From this byte on.")] = 0,
    stream: Annotated[str | None, typer.Option(help="stdout or stderr; both unless given.")] = None,
    url: Url = None,
    as_json: AsJson = False,
) -> None:
    """Print the output that is stored until now, byte for byte, as it was written."""
    if stream not in (None, "stdout", "stderr"):
        raise typer.BadParameter("it is stdout or stderr", param_hint="--stream")
    with connect(url) as fp:
        pages = fp.tasks.attach(workflow_id).output_pages(after)
        pieces = (piece for page in pages for piece in page.pieces if stream in (None, piece.stream))
        if as_json:
            rows = [{"offset": one.offset, "stream": one.stream, **_data(one.data)} for one in pieces]
            print_json({"workflowId": workflow_id, "chunks": rows})
            return
        for piece in pieces:
            sys.stdout.buffer.write(piece.data)
    sys.stdout.buffer.flush()


def _data(data: bytes) -> dict[str, str]:
    from filepath_sdk.protocol import text_or_base64

    text, encoding = text_or_base64(data)
    return {"data": text, "encoding": encoding}


@app.command()
def cancel(
    workflow_id: WorkflowId,
    signal_name: Annotated[str | None, typer.Option("--signal", metavar="NAME", help="TERM unless given.")] = None,
    url: Url = None,
    as_json: AsJson = False,
) -> None:
    """Ask for a task's end."""
    with connect(url) as fp:
        fp.tasks.attach(workflow_id).cancel(signal_name)
    if as_json:
        print_json({"workflowId": workflow_id, "cancelling": True})
    else:
        print(f"{workflow_id} is being cancelled")
