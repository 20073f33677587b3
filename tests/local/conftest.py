"""Emulators for the tests of the mends: one mended, as the stack runs it, and one plain, as it comes from PyPI."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from local import gateway_responses, sandbox_choice
from local.containers import STACK_LABEL, Containers
from local.emulator import environment
from local.home import CHECKOUT, Home
from local.steps import Failure
from tests.local.emulators import RUNTIME, Deployed, Emulator, answers, eventually, free_port

TEMPLATE = Path(__file__).with_name("template.yaml")
LONGEST = "test_sam_local.py"


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """What takes longest begins first, so that nobody waits for it alone at the end."""
    items.sort(key=lambda item: item.path.name != LONGEST)


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


@pytest.fixture(scope="session")
def deployed(mended: Emulator) -> Iterator[Deployed]:
    """The small stack of template.yaml on the mended emulator, with the doors before it."""
    home = mended.home
    outputs = mended.stack("small", TEMPLATE.read_text(), PythonRuntime=RUNTIME, **_addresses(home))
    home.outputs_file.write_text(json.dumps(outputs))
    home.gateway_responses_file.write_text(json.dumps(_gateway_responses(mended)))
    log = (home.logs / "doors.log").open("ab")
    variables = {**environment(home), "PYTHONPATH": str(CHECKOUT)}
    command = [sys.executable, "-m", "local.doors"]
    process = subprocess.Popen(command, env=variables, stdout=log, stderr=log, cwd=CHECKOUT)
    try:
        eventually(lambda: _listens(home.port) and _listens(home.sandbox_port))
        yield Deployed(mended, outputs)
    finally:
        process.terminate()
        process.wait(20)
        log.close()


def _addresses(home: Home) -> dict[str, str]:
    return {"Objects": home.sandbox_url, "Management": f"{home.emulator_url}/_aws/execute-api/"}


def _gateway_responses(emulator: Emulator) -> dict[str, object]:
    cloudformation = emulator.client("cloudformation")
    template = cloudformation.get_template(StackName="small", TemplateStage="Processed")["TemplateBody"]
    return gateway_responses.of_template(json.loads(template) if isinstance(template, str) else template)


def _listens(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0


@pytest.fixture(scope="session")
def containers(tmp_path_factory: pytest.TempPathFactory) -> Containers:
    """Of this machine's engine, which a developer's machine need not have."""
    home = Home(tmp_path_factory.mktemp("engine"), 1, 2, 3)
    try:
        choice = sandbox_choice.choose(home, {**os.environ, sandbox_choice.VARIABLE: "containers"})
    except Failure as refused:
        pytest.skip(str(refused))
    assert choice.containers is not None
    return choice.containers


def left_of(containers: Containers, home: Home) -> list[str]:
    """This stack's containers, running or not."""
    label = f"label={STACK_LABEL}={home.directory}"
    return containers.engine.run("ps", "--all", "--filter", label, "--format", "{{.Names}}").split()
