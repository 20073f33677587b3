"""Sandboxes as containers: what a Fargate task is on AWS, by the container engine of this machine.

The image is the one that goes to AWS, and the limits are those that the task asks for. What the engine cannot do for a
container here is found out by trying, before the first session asks for it (`tried`).
"""

from __future__ import annotations

import contextlib
import json
import os
import selectors
import subprocess
import sys
import threading
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path

from local.engine import Engine, EngineFailedError, user_limits
from local.home import Home
from local.kernel_log import was_root_killed_for_memory
from local.passage import READY
from local.sandboxes import Ended, Limits, SandboxFailedError

NETWORK = "filepath-sandboxes"
STACK_LABEL = "filepath.stack"
PASSAGE = Path(__file__).with_name("passage.py")
PASSAGE_SECONDS = 10.0
LAST_WORDS_SECONDS = 2.0

PROCESSES = 4096
CAPABILITIES = ("CHOWN", "DAC_OVERRIDE", "FOWNER", "FSETID", "KILL", "SETGID", "SETUID")
"""What the agent needs to run commands as another user and to end them; of ECS's default no more."""
OUT_OF_MEMORY = "OutOfMemoryError: Container killed due to memory usage"
"""As ECS words it."""

_TRIED_MEMORY_MB, _TRIED_PROCESSES = 96, 111
_READ_LIMITS = """
for file in /sys/fs/cgroup/memory.max /sys/fs/cgroup/memory/memory.limit_in_bytes; do
  test -r $file && cat $file && break; done
for file in /sys/fs/cgroup/pids.max /sys/fs/cgroup/pids/pids.max; do test -r $file && cat $file && break; done
"""


@dataclass(frozen=True)
class Containers:
    """How this stack's containers are made. Kept in a file, where the emulator finds it."""

    engine: Engine
    image: str
    has_own_network: bool

    def to_json(self) -> str:
        return json.dumps(asdict(self))

    @classmethod
    def from_json(cls, text: str) -> Containers:
        content = json.loads(text)
        return cls(Engine(**content["engine"]), content["image"], content["has_own_network"])

    def description(self) -> str:
        network = (
            "they reach the internet, and of this machine the sandbox door alone"
            if self.has_own_network
            else "the network is NOT isolated, they reach what listens here (root, with iproute2, parts them)"
        )
        return (
            f"containers of {self.engine.program} from {self.image}; CPU, memory and processes are limited as a "
            f"session asks; {network}. Not limited: disk."
        )


def tried(engine: Engine, image: str) -> Containers:
    """Raises EngineFailedError where no container runs, or its limits are not in force."""
    containers = Containers(engine, image, _own_network(engine))
    words = _options(containers, Limits(cpu=1, memory_mb=_TRIED_MEMORY_MB), _TRIED_PROCESSES)
    said = engine.run("run", "--rm", *words, "--entrypoint", "/bin/sh", image, "-c", _READ_LIMITS)
    if said.split() != [str(_TRIED_MEMORY_MB << 20), str(_TRIED_PROCESSES)]:
        raise EngineFailedError(f"{engine.program} runs containers, but without limits on memory and processes")
    return containers


def _own_network(engine: Engine) -> bool:
    """Whether there is a network for the containers alone, and the right to carry them over to the sandbox door."""
    if os.geteuid() != 0:
        return False
    try:
        if not engine.has("network", NETWORK):
            parted = ("--disable-dns",) if engine.is_podman else ("-o", "com.docker.network.bridge.enable_icc=false")
            engine.run("network", "create", *parted, NETWORK)
        subprocess.run(["ip", "address"], check=True, capture_output=True)
    except (EngineFailedError, OSError, subprocess.CalledProcessError):
        return False
    return True


def _options(containers: Containers, limits: Limits, processes: int = PROCESSES) -> list[str]:
    """Of every container, also of the one that is only tried."""
    return [
        *("--init", "--hostname=sandbox", "--pull=never"),
        *_limits(limits, processes),
        *(f"--ulimit={name}={limit}:{limit}" for name, limit in user_limits().items()),
        *_security(),
        *_network(containers),
    ]


def _limits(limits: Limits, processes: int) -> list[str]:
    # An engine refuses more processors than there are.
    cpus = min(limits.cpu / 1024, float(os.cpu_count() or 1))
    memory = f"{limits.memory_mb}m"
    return [
        f"--cpus={max(cpus, 0.01):.2f}",
        f"--memory={memory}",
        f"--memory-swap={memory}",
        f"--pids-limit={processes}",
    ]


def _security() -> list[str]:
    return ["--security-opt=no-new-privileges", "--cap-drop=ALL", *(f"--cap-add={name}" for name in CAPABILITIES)]


def _network(containers: Containers) -> list[str]:
    if not containers.has_own_network:
        return ["--network=host"]
    # The passage closes ways by their IPv4 addresses; the network has no others, but for link-local ones.
    has_ipv6 = Path("/proc/sys/net/ipv6").exists()
    return [f"--network={NETWORK}", *(["--sysctl=net.ipv6.conf.all.disable_ipv6=1"] if has_ipv6 else [])]


def remove_all(containers: Containers, home: Home) -> None:
    """Whatever is left of this stack's containers: after a crash, nobody else removes them."""
    engine = containers.engine
    with contextlib.suppress(EngineFailedError):
        left = engine.run("ps", "--all", "--quiet", "--filter", f"label={STACK_LABEL}={home.directory}").split()
        if left:
            engine.run("rm", "--force", "--volumes", *left)


