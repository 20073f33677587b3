"""The `filepath` command: the SDK at a prompt. Reads arguments, prints results, decides the exit code.

Exit codes: 0, 1 for an error, 2 for a wrong call; `run` exits as its command did (128+n for a signal), with
124 where the command ran into its timeout, and with 1 where it never came to run or was lost. The SDK is
imported where it is needed, so that `--help` and wrong calls answer at once.
"""

from __future__ import annotations

import contextlib
import itertools
import json
import os
import shlex
import signal
import sys
import time
from collections.abc import Iterator
from types import FrameType
from typing import TYPE_CHECKING, Annotated, Any, NoReturn, Self

import typer

from filepath_sdk import config
from filepath_sdk._version import __version__
from filepath_sdk.errors import Conflict, FilepathError, NotConfigured, Unauthenticated

if TYPE_CHECKING:
    from filepath_sdk.client import Filepath
    from filepath_sdk.models import Result, TaskEvent, TaskInfo
    from filepath_sdk.session import Session
    from filepath_sdk.task import Task, Watch

TIMED_OUT = 124
"""As `timeout(1)` exits."""
GENTLE_PATIENCE = 1.0
"""Seconds after a signal in which what is being shown or read is expected to be done."""
CANCEL_PATIENCE = 30.0
"""Seconds in which a cancelled command is expected to be over: a grace, a kill, and a report."""

COMMAND_SHOWN = 50
"""Characters of a command in a list."""

ALL_SCOPES = [
    *(f"{what}:{how}" for what in ("sessions", "tasks", "files") for how in ("read", "write")),
    "keys:write",
    "account:read",
]
"""For a key that a person keeps: one made by default cannot make others, which `filepath keys` does."""

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
WorkflowId = Annotated[str, typer.Argument(metavar="WORKFLOW", help="A task's workflow id, wf_…")]
Pairs = Annotated[list[str] | None, typer.Option("--env", "-e", metavar="K=V", help="May be repeated.")]


class Interrupted(BaseException):
    """This program is to end: by the signal `number`, SIGPIPE where nobody reads its output any more.

    It is no KeyboardInterrupt: the CLI library would catch that and exit with a code of its own.
    """

    def __init__(self, number: int) -> None:
        super().__init__()
        self.number = number


def main() -> NoReturn:
    """The entry point: runs the command and turns what went wrong into words and an exit code."""
    arguments = sys.argv[1:]
    signal.signal(signal.SIGTERM, _interrupt)
    signal.signal(signal.SIGINT, _interrupt)
    try:
        app(arguments, prog_name="filepath")
    except FilepathError as error:
        own = arguments[: arguments.index("--")] if "--" in arguments else arguments
        _report(error, as_json="--json" in own)
        sys.exit(1)
    except Interrupted as interrupted:
        sys.exit(128 + interrupted.number)
    sys.exit(0)


def _interrupt(number: int, _: FrameType | None) -> None:
    raise Interrupted(number)


class GentleInterrupts:
    """While a watch is followed, a signal ends its wait at a point where no output is on its way and would be lost.
    Where that point is not reached soon (a reader or the network may keep this waiting), or a second signal comes,
    Interrupted is raised wherever it strikes.
    """

    def __init__(self, watch: Watch) -> None:
        self._watch = watch
        self.number: int | None = None

    def __enter__(self) -> Self:
        signal.signal(signal.SIGALRM, self._handle)
        signal.signal(signal.SIGTERM, self._handle)
        signal.signal(signal.SIGINT, self._handle)
        return self

    def __exit__(self, *_: object) -> None:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGTERM, _interrupt)
        signal.signal(signal.SIGINT, _interrupt)

    def _handle(self, number: int, _: FrameType | None) -> None:
        if self.number is not None:
            raise Interrupted(self.number)
        self.number = number
        self._watch.interrupt()
        signal.setitimer(signal.ITIMER_REAL, GENTLE_PATIENCE)


def _report(error: FilepathError, *, as_json: bool) -> None:
    if as_json:
        print(json.dumps(error.envelope()), file=sys.stderr)
        return
    request = f" (request {error.request_id})" if error.request_id else ""
    print(f"filepath: {error.message}{request}\n  What to do: {error.what_to_do}", file=sys.stderr)


