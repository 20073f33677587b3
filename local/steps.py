"""What `up` and `down` show while they work: each step by name, and how long it took."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager

from rich.console import Console

console = Console(highlight=False, soft_wrap=True)


class Failure(Exception):
    """Something the one at the keyboard has to mend. The message says what it is and what to do."""


@contextmanager
def step(name: str) -> Iterator[None]:
    begun = time.monotonic()
    with console.status(f"{name} …"):
        # A log file gets the line at the start as well, so that a hanging step can be seen there.
        if not console.is_terminal:
            console.print(f"  {name} …")
        yield
    console.print(f"  [green]✓[/] {name} [dim]{time.monotonic() - begun:.1f} s[/]")
