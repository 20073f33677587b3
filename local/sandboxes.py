"""Sandboxes as processes: what a Fargate task is on AWS, without a container engine.

A sandbox is the agent, started by `jail.py` in namespaces of its own, with a directory that is its /workspace. This
file prepares that directory, decides what the sandbox may see, and starts, stops and removes it. What runs inside is
the same agent as in the image.

The jail makes its namespaces by system calls, with the rights of root or in a user namespace; neither bubblewrap nor
unshare(1) is needed, since both would do the same calls.
"""

from __future__ import annotations

import contextlib
import enum
import functools
import hashlib
import json
import os
import shutil
import signal
import subprocess
import sys
import threading
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path

from local.home import CHECKOUT, Home

COMMAND_UID = 1000
JAIL = Path(__file__).with_name("jail.py")
AGENT = CHECKOUT / "sandbox" / "agent"
PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"

# Of this machine's /etc, only what programs need to find libraries, names, certificates and time zones.
ETC = (
    "alternatives", "bash.bashrc", "ca-certificates", "debian_version", "gai.conf", "host.conf", "hosts", "inputrc",
    "java", "ld.so.cache", "ld.so.conf", "ld.so.conf.d", "localtime", "magic", "mime.types", "networks",
    "nsswitch.conf", "os-release", "perl", "pki", "profile", "protocols", "resolv.conf", "services", "skel", "ssl",
    "terminfo", "timezone",
)  # fmt: skip


class SandboxFailedError(RuntimeError):
    """The sandbox could not be started."""


@dataclass(frozen=True)
class Limits:
    """What a task asks for, in ECS's units: 1024 of CPU are one processor."""

    cpu: int
    memory_mb: int


@dataclass(frozen=True)
class Ended:
    """What became of a task's container: 128 + the signal if it was killed, and the reason in ECS's words."""

    exit_code: int
    reason: str | None = None


class Isolation(enum.Enum):
    """How far sandboxes are kept from this machine and from each other."""

    ROOT = "root"
    USER = "user namespace"
    NONE = "none"


@functools.cache
def isolation() -> Isolation:
    """The best that this machine allows, found by trying it."""
    for candidate in (Isolation.ROOT, Isolation.USER):
        if (candidate is Isolation.ROOT) == (os.geteuid() == 0) and _is_possible(candidate):
            return candidate
    return Isolation.NONE


def _is_possible(candidate: Isolation) -> bool:
    spec = {"isolation": candidate.value, "probe": True}
    with contextlib.suppress(OSError, subprocess.SubprocessError):
        done = subprocess.run(
            _jail_command(), input=json.dumps(spec), text=True, timeout=10, capture_output=True, check=False
        )
        return done.returncode == 0
    return False


def _jail_command() -> list[str]:
    # -I -S: neither the environment nor installed packages have a say in what is root here.
    return [sys.executable, "-I", "-S", str(JAIL)]


def allowed(environment: Mapping[str, str] = os.environ) -> bool:
    return isolation() is not Isolation.NONE or environment.get("ALLOW_NO_ISOLATION") == "1"


REFUSAL = (
    "This machine allows no namespaces, so a command could read your files and other sandboxes. Run as root, allow "
    "user namespaces (sysctl kernel.unprivileged_userns_clone=1), or accept it with ALLOW_NO_ISOLATION=1."
)


def description() -> str:
    """What holds here and what does not, for the one who starts the stack."""
    if isolation() is Isolation.NONE:
        return "NOT isolated: commands run as you, see your files and each other (ALLOW_NO_ISOLATION=1)."
    apart = (
        "commands run as another user than the agent"
        if isolation() is Isolation.ROOT
        else "commands run as the same user as the agent (start the stack as root to part them)"
    )
    return (
        "isolated processes with process, mount and IPC namespaces, a /workspace, /tmp and /proc of their own; "
        f"{apart}. "
        "Not limited here: CPU, memory, disk and network, which Fargate limits per task."
    )


