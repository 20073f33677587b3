"""The stack's logs, followed: functions, emulator, doors and sandboxes, each line with where it comes from."""

from __future__ import annotations

import json
import re
import time
from pathlib import Path
from typing import TextIO

from local.home import STACK, Home
from local.steps import console

# Said in full where `up` fails.
NOT_FOLLOWED = ("sam-build", "sam-deploy")

LAST_LINES = 20
RECENT_SECONDS = 600
"""Of what was written longer ago, only what is added is shown."""

# A function's line in functions.log: time, name as CloudFormation makes it, what it logged.
FUNCTION_LINE = re.compile(rf"(?P<at>\S+) {STACK}-(?P<name>\w+?)(Function)?-[0-9A-Z]+ (?P<said>.*)")

# Of what Powertools writes, what every line of a function has in common.
SAME_EACH_TIME = frozenset(
    {"level", "message", "timestamp", "service", "location", "cold_start", "function_name", "function_memory_size",
     "function_arn", "function_request_id", "xray_trace_id"}
)  # fmt: skip


def follow(home: Home) -> None:
    """Until interrupted. Files that appear later are followed too."""
    files: dict[Path, TextIO] = {}
    if not _logs(home):
        console.print("Nothing has been logged yet. `make up`, in another terminal, starts the stack.")
    while True:
        shown = False
        for path in _logs(home):
            if path not in files:
                files[path] = path.open(errors="replace")
                _skip_to_the_last(files[path], LAST_LINES if time.time() - path.stat().st_mtime < RECENT_SECONDS else 0)
            for line in files[path]:
                shown = True
                console.print(readable(path.stem, line.rstrip("\n")), markup=False)
        if not shown:
            time.sleep(0.2)


def _logs(home: Home) -> list[Path]:
    return sorted(path for path in home.logs.glob("*.log") if path.stem not in NOT_FOLLOWED)


def readable(source: str, line: str) -> str:
    found = FUNCTION_LINE.fullmatch(line) if source == "functions" else None
    if found is None:
        return f"{source}  {line}"
    return f"{found['at']} {found['name']}  {_flat(found['said'])}"


def _flat(said: str) -> str:
    """A structured line as level, message and what is particular to it."""
    try:
        entry = json.loads(said)
        particular = " ".join(f"{name}={value}" for name, value in entry.items() if name not in SAME_EACH_TIME)
        return f"{entry['level']} {entry['message']}  {particular}".rstrip()
    except (ValueError, KeyError, AttributeError, TypeError):
        return said


def _skip_to_the_last(file: TextIO, kept: int) -> None:
    count = sum(1 for _ in file)
    file.seek(0)
    for _ in range(count - kept):
        file.readline()
