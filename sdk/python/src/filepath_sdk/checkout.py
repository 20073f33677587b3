"""A checkout of filepath's repository on this machine, and what `make` does in it."""

from __future__ import annotations

import os
import signal
import subprocess
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from filepath_sdk.errors import NotConfigured

MARKERS = ("Makefile", "template.yaml", "local/__main__.py", "sdk/python/pyproject.toml")

WITHOUT = (
    "For a stack that runs elsewhere: export FILEPATH_URL=https://…, then `filepath signup`. "
    "To run one on this machine: clone filepath's repository and call this in it, or set FILEPATH_CHECKOUT to it."
)


@dataclass(frozen=True)
class Checkout:
    directory: Path

    @classmethod
    def find(cls, start: Path, named: str | None) -> Checkout | None:
        """The one that is named, else the one that `start` is in."""
        if named:
            if not _is_one(Path(named)):
                raise NotConfigured(
                    f"FILEPATH_CHECKOUT is {named}, which is no checkout of filepath",
                    what_to_do="Correct it, or unset it.",
                )
            return cls(Path(named).resolve())
        start = start.resolve()
        return next((cls(directory) for directory in (start, *start.parents) if _is_one(directory)), None)

    def make(self, target: str, *, output_to: int | None = None) -> int:
        """Run a target, with its output going where this program's goes; its exit code, as a shell tells it."""
        with self._started(target, stdout=output_to) as process:
            try:
                return _exit_code(process.wait())
            except BaseException as interrupted:
                # A terminal tells the whole group; who tells this program alone means its child as well.
                if getattr(interrupted, "number", signal.SIGINT) != signal.SIGINT:
                    process.terminate()
                process.wait()
                raise

    def addresses(self) -> Mapping[str, str]:
        """FILEPATH_URL and FILEPATH_SOCKET_URL of the checkout's own stack."""
        with self._started("--silent", "env", stdout=subprocess.PIPE) as process:
            printed = process.communicate()[0].decode()
        exported = (line.removeprefix("export ").partition("=") for line in printed.splitlines())
        return {name: value for name, equals, value in exported if equals}

    def _started(self, *words: str, stdout: int | None) -> subprocess.Popen[bytes]:
        command = ["make", "--no-print-directory", "-C", str(self.directory), *words]
        try:
            return subprocess.Popen(command, stdout=stdout)
        except FileNotFoundError as error:
            raise NotConfigured(
                "the program `make` is not here", what_to_do="Install it; on Debian: apt install make."
            ) from error


def here() -> Checkout | None:
    return Checkout.find(Path.cwd(), os.environ.get("FILEPATH_CHECKOUT"))


def required() -> Checkout:
    found = here()
    if found is None:
        raise NotConfigured(f"there is no checkout of filepath at {Path.cwd()} or above it", what_to_do=WITHOUT)
    return found


def _is_one(directory: Path) -> bool:
    return all((directory / marker).is_file() for marker in MARKERS)


def _exit_code(returned: int) -> int:
    return returned if returned >= 0 else 128 - returned
