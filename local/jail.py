"""PID 1 of a sandbox: makes its namespaces and its root, runs the agent there, and reaps what is left behind.

A program of its own, standard library only, run with `python -I -S`; `sandboxes.py` gives it a specification as JSON
on its input. It decides nothing: what the sandbox may see is in the specification.

Two processes stay: the outer one, which belongs to the emulator and passes its SIGTERM on, and the inner one, which
is PID 1. The kernel kills the inner one with the outer one, and with PID 1 all that is in its namespace.
"""

from __future__ import annotations

import ctypes
import json
import os
import signal
import socket
import sys
from pathlib import Path
from typing import Any, NoReturn

LIBC = ctypes.CDLL(None, use_errno=True)

CLONE_NEWNS, CLONE_NEWUTS, CLONE_NEWIPC, CLONE_NEWUSER, CLONE_NEWPID = (
    0x20000, 0x4000000, 0x8000000, 0x10000000, 0x20000000,
)  # fmt: skip
MS_RDONLY, MS_NOSUID, MS_NODEV, MS_NOEXEC, MS_REMOUNT, MS_BIND, MS_REC, MS_PRIVATE = (
    0x1, 0x2, 0x4, 0x8, 0x20, 0x1000, 0x4000, 0x40000,
)  # fmt: skip
MNT_DETACH = 2
PR_SET_PDEATHSIG, PR_CAPBSET_DROP = 1, 24

# What the agent needs to run commands as another user and to end them: chown, dac_override, fowner, fsetid, kill,
# setgid, setuid. Docker's default set without what opens networks, devices and other roots.
KEPT_CAPABILITIES = frozenset({0, 1, 3, 4, 5, 6, 7})
LAST_CAPABILITY = 63
INNER_UID = 1000
"""Of the one user that there is in a user namespace."""

DEVICES = ("null", "zero", "full", "random", "urandom", "tty")


def main() -> NoReturn:
    hold_sigterm()
    specification = json.loads(sys.stdin.read())
    die_with_parent()
    isolated = specification["isolation"] != "none"
    if isolated:
        unshare(user_namespace=specification["isolation"] != "root")
    # A new process namespace begins with the next child.
    inner = os.fork()
    if inner:
        sys.exit(wait_for(inner))
    die_with_parent()
    if isolated:
        make_root(specification)
    if specification.get("probe"):
        sys.exit(0)
    if isolated:
        drop_capabilities()
    agent = os.fork()
    if not agent:
        run(specification)
    sys.exit(wait_for(agent))


def hold_sigterm() -> None:
    """Until there is somebody to pass it on to: the kernel drops what PID 1 neither handles nor holds."""
    signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGTERM})


def check(result: int, what: str) -> None:
    if result != 0:
        code = ctypes.get_errno()
        raise OSError(code, f"{what}: {os.strerror(code)}")


def die_with_parent() -> None:
    LIBC.prctl(PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)


def unshare(*, user_namespace: bool) -> None:
    uid, gid = os.geteuid(), os.getegid()
    flags = CLONE_NEWNS | CLONE_NEWUTS | CLONE_NEWIPC | CLONE_NEWPID
    check(LIBC.unshare(flags | (CLONE_NEWUSER if user_namespace else 0)), "unshare")
    if user_namespace:
        Path("/proc/self/setgroups").write_text("deny")
        # The agent finds that it is not root, and runs commands as itself.
        Path("/proc/self/uid_map").write_text(f"{INNER_UID} {uid} 1")
        Path("/proc/self/gid_map").write_text(f"{INNER_UID} {gid} 1")


def mount(source: str, target: str, kind: str | None, flags: int, data: str | None = None) -> None:
    words = [word.encode() if word is not None else None for word in (source, target, kind)]
    detail = data.encode() if data is not None else None
    check(LIBC.mount(*words, ctypes.c_ulong(flags), detail), f"mount {source} on {target}")


