"""The container engine of this machine: which one there is, and how to call it.

By its command line, which docker and podman have in common and which needs no service in the background. What is run
with it is said in `image.py` and `containers.py`.

    engine = find(Home.from_environment())      # raises NoEngineError, which says why
    engine.run("image", "ls")                   # raises EngineFailedError with the engine's own words
    subprocess.run(engine.command("pull", …), env=engine.environment)
"""

from __future__ import annotations

import os
import re
import resource
import shutil
import subprocess
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from local.home import Home

ASKING_SECONDS = 20.0
CALL_SECONDS = 120.0
OPEN_FILES = 65_535
"""As Fargate has it."""


class NoEngineError(Exception):
    """This machine has no container engine that could be used. The message says why."""


class EngineFailedError(RuntimeError):
    """The engine refused a call. The message is its own."""


@dataclass(frozen=True)
class Engine:
    program: str
    environment: Mapping[str, str] = field(repr=False)

    @property
    def is_podman(self) -> bool:
        return self.program == "podman"

    def command(self, *words: str) -> list[str]:
        return [self.program, *words]

    def run(self, *words: str, given: str | None = None, seconds: float | None = CALL_SECONDS) -> str:
        """What it printed. Raises EngineFailedError."""
        done = _called(self.command(*words), self.environment, given, seconds)
        if done.returncode != 0:
            raise EngineFailedError(f"{self.program} {words[0]}: {_last_words(done)}")
        return done.stdout

    def has(self, kind: str, name: str) -> bool:
        """Whether there is an image, a container or a network of this name."""
        return _called(self.command(kind, "inspect", name), self.environment, None, CALL_SECONDS).returncode == 0


def find(home: Home, environment: Mapping[str, str] = os.environ) -> Engine:
    """Docker where its daemon answers, else podman. Raises NoEngineError."""
    reasons = []
    for look in (_docker, _podman):
        try:
            return look(home, environment)
        except (NoEngineError, EngineFailedError) as error:
            reasons.append(str(error))
    raise NoEngineError("; ".join(reasons))


def user_limits() -> dict[str, int]:
    """Of a container's processes. Podman sets higher ones, and fails where it may not; its own it sets to pid_max."""
    usual = {
        "nofile": (resource.RLIMIT_NOFILE, OPEN_FILES),
        "nproc": (resource.RLIMIT_NPROC, int(Path("/proc/sys/kernel/pid_max").read_text())),
    }
    own = {name: resource.getrlimit(which)[1] for name, (which, _) in usual.items()}
    return {name: limit if own[name] < 0 else min(limit, own[name]) for name, (_, limit) in usual.items()}


def _docker(_home: Home, environment: Mapping[str, str]) -> Engine:
    engine = Engine("docker", _installed("docker", environment))
    host = environment.get("DOCKER_HOST") or engine.run(
        "context", "inspect", "--format", "{{.Endpoints.docker.Host}}", seconds=ASKING_SECONDS
    )
    if not host.strip().startswith("unix://"):
        raise NoEngineError(f"docker is on another machine ({host.strip()}), from where the stack cannot be reached")
    engine.run("version", "--format", "{{.Server.Version}}", seconds=ASKING_SECONDS)
    return engine


def _podman(home: Home, environment: Mapping[str, str]) -> Engine:
    own = _installed("podman", environment)
    engine = Engine("podman", {**own, **_configuration(home.directory / "containers.conf", own)})
    engine.run("version", seconds=ASKING_SECONDS)
    return engine


def _installed(program: str, environment: Mapping[str, str]) -> dict[str, str]:
    """Of the environment what concerns an engine: where its daemon, its files and its registries are."""
    if shutil.which(program, path=environment.get("PATH")) is None:
        raise NoEngineError(f"{program} is not installed")
    return {name: value for name, value in environment.items() if _CONCERNS.fullmatch(name)}


_CONCERNS = re.compile(
    "PATH|HOME|USER|DOCKER_.*|CONTAINERS_.*|CONTAINER_HOST|BUILDAH_.*|XDG_.*|SSL_CERT_.*|(?i:(https?|no|all)_proxy)"
)


def _configuration(file: Path, environment: Mapping[str, str]) -> dict[str, str]:
    """What podman has to be told on this machine. A file that its owner wrote for podman stays in force."""
    settings = _settings()
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text("\n".join(line for table, lines in settings.items() for line in (f"[{table}]", *lines, "")))
    homes = Path(environment.get("XDG_CONFIG_HOME") or Path(environment.get("HOME", "/root"), ".config"))
    is_configured = "CONTAINERS_CONF" in environment or any(
        folder.joinpath("containers/containers.conf").exists() for folder in (Path("/etc"), homes)
    )
    # Podman before 4.4 knows only the first, which stands in place of all other files.
    return {"CONTAINERS_CONF_OVERRIDE" if is_configured else "CONTAINERS_CONF": str(file)}


def _settings() -> dict[str, list[str]]:
    engine = []
    if not Path("/run/systemd/system").exists():
        engine += ['cgroup_manager = "cgroupfs"', 'events_logger = "file"']
    # crun refuses a machine with control groups of both versions.
    if not Path("/sys/fs/cgroup/cgroup.controllers").exists() and shutil.which("runc", path=_SYSTEM_PATH):
        engine.append('runtime = "runc"')
    limits = [f'"{name}={limit}:{limit}"' for name, limit in user_limits().items()]
    containers = [f"default_ulimits = [{', '.join(limits)}]"]
    return {"containers": containers, **({"engine": engine} if engine else {})}


_SYSTEM_PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"


def _called(
    command: list[str], environment: Mapping[str, str], given: str | None, seconds: float | None
) -> subprocess.CompletedProcess[str]:
    try:
        return subprocess.run(
            command, env=dict(environment), input=given if given is not None else "", text=True, capture_output=True,
            timeout=seconds, check=False, cwd=tempfile.gettempdir(),  # where conmon leaves a file at an OOM kill
        )  # fmt: skip
    except subprocess.TimeoutExpired:
        raise EngineFailedError(f"{' '.join(command[:2])} did not answer in {seconds:.0f} s") from None
    except OSError as error:
        raise EngineFailedError(f"{command[0]} cannot be run: {error.strerror}") from None


def _last_words(done: subprocess.CompletedProcess[str]) -> str:
    lines = [line for line in done.stderr.splitlines() if line.strip()]
    return lines[-1].strip() if lines else f"exit code {done.returncode}"
