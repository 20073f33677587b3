"""The stack's logs, followed: functions, emulator, doors and sandboxes, each line with where it comes from."""

from __future__ import annotations

import time
from pathlib import Path
from typing import TextIO

from local.home import Home
from local.steps import console

LAST_LINES = 20


def follow(home: Home) -> None:
    """Until interrupted. Files that appear later are followed too."""
    files: dict[Path, TextIO] = {}
    while True:
        shown = False
        for path in sorted(home.logs.glob("*.log")):
            if path not in files:
                files[path] = path.open(errors="replace")
                _skip_to_the_last(files[path])
            for line in files[path]:
                shown = True
                console.print(f"[dim]{path.stem}[/] ", end="")
                console.print(line.rstrip("\n"), markup=False)
        if not shown:
            time.sleep(0.2)


def _skip_to_the_last(file: TextIO) -> None:
    lines = file.readlines()
    file.seek(0)
    for _ in lines[:-LAST_LINES]:
        file.readline()
