"""A local stack's life: up, down, reset.

The emulator and the doors are two programs in the background; a sandbox is the emulator's child. Each step of `up`
looks at what is there already, so that it goes on from wherever an earlier one stopped.
"""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import socket
import sys
import time
import urllib.error
import urllib.request
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from botocore.exceptions import BotoCoreError, ClientError
from rich.markup import escape

from local import containers, emulator, pulls, sandbox_choice, sandboxes
from local.deployment import REMEDY, Deployment, client_options, sam, session
from local.engine import EngineFailedError
from local.home import CHECKOUT, Home
from local.processes import Program
from local.steps import Failure, console, step

READY_SECONDS = 60.0
CLOSING_SECONDS = 60.0
SAVING_SECONDS = 60.0


class Stack:
    def __init__(self, home: Home) -> None:
        self.home = home
        self._emulator = Program(home, "emulator", [sys.executable, "-m", "local.emulator"])
        self._doors = Program(home, "doors", [sys.executable, "-m", "local.doors"])
        self._deployment = Deployment(home)

    def up(self) -> None:
        begun = time.monotonic()
        self._check_tools()
        self._check_ports()
        self.home.prepare()
        self._remove_containers()
        with ThreadPoolExecutor(1) as beside:
            building = beside.submit(self._build)
            self._start_emulator()
            choice = building.result()
        self._deploy()
        self._start_doors()
        with step("Waiting until the API answers"):
            self._wait_for(f"{self.home.front_url}/api/health", self._doors, self._emulator)
        with step("Reconciling what the last run left"):
            self.invoke("ReconcileFunction", {})
        console.print(f"[bold]The stack is up[/] after {time.monotonic() - begun:.1f} s: {self.home.front_url}")
        console.print(f"[dim]Sandboxes: {escape(choice.description())}[/]")

    def start_account(self) -> None:
        """The emulator alone, with whatever is deployed there, or nothing."""
        self._check_tools()
        self._check_ports()
        self.home.prepare()
        self._choose_sandboxes()
        self._start_emulator()

    def open_doors(self, stack: str) -> None:
        """To another stack than this machine's own."""
        Deployment(self.home, stack).publish()
        self._start_doors()

    def down(self) -> None:
        if self._emulator.pid() is None and self._doors.pid() is None:
            console.print("The stack is not running; there is nothing to stop.")
            return
        if self._emulator.pid() is not None and self.home.outputs_file.exists():
            with step("Closing all sessions"):
                self._close_sessions()
        with step("Stopping the doors"):
            self._doors.stop(5)
        with step("Stopping the emulator, which saves its state"):
            saved = self._emulator.stop(SAVING_SECONDS)
        self._remove_containers()
        if not saved:
            raise Failure("The emulator did not end in time and was killed: what this run changed may be lost.")

    def reset(self) -> None:
        self._doors.stop(5)
        self._emulator.stop(SAVING_SECONDS)
        self._remove_containers()
        self._forget_images()
        with step("Forgetting the stack's state"):
            shutil.rmtree(self.home.directory, ignore_errors=True)

    def is_up(self) -> bool:
        return self._emulator.pid() is not None and self._doors.pid() is not None

    def invoke(self, output: str, payload: dict[str, Any]) -> dict[str, Any]:
        """Call one of the stack's functions directly, as its operator may."""
        name = self._function(output)
        functions = session(self.home).client("lambda", **client_options(self.home))
        answer = functions.invoke(FunctionName=name, Payload=json.dumps(payload).encode())
        content = json.loads(answer["Payload"].read() or b"null")
        if answer.get("FunctionError"):
            raise Failure(
                f"{output.removesuffix('Function')}: {content.get('errorMessage', content)}. See `make logs`."
            )
        return content or {}

    def _function(self, output: str) -> str:
        if self._emulator.pid() is None:
            raise Failure("The stack is not running. Start it: `make up`.")
        try:
            return Deployment(self.home).outputs()[output]
        except (ClientError, KeyError):
            raise Failure("The stack is only half there. Run `make up`, which goes on where it stopped.") from None

    # Up

    def _check_tools(self) -> None:
        sam()
        tools = f"{CHECKOUT / '.tools' / 'bin'}:{os.environ.get('PATH', '')}"
        for tool, remedy in (("uv", REMEDY), ("make", "Install it: apt-get install make.")):
            if shutil.which(tool, path=tools) is None:
                raise Failure(f"`{tool}` is missing, which builds the layer. {remedy}")
        sandbox_choice.wanted()

    def _check_ports(self) -> None:
        ports = (
            (self._emulator, self.home.emulator_port, "FILEPATH_EMULATOR_PORT"),
            (self._doors, self.home.port, "FILEPATH_PORT"),
            (self._doors, self.home.sandbox_port, "FILEPATH_SANDBOX_PORT"),
        )
        for program, port, variable in ports:
            if program.pid() is not None and program.ports() != self.home.ports:
                running = ", ".join(map(str, program.ports()))
                raise Failure(f"The stack is up, on other ports: {running}. Use it there, or stop it: `make down`.")
            if program.pid() is None and not _is_free(port):
                raise Failure(
                    f"Port {port} is in use by another program. Stop that one (`ss -ltnp 'sport = :{port}'` names "
                    f"it), or choose another port: {variable}={port + 100} make up."
                )

    def _build(self) -> sandbox_choice.Choice:
        if not self._deployment.is_built():
            with step("Building the functions and the layer"):
                self._deployment.build()
        return self._choose_sandboxes()

    def _choose_sandboxes(self) -> sandbox_choice.Choice:
        choice = sandbox_choice.choose(self.home)
        sandbox_choice.keep(self.home, choice)
        if choice.containers is None:
            sandboxes.bundle(self.home)
        return choice

    def _remove_containers(self) -> None:
        """Of a run that did not end as it should. While the emulator runs they are its own business."""
        kept = sandbox_choice.kept(self.home)
        if kept and self._emulator.pid() is None:
            containers.remove_all(kept, self.home)

    def _forget_images(self) -> None:
        if kept := sandbox_choice.kept(self.home):
            with contextlib.suppress(EngineFailedError):
                pulls.forget(self.home, kept.engine)

    def _start_emulator(self) -> None:
        if self._emulator.pid() is None:
            self._emulator.start(emulator.environment(self.home))
        self._wait_for(f"{self.home.emulator_url}/_ministack/health", self._emulator)

    def _deploy(self) -> None:
        if not self._deployment.is_deployed():
            with step("Deploying the template"):
                self._deployment.deploy()
        self._deployment.publish()

    def _start_doors(self) -> None:
        if self._doors.pid() is None:
            self._doors.start({**os.environ, **self.home.environment()})

    def _wait_for(self, url: str, *programs: Program) -> None:
        deadline = time.monotonic() + READY_SECONDS
        while (refusal := _refusal(url)) is not None:
            for program in programs:
                if program.pid() is None:
                    raise Failure(f"The {program.name} ended. The last of {program.log}:\n\n{program.tail()}")
            if refusal.startswith("5") or time.monotonic() > deadline:
                raise Failure(f"{url} did not answer with 200: {refusal}\n`make logs` shows why.")
            time.sleep(0.05)

    # Down

    def _close_sessions(self) -> None:
        """Sessions close by themselves once told to; this asks until none is open."""
        deadline = time.monotonic() + CLOSING_SECONDS
        wanted = {"action": "closeSessions", "reason": "shutdown"}
        try:
            while (left := self.invoke("OperatorFunction", wanted)["open"]) > 0:
                if time.monotonic() > deadline:
                    console.print(f"[yellow]{left} sessions did not close in {CLOSING_SECONDS:.0f} s.[/]")
                    return
                time.sleep(0.25)
        except (Failure, ClientError, BotoCoreError, KeyError) as error:
            console.print(f"[yellow]The sessions could not be closed: {escape(str(error))}[/]")


def _is_free(port: int) -> bool:
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
        except OSError:
            return False
    return True


def _refusal(url: str) -> str | None:
    """Why this URL does not answer with 200, or None where it does."""
    try:
        with urllib.request.urlopen(url, timeout=30) as answer:
            return None if answer.status == 200 else str(answer.status)
    except urllib.error.HTTPError as error:
        return f"{error.code} {error.read(500).decode(errors='replace')}"
    except OSError as error:
        return str(error)