def make_root(specification: dict[str, Any]) -> None:
    """A root of its own, which holds what the specification names and nothing else of this machine."""
    mount("none", "/", None, MS_REC | MS_PRIVATE)
    socket.sethostname("sandbox")
    root = specification.get("root") or "/mnt"
    mount("tmpfs", root, "tmpfs", MS_NOSUID | MS_NODEV, "mode=755,size=16m")
    for directory in ("proc", "dev", "root", "run", "tmp", "var/tmp", "workspace", "home"):
        Path(root, directory).mkdir(parents=True)
    link_system_directories(root)
    for source, target, access in specification.get("binds", []):
        bind(source, root + target, read_only=access == "ro")
    for path, content in specification.get("files", {}).items():
        Path(root + path).parent.mkdir(parents=True, exist_ok=True)
        Path(root + path).write_text(content)
    Path(root, "var/tmp").rmdir()
    Path(root, "var/tmp").symlink_to("/tmp")
    mount("tmpfs", f"{root}/run", "tmpfs", MS_NOSUID | MS_NODEV, "mode=755,size=16m")
    make_devices(root)
    mount("proc", f"{root}/proc", "proc", MS_NOSUID | MS_NODEV | MS_NOEXEC)
    enter(root)


def link_system_directories(root: str) -> None:
    """/bin and its like, where they are links into /usr."""
    for name in ("bin", "sbin", "lib", "lib32", "lib64", "libx32"):
        path = Path("/", name)
        if path.is_symlink():
            Path(root, name).symlink_to(path.readlink())


def bind(source: str, target: str, *, read_only: bool) -> None:
    if Path(source).is_dir():
        Path(target).mkdir(parents=True, exist_ok=True)
    else:
        Path(target).parent.mkdir(parents=True, exist_ok=True)
        Path(target).touch()
    mount(source, target, None, MS_BIND | MS_REC)
    # In a user namespace the flags of the mount it comes from are locked, and must be given again.
    locked = os.statvfs(target).f_flag & (os.ST_NOSUID | os.ST_NODEV | os.ST_NOEXEC | os.ST_RDONLY | os.ST_NOATIME)
    flags = MS_REMOUNT | MS_BIND | MS_NOSUID | MS_NODEV | locked
    mount("none", target, None, flags | (MS_RDONLY if read_only else 0))


def make_devices(root: str) -> None:
    devices = Path(root, "dev")
    for name in DEVICES:
        (devices / name).touch()
        mount(f"/dev/{name}", f"{devices}/{name}", None, MS_BIND)
    for name, target in (("fd", "/proc/self/fd"), ("stdin", "fd/0"), ("stdout", "fd/1"), ("stderr", "fd/2")):
        (devices / name).symlink_to(target)
    for name in ("pts", "shm"):
        (devices / name).mkdir()
    mount("devpts", f"{devices}/pts", "devpts", MS_NOSUID | MS_NOEXEC, "newinstance,ptmxmode=0666,mode=620")
    (devices / "ptmx").symlink_to("pts/ptmx")
    mount("tmpfs", f"{devices}/shm", "tmpfs", MS_NOSUID | MS_NODEV, "mode=1777,size=64m")


def enter(root: str) -> None:
    old = f"{root}/.old"
    Path(old).mkdir()
    os.chdir(root)
    check(LIBC.pivot_root(root.encode(), old.encode()), "pivot_root")
    os.chdir("/")
    check(LIBC.umount2(b"/.old", MNT_DETACH), "umount2")
    Path("/.old").rmdir()
    mount("none", "/", None, MS_REMOUNT | MS_BIND | MS_RDONLY | MS_NOSUID | MS_NODEV)


def drop_capabilities() -> None:
    for capability in range(LAST_CAPABILITY + 1):
        if capability not in KEPT_CAPABILITIES:
            # Fails for what this kernel does not know, and for nothing else.
            LIBC.prctl(PR_CAPBSET_DROP, capability, 0, 0, 0)


def run(specification: dict[str, Any]) -> NoReturn:
    os.setsid()
    os.chdir(specification["directory"])
    nothing = os.open("/dev/null", os.O_RDONLY)
    os.dup2(nothing, 0)
    command = specification["command"]
    signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGTERM})
    os.execve(command[0], command, specification["environment"])


def wait_for(child: int) -> int:
    """The exit code of `child`, with SIGTERM passed on to it and every orphan reaped."""
    signal.signal(signal.SIGTERM, lambda *_: os.kill(child, signal.SIGTERM))
    signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGTERM})
    while True:
        pid, status = os.wait()
        if pid == child:
            code = os.waitstatus_to_exitcode(status)
            return 128 - code if code < 0 else code


if __name__ == "__main__":
    main()