def _connect(url: str | None = None) -> Filepath:
    from filepath_sdk.client import Filepath

    target = _deployment(url)
    key = os.environ.get("FILEPATH_API_KEY") or config.load().key_for(target)
    fp = Filepath(key or "", target)
    if not key:
        fp.close()
        raise NotConfigured(
            f"no API key is known for {target}",
            what_to_do="Use `filepath signup` or `filepath signin`, or set FILEPATH_API_KEY.",
        )
    return fp


def _deployment(url: str | None) -> str:
    target = url or os.environ.get("FILEPATH_URL") or config.load().url
    if not target:
        raise NotConfigured(
            "the deployment's URL is not known",
            what_to_do="Give --url or set FILEPATH_URL. `filepath signup` and `filepath signin` keep it, with a key.",
        )
    return target


def _print_json(document: Any) -> None:
    print(json.dumps(document, indent=2, ensure_ascii=False, default=str))


def _print_rows(headings: tuple[str, ...], rows: list[tuple[Any, ...]]) -> None:
    table = [headings, *(tuple("-" if cell is None else str(cell) for cell in row) for row in rows)]
    widths = [max(len(row[column]) for row in table) for column in range(len(headings))]
    for row in table:
        print("  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip())


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


# Who you are

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
    with _without_key(url) as fp:
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
    with _without_key(url) as fp:
        email, password = _credentials(email, password)
        try:
            fp.sign_in(email, password)
        except Unauthenticated as error:
            error.what_to_do = "Check address and password; `filepath signup` makes an account."
            raise
        _keep_a_key(fp, email, key_name, as_json=as_json)


@contextlib.contextmanager
def _without_key(url: str | None) -> Iterator[Filepath]:
    from filepath_sdk.client import Filepath

    # The empty key: one in the environment belongs to another account.
    with Filepath("", _deployment(url)) as fp:
        yield fp


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
        _print_json({"email": email, "url": fp.url, "keyId": key.id, "config": str(place)})
        return
    print(f"Signed in as {email} at {fp.url}.\nThe API key {key.start or key.id}… is in {place}, for you alone.")
    if os.environ.get("FILEPATH_API_KEY"):
        print("FILEPATH_API_KEY is set, and goes before it.")
    print("Try: filepath run -- echo hello")


@app.command("credits")
def show_credits(url: Url = None, as_json: AsJson = False) -> None:
    """Show the account's credits: one is a started minute of a running task."""
    with _connect(url) as fp:
        now = fp.credits()
    if as_json:
        _print_json({"balance": now.balance, "held": now.held, "available": now.available})
    else:
        print(f"{now.available} available ({now.balance} less {now.held} held for running tasks)")


# API keys


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
    with _connect(url) as fp:
        key = fp.keys.create(name, expires_in=expires_in, scopes=scope)
    _print_json(key.raw) if as_json else print(key.key)


@keys_app.command("list")
def list_keys(url: Url = None, as_json: AsJson = False) -> None:
    """List the account's keys, without their secrets."""
    with _connect(url) as fp:
        keys = fp.keys.list()
    if as_json:
        _print_json({"keys": [key.raw for key in keys]})
        return
    rows = [(key.id, key.name, key.start, key.expires_at or "never", ",".join(key.scopes)) for key in keys]
    _print_rows(("ID", "NAME", "START", "EXPIRES", "SCOPES"), rows)


@keys_app.command("delete")
def delete_key(
    key_id: Annotated[str, typer.Argument(metavar="KEY", help="Its id, key_…")],
    url: Url = None,
    as_json: AsJson = False,
) -> None:
    """Revoke a key at once."""
    with _connect(url) as fp:
        fp.keys.delete(key_id)
    _print_json({"keyId": key_id, "deleted": True}) if as_json else print(f"{key_id} is revoked")


# Sessions


@sessions_app.command("create")
def create_session(
    name: Annotated[str | None, typer.Option(metavar="NAME")] = None,
    cpu: Annotated[int | None, typer.Option(help="CPU units, 1024 to a vCPU.")] = None,
    memory: Annotated[int | None, typer.Option(help="MB.")] = None,
    env: Pairs = None,
    idle_timeout: Annotated[int | None, typer.Option("--idle-timeout", metavar="SECONDS")] = None,
    max_age: Annotated[int | None, typer.Option("--max-age", metavar="SECONDS")] = None,
    url: Url = None,
    as_json: AsJson = False,
) -> None:
    """Open a session and print its id. It takes commands at once, though its sandbox may still start."""
    with _connect(url) as fp:
        session = fp.sessions.create(
            name, cpu=cpu, memory=memory, env=_env(env), idle_timeout=idle_timeout, max_age=max_age
        )
    _print_json(session.info.raw) if as_json else print(session.id)


@sessions_app.command("list")
def list_sessions(
    status: Annotated[str | None, typer.Option(help="Only those with this status.")] = None,
    url: Url = None,
    as_json: AsJson = False,
) -> None:
    """List the account's sessions."""
    with _connect(url) as fp:
        sessions = [session.info for session in fp.sessions.list(status=status)]
    if as_json:
        _print_json({"sessions": [session.raw for session in sessions]})
        return
    rows = [(one.id, one.status, one.reason, one.name, one.created_at) for one in sessions]
    _print_rows(("ID", "STATUS", "REASON", "NAME", "CREATED"), rows)


@sessions_app.command("close")
def close_session(
    session_ids: Annotated[list[str], typer.Argument(metavar="SESSION...")],
    url: Url = None,
    as_json: AsJson = False,
) -> None:
    """End sessions, and what still runs in them."""
    with _connect(url) as fp:
        for session_id in session_ids:
            fp.sessions.close(session_id)
    _print_json({"closing": session_ids}) if as_json else print("\n".join(f"{one} closes" for one in session_ids))


# Tasks


@app.command(context_settings={"ignore_unknown_options": False, "allow_interspersed_args": False})
def run(
    command: Annotated[list[str], typer.Argument(metavar="-- CMD...", help="One word is shell text as it is.")],
    session: Annotated[
        str | None, typer.Option("--session", "-s", metavar="SESSION", help="Else one is opened, and closed.")
    ] = None,
    timeout: Annotated[int | None, typer.Option(metavar="SECONDS", help="It decides the credits held.")] = None,
    env: Pairs = None,
    cwd: Annotated[str | None, typer.Option(metavar="DIR", help="/workspace unless given.")] = None,
    stdin: Annotated[bool, typer.Option("--stdin", "-i", help="Send the standard input.")] = False,
    url: Url = None,
    as_json: AsJson = False,
) -> None:
    """Run a command, show its output as it is written, exit as it does. Ctrl-C cancels it."""
    cmd = command[0] if len(command) == 1 else shlex.join(command)
    text = sys.stdin.buffer.read() if stdin else None
    with _connect(url) as fp, _session(fp, session) as opened:
        task = opened.start(cmd, timeout=timeout, env=_env(env), cwd=cwd, stdin=text)
        result = _follow(task, shown=not as_json)
    if as_json:
        _print_json(_result_json(result))
    raise typer.Exit(_exit_code(result, quiet=as_json))


@contextlib.contextmanager
def _session(fp: Filepath, session_id: str | None) -> Iterator[Session]:
    if session_id is not None:
        yield fp.sessions.handle(session_id)
        return
    with fp.sessions.create("filepath run") as session:
        yield session


def _follow(task: Task, *, shown: bool) -> Result:
    """To the end of the task. Interrupted, or with nobody reading, it is cancelled."""
    from filepath_sdk.core.watch import WatchInterrupted

    watch = task.events()
    interrupts = GentleInterrupts(watch)
    try:
        with interrupts:
            for event in watch:
                _take(task, event, shown=shown)
    except BrokenPipeError as gone:
        # Python would complain about the same again while it exits.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        _cancel(task, watch, shown=False)
        raise Interrupted(signal.SIGPIPE) from gone
    except (WatchInterrupted, Interrupted) as interruption:
        _say_what_became_of(task, _cancel(task, watch, shown=shown))
        raise Interrupted(interrupts.number or signal.SIGINT) from interruption
    return task.wait()


def _cancel(task: Task, watch: Watch, *, shown: bool) -> FilepathError | None:
    """Cancel the task and see it end: what it says while it ends is still shown. What kept it from that is returned."""
    deadline = time.monotonic() + CANCEL_PATIENCE
    try:
        task.cancel()
        while (event := watch.next_event(deadline)) is not None:
            with contextlib.suppress(BrokenPipeError):
                _take(task, event, shown=shown)
    except FilepathError as error:
        return error
    return None


def _say_what_became_of(task: Task, error: FilepathError | None) -> None:
    if error is None:
        print(f"filepath: cancelled, {task.id}", file=sys.stderr)
    else:
        print(f"filepath: {task.id} may still run: {error}", file=sys.stderr)


def _take(task: Task, event: TaskEvent, *, shown: bool) -> None:
    from filepath_sdk.models import OutputEvent

    if not shown and isinstance(event, OutputEvent):
        task.observe(event)
    elif isinstance(event, OutputEvent):
        out = sys.stdout if event.stream == "stdout" else sys.stderr
        out.buffer.write(event.data)
        out.buffer.flush()
    else:
        task.observe(event)


def _result_json(result: Result) -> dict[str, Any]:
    return {
        "workflowId": result.workflow_id,
        "sessionId": result.session_id,
        "status": result.status,
        "exitCode": result.exit_code,
        "signal": result.signal,
        "reason": result.reason,
        "message": result.message,
        "creditsCharged": result.credits_charged,
        "outputBytes": result.output_bytes,
        "stdout": result.stdout,
        "stderr": result.stderr,
    }


def _exit_code(result: Result, *, quiet: bool) -> int:
    if result.status != "completed" and not quiet:
        output = f"; {result.workflow_id} has its output" if result.output_bytes else f" ({result.workflow_id})"
        print(f"filepath: the command {result.outcome}{output}", file=sys.stderr)
    if result.status == "timed_out":
        return TIMED_OUT
    if result.signal is not None:
        return 128 + _signal_number(result.signal)
    if result.status == "completed":
        return 1 if result.exit_code is None else result.exit_code
    return result.exit_code or 1


def _signal_number(name: str) -> int:
    try:
        return signal.Signals[f"SIG{name.removeprefix('SIG')}"].value
    except KeyError:
        return 0


@tasks_app.command("list")
def list_tasks(
    session: Annotated[str | None, typer.Option("--session", "-s", metavar="SESSION", help="Only its.")] = None,
    limit: Annotated[int, typer.Option(metavar="N", min=1, help="At most so many.")] = 50,
    url: Url = None,
    as_json: AsJson = False,
) -> None:
    """List the account's tasks, newest first."""
    with _connect(url) as fp:
        tasks = list(itertools.islice(fp.tasks.list(session_id=session, limit=min(limit, 50)), limit))
    if as_json:
        _print_json({"workflows": [task.raw for task in tasks]})
        return
    rows = [(one.workflow_id, one.status, _exit_shown(one), one.created_at, _start_of(one.task or "")) for one in tasks]
    _print_rows(("WORKFLOW", "STATUS", "EXIT", "CREATED", "COMMAND"), rows)


def _exit_shown(task: TaskInfo) -> int | str | None:
    return task.signal if task.exit_code is None else task.exit_code


def _start_of(command: str) -> str:
    line = " ".join(command.split())
    return line if len(line) <= COMMAND_SHOWN else line[: COMMAND_SHOWN - 1] + "…"


@app.command()
def status(workflow_id: WorkflowId, url: Url = None, as_json: AsJson = False) -> None:
    """Show how a task stands."""
    with _connect(url) as fp:
        now = fp.tasks.attach(workflow_id).status()
    if as_json:
        _print_json(now.raw)
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
    with _connect(url) as fp:
        pages = fp.tasks.attach(workflow_id).output_pages(after)
        pieces = (piece for page in pages for piece in page.pieces if stream in (None, piece.stream))
        if as_json:
            rows = [{"offset": one.offset, "stream": one.stream, **_data(one.data)} for one in pieces]
            _print_json({"workflowId": workflow_id, "chunks": rows})
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
    with _connect(url) as fp:
        fp.tasks.attach(workflow_id).cancel(signal_name)
    if as_json:
        _print_json({"workflowId": workflow_id, "cancelling": True})
    else:
        print(f"{workflow_id} is being cancelled")


def _env(pairs: list[str] | None) -> dict[str, str] | None:
    if not pairs:
        return None
    split = [pair.partition("=") for pair in pairs]
    for name, equals, _ in split:
        if not name or not equals:
            raise typer.BadParameter("write it as NAME=VALUE", param_hint="--env")
    return {name: value for name, _, value in split}


if __name__ == "__main__":
    main()
