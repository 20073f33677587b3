"""The `filepath` command: the SDK at a prompt. Reads arguments, prints results, decides the exit code.

Exit codes: 0, 1 for an error, 2 for a wrong call; `run` exits as its command did. The SDK is imported where it is
needed, so that `--help` and wrong calls answer at once.
"""

from __future__ import annotations

import json
import sys
from typing import NoReturn

from filepath_sdk.cli import account, run, sessions, stack, tasks  # noqa: F401 -- in the order in which help lists them
from filepath_sdk.cli.app import app
from filepath_sdk.cli.interrupts import Interrupted, raise_on_signals
from filepath_sdk.errors import FilepathError


def main() -> NoReturn:
    """The entry point: runs the command and turns what went wrong into words and an exit code."""
    arguments = sys.argv[1:]
    raise_on_signals()
    try:
        app(arguments, prog_name="filepath")
    except FilepathError as error:
        own = arguments[: arguments.index("--")] if "--" in arguments else arguments
        _report(error, as_json="--json" in own)
        sys.exit(1)
    except Interrupted as interrupted:
        sys.exit(128 + interrupted.number)
    sys.exit(0)


def _report(error: FilepathError, *, as_json: bool) -> None:
    if as_json:
        print(json.dumps(error.envelope()), file=sys.stderr)
        return
    request = f" (request {error.request_id})" if error.request_id else ""
    print(f"filepath: {error.message}{request}\n  What to do: {error.what_to_do}", file=sys.stderr)