class Container:
    """One sandbox. `start` and `wait` belong to one thread, which lives as long as the sandbox."""

    def __init__(
        self,
        home: Home,
        containers: Containers,
        name: str,
        session: str,
        environment: Mapping[str, str],
        limits: Limits,
        stop_seconds: float,
    ) -> None:
        self._home = home
        self._containers = containers
        self._engine = containers.engine
        self._name = f"filepath-sandbox-{name}"
        self._id = ""
        self._session = session
        self._log = home.logs / f"sandbox-{session or name}.log"
        self._environment = dict(environment)
        self._limits = limits
        self._stop_seconds = stop_seconds
        self._passage: subprocess.Popen[str] | None = None
        self._following: subprocess.Popen[bytes] | None = None
        self._ended: threading.Thread | None = None
        self._woken = threading.Event()

    def start(self) -> None:
        try:
            self._create()
            self._engine.run("start", self._name)
            if self._containers.has_own_network:
                self._open_passage()
        except EngineFailedError as error:
            raise SandboxFailedError(str(error)) from error
        self._follow_log()
        self._ended = threading.Thread(target=self._wake_at_end, daemon=True)
        self._ended.start()

    def _create(self) -> None:
        """The environment goes by a file: arguments can be read by anyone on this machine."""
        file = self._home.sandboxes / f"{self._name}.env"
        with os.fdopen(os.open(file, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "w") as content:
            content.writelines(f"{name}={value}\n" for name, value in self._environment.items())
        try:
            self._id = self._engine.run(
                "create", "--name", self._name, "--env-file", str(file),
                f"--label={STACK_LABEL}={self._home.directory}", f"--label=filepath.session={self._session}",
                *_options(self._containers, self._limits), self._containers.image,
            ).strip()  # fmt: skip
        finally:
            file.unlink()

    def _open_passage(self) -> None:
        pid = self._state("Pid")
        if pid in ("", "0"):
            return  # it has ended already, and is told by its exit code
        command = [sys.executable, "-I", "-S", str(PASSAGE), pid, str(self._home.sandbox_port)]
        with self._log.open("ab") as log:
            self._passage = subprocess.Popen(
                command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=log, text=True,
                start_new_session=True,
            )  # fmt: skip
        if not _says(self._passage, READY, PASSAGE_SECONDS) and self._state("Running") == "true":
            raise SandboxFailedError(f"The container's network could not be set up; {self._log} says why.")

    def _follow_log(self) -> None:
        with self._log.open("ab") as log:
            self._following = subprocess.Popen(
                self._engine.command("logs", "--follow", self._name), env=dict(self._engine.environment),
                stdin=subprocess.DEVNULL, stdout=log, stderr=log, start_new_session=True,
            )  # fmt: skip

    def _wake_at_end(self) -> None:
        while self._state("Running") == "true":
            with contextlib.suppress(EngineFailedError):
                self._engine.run("wait", self._name, seconds=None)
        self._woken.set()

    def wake(self) -> None:
        """Have `wait` look at whether it should stop."""
        self._woken.set()

    def wait(self, stopping: threading.Event) -> Ended:
        """How it ended, once it did by itself or was asked to stop."""
        ended = self._ended
        if ended is None:
            raise SandboxFailedError("The sandbox was not started.")
        while ended.is_alive() and not stopping.is_set():
            self._woken.wait()
            self._woken.clear()
        if ended.is_alive():
            self._stop()
        ended.join()
        return self._how_it_ended()

    def _stop(self) -> None:
        seconds = str(round(self._stop_seconds))
        with contextlib.suppress(EngineFailedError):  # it has just ended
            self._engine.run("stop", "--time", seconds, self._name, seconds=self._stop_seconds + 30)

    def _how_it_ended(self) -> Ended:
        exit_code = int(self._state("ExitCode") or 137)
        # An engine says so of a container in which anything was ever killed for memory: only here it was the agent.
        if exit_code == 137 and (self._state("OOMKilled") == "true" or was_root_killed_for_memory(self._id)):
            return Ended(exit_code, OUT_OF_MEMORY)
        return Ended(exit_code)

    def _state(self, field: str) -> str:
        """Empty where somebody has removed the container."""
        try:
            return self._engine.run("inspect", "--format", f"{{{{.State.{field}}}}}", self._name).strip()
        except EngineFailedError:
            return ""

    def remove(self) -> None:
        if self._following:
            # It ends by itself, with the container and after its last line.
            with contextlib.suppress(subprocess.TimeoutExpired):
                self._following.wait(LAST_WORDS_SECONDS)
        for companion in (self._following, self._passage):
            if companion:
                companion.kill()
                companion.communicate()
        self._following = self._passage = None
        with contextlib.suppress(EngineFailedError):
            self._engine.run("rm", "--force", "--volumes", self._name)


def _says(process: subprocess.Popen[str], line: str, seconds: float) -> bool:
    assert process.stdout is not None  # noqa: S101 - asked for by its starter
    with selectors.DefaultSelector() as selector:
        selector.register(process.stdout, selectors.EVENT_READ)
        return bool(selector.select(seconds)) and process.stdout.readline() == line