class Sandbox:
    """One sandbox. `start` and `wait` belong to one thread, which lives as long as the sandbox."""

    def __init__(
        self, home: Home, name: str, session: str, environment: Mapping[str, str], stop_seconds: float
    ) -> None:
        self._home = home
        # Without isolation a command walks the machine's own paths, and the stack's directory is closed to others.
        within = Path("/tmp") if isolation() is Isolation.NONE else home.sandboxes
        self._directory = within / f"filepath-sandbox-{name}"
        self._log = home.logs / f"sandbox-{session or name}.log"
        self._environment = dict(environment)
        self._stop_seconds = stop_seconds
        self._process: subprocess.Popen[bytes] | None = None
        self._woken = threading.Event()

    def start(self) -> None:
        if not allowed():
            raise SandboxFailedError(REFUSAL)
        specification = json.dumps(self._specification()).encode()
        with self._log.open("ab") as log:
            process = subprocess.Popen(
                _jail_command(), stdin=subprocess.PIPE, stdout=log, stderr=log, env={}, start_new_session=True
            )
        # By its input and not by its environment, which anyone who may look into /proc could read.
        assert process.stdin is not None  # noqa: S101 - asked for above
        process.stdin.write(specification)
        process.stdin.close()
        self._process = process
        threading.Thread(target=self._wake_at_end, args=(process,), daemon=True).start()

    def _wake_at_end(self, process: subprocess.Popen[bytes]) -> None:
        process.wait()
        self._woken.set()

    def wake(self) -> None:
        """Have `wait` look at whether it should stop."""
        self._woken.set()

    def wait(self, stopping: threading.Event) -> Ended:
        """How it ended, once it did by itself or was asked to stop."""
        process = self._process
        if process is None:
            raise SandboxFailedError("The sandbox was not started.")
        while process.poll() is None and not stopping.is_set():
            self._woken.wait()
            self._woken.clear()
        if process.poll() is None:
            self._stop(process)
        status = process.wait()
        return Ended(128 - status if status < 0 else status)

    def _stop(self, process: subprocess.Popen[bytes]) -> None:
        process.send_signal(signal.SIGTERM)
        try:
            process.wait(self._stop_seconds)
        except subprocess.TimeoutExpired:
            process.kill()

    def remove(self) -> None:
        shutil.rmtree(self._directory, ignore_errors=True)

    def _specification(self) -> dict[str, object]:
        workspace, temporary, root = (self._directory / name for name in ("workspace", "tmp", "root"))
        for directory in (workspace, temporary, root):
            directory.mkdir(parents=True, exist_ok=True)
        temporary.chmod(0o1777)
        if os.geteuid() == 0:
            os.chown(workspace, COMMAND_UID, COMMAND_UID)
        agent = bundle(self._home)
        return {
            "isolation": isolation().value,
            "root": str(root),
            "binds": _binds(workspace, temporary, agent),
            "files": _accounts(),
            "command": [str(Path(sys.executable).resolve()), "-P", "-m", "agent"],
            "directory": str(workspace) if isolation() is Isolation.NONE else "/workspace",
            "environment": {
                "PATH": PATH,
                "LANG": "C.UTF-8",
                "HOME": "/root",
                "PYTHONPATH": str(agent) if isolation() is Isolation.NONE else "/opt/filepath",
                "PYTHONDONTWRITEBYTECODE": "1",
                "PYTHONUNBUFFERED": "1",
                "FILEPATH_COMMAND_USER": f"{COMMAND_UID}:{COMMAND_UID}",
                **({"FILEPATH_WORKSPACE": str(workspace)} if isolation() is Isolation.NONE else {}),
                **self._environment,
            },
        }


def _binds(workspace: Path, temporary: Path, agent: Path) -> list[tuple[str, str, str]]:
    """What the sandbox sees of this machine: source, path inside, and whether it may write there."""
    system = [(path, path, "ro") for path in ("/usr", *map(str, _real_directories()))]
    system += [(f"/etc/{name}", f"/etc/{name}", "ro") for name in ETC if Path("/etc", name).exists()]
    resolver = Path("/etc/resolv.conf").resolve()
    if resolver.exists() and not resolver.is_relative_to("/etc"):
        system.append((str(resolver), str(resolver), "ro"))
    interpreter = Path(sys.base_prefix)
    if not interpreter.is_relative_to("/usr"):
        system.append((str(interpreter), str(interpreter), "ro"))
    return [
        *system,
        (str(agent), "/opt/filepath", "ro"),
        (str(workspace), "/workspace", "rw"),
        (str(temporary), "/tmp", "rw"),
    ]


def _real_directories() -> list[Path]:
    """/bin and its like, where they are not links into /usr (the jail makes those again)."""
    return [path for path in map(Path, ("/bin", "/sbin", "/lib", "/lib64")) if path.exists() and not path.is_symlink()]


def _accounts() -> dict[str, str]:
    """The users inside: the image's, none of this machine's."""
    return {
        "/etc/passwd": (
            "root:x:0:0:root:/root:/bin/bash\n"
            f"sandbox:x:{COMMAND_UID}:{COMMAND_UID}:sandbox:/workspace:/bin/bash\n"
            "nobody:x:65534:65534:nobody:/nonexistent:/usr/sbin/nologin\n"
        ),
        "/etc/group": f"root:x:0:\ntty:x:5:\nsandbox:x:{COMMAND_UID}:\nnogroup:x:65534:\n",
        "/etc/hostname": "sandbox\n",
    }


_bundling = threading.Lock()


def bundle(home: Home) -> Path:
    """The agent and what it imports, copied out of the checkout; made again when any of it has changed."""
    sources = {"agent": AGENT, "progress": AGENT.with_name("progress"), "websockets": _package("websockets")}
    target = home.directory / "agent" / _digest(sources.values())
    with _bundling:
        if not target.exists():
            half = target.with_suffix(".new")
            shutil.rmtree(half, ignore_errors=True)
            for name, source in sources.items():
                _copy(source, half / name)
            _compile(half)
            half.rename(target)
    return target


def _copy(source: Path, target: Path) -> None:
    """What a link points to is copied too: it may lie outside of what the sandbox sees."""
    if source.is_dir():
        shutil.copytree(source, target, ignore=shutil.ignore_patterns("__pycache__"))
    else:
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy2(source, target)


def _compile(directory: Path) -> None:
    command = [sys.executable, "-m", "compileall", "-q", "--invalidation-mode", "unchecked-hash", str(directory)]
    subprocess.run(command, check=True)


def _package(name: str) -> Path:
    found = find_spec(name)
    if found is None or found.origin is None:
        raise SandboxFailedError(f"The Python package {name} is missing. Run `make setup`.")
    return Path(found.origin).parent


def _digest(directories: Iterable[Path]) -> str:
    digest = hashlib.sha256()
    for directory in directories:
        for path in (directory, *sorted(directory.rglob("*"))):
            if path.is_file() and "__pycache__" not in path.parts:
                digest.update(f"{path}:{path.stat().st_size}:{path.stat().st_mtime_ns}\n".encode())
    return digest.hexdigest()[:20]
