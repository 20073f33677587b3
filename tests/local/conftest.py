"""Emulators for the tests of the mends: one mended, as the stack runs it, and one plain, as it comes from PyPI."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from local.emulator import environment
from local.home import CHECKOUT, Home
from tests.local.emulators import Emulator, answers, eventually, free_port


def _running(directory: Path, program: str) -> Iterator[Emulator]:
    home = Home(directory, free_port(), free_port(), free_port())
    home.prepare()
    log = (home.logs / "emulator.log").open("ab")
    variables = {**environment(home), "PYTHONPATH": str(CHECKOUT)}
    process = subprocess.Popen([sys.executable, "-m", program], env=variables, stdout=log, stderr=log, cwd=CHECKOUT)
    try:
        eventually(lambda: answers(f"{home.emulator_url}/_ministack/health"), 30)
        yield Emulator(home)
    finally:
        process.terminate()
        process.wait(20)
        log.close()


@pytest.fixture(scope="session")
def mended(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Emulator]:
    yield from _running(tmp_path_factory.mktemp("mended"), "local.emulator")


@pytest.fixture(scope="session")
def plain(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Emulator]:
    """Where this one does what AWS does, the mend is no longer needed."""
    yield from _running(tmp_path_factory.mktemp("plain"), "ministack")
