"""The sandbox's image: `sandbox/Dockerfile`, built with the engine of this machine and tagged with what it is made of.

A tag that exists is never built again, and one whose sources have changed is missing: so nothing is ever stale.
Older ones share all but the agent with it, and are left to their owner to remove.
`make image`, or:

    image = build(engine)      # "localhost/filepath-sandbox:0123456789ab"; says its steps while it works

The base is Debian 12 from a registry, or the one named by BASE_IMAGE. Where no registry can be reached it is
made by debootstrap, as root, from where this machine gets its own packages.
"""

from __future__ import annotations

import hashlib
import os
import shutil
import subprocess
import tempfile
from collections.abc import Iterator, Mapping
from pathlib import Path

from local.engine import CALL_SECONDS, Engine, EngineFailedError
from local.home import CHECKOUT
from local.steps import console, step

REPOSITORY = "localhost/filepath-sandbox"
DOCKERFILE = CHECKOUT / "sandbox" / "Dockerfile"
SOURCES = ("sandbox/Dockerfile", "sandbox/agent", "sandbox/progress", "sandbox/requirements.txt")
"""What the image is made of, as Dockerfile.dockerignore lets it through; protocol.py by the link in the agent."""

DEBIAN = "bookworm"
PUBLISHED_BASE = "docker.io/library/debian:12-slim"
OWN_BASE = f"localhost/filepath-base:{DEBIAN}"
MIRROR = "http://deb.debian.org/debian"
CERTIFICATES = Path("/usr/local/share/ca-certificates")
PULL_SECONDS = 300.0


class NoImageError(Exception):
    """The image cannot be had here. The message says why, and what to do."""


def tag(environment: Mapping[str, str] = os.environ, checkout: Path = CHECKOUT) -> str:
    digest = hashlib.sha256(environment.get("BASE_IMAGE", "").encode())
    for path in _sources(checkout):
        digest.update(f"{path.relative_to(checkout)}\0{path.stat().st_mode & 0o111}\0".encode() + path.read_bytes())
    return f"{REPOSITORY}:{digest.hexdigest()[:12]}"


def _sources(checkout: Path) -> Iterator[Path]:
    for source in (checkout / name for name in SOURCES):
        for path in [source] if source.is_file() else sorted(source.rglob("*")):
            if path.is_file() and "__pycache__" not in path.parts:
                yield path


def build(engine: Engine, environment: Mapping[str, str] = os.environ) -> str:
    """The image's tag, once it is there. Raises NoImageError."""
    wanted = tag(environment)
    if not engine.has("image", wanted):
        own_base = base(engine, environment)
        with step(f"Building the sandbox's image on {own_base}"):
            words = ["build", "--file", str(DOCKERFILE), "--tag", wanted, *build_options(engine, own_base, environment)]
            _follow(engine, engine.command(*words, str(CHECKOUT)))
    return wanted


def build_options(engine: Engine, base_image: str, environment: Mapping[str, str]) -> list[str]:
    """What a build takes here that it does not take everywhere."""
    words = ["--network", "host", "--build-arg", f"BASE_IMAGE={base_image}"]
    if index := environment.get("PIP_INDEX_URL"):
        words += ["--build-arg", f"PIP_INDEX_URL={index}"]
    if engine.is_podman:
        # Without a runtime's help, which is not to be had everywhere; and a company's certificates are the image's
        # business only while it is built.
        words += ["--isolation", "chroot"]
        words += ["--volume", f"{CERTIFICATES}:{CERTIFICATES}:ro"] if _has_certificates() else []
    return words


def _has_certificates() -> bool:
    return any(CERTIFICATES.glob("*.crt"))


def _follow(engine: Engine, command: list[str]) -> None:
    """Says each step as it begins. Raises NoImageError with the last lines of a build that failed."""
    environment = {**engine.environment, "BUILDKIT_PROGRESS": "plain"}
    said: list[str] = []
    with subprocess.Popen(
        command, env=environment, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    ) as building:
        for line in building.stdout or ():
            said = [*said[-30:], line.rstrip()]
            if line.startswith(("STEP ", "[1/2] STEP ", "[2/2] STEP ")) or line.partition(" ")[2].startswith("["):
                console.print(f"    [dim]{_shortened(line)}[/]", markup=True)
    if building.returncode != 0:
        raise NoImageError("the image could not be built:\n\n" + "\n".join(said))


def _shortened(line: str) -> str:
    text = " ".join(line.split()).replace("[", "(").replace("]", ")")
    return text if len(text) <= 100 else f"{text[:99]}…"


# The base


def base(engine: Engine, environment: Mapping[str, str]) -> str:
    if named := environment.get("BASE_IMAGE"):
        return named
    for known in (PUBLISHED_BASE, OWN_BASE):
        if engine.has("image", known):
            return known
    try:
        with step(f"Pulling {PUBLISHED_BASE}"):
            engine.run("pull", "--quiet", PUBLISHED_BASE, seconds=PULL_SECONDS)
    except EngineFailedError as error:
        return _bootstrapped(engine, str(error))
    return PUBLISHED_BASE


def _bootstrapped(engine: Engine, unreachable: str) -> str:
    if os.geteuid() != 0 or shutil.which("debootstrap") is None:
        raise NoImageError(
            f"its base cannot be pulled ({unreachable}), and making one takes root and debootstrap. "
            "Name a base that is here: BASE_IMAGE=…"
        )
    console.print(f"  [dim]{PUBLISHED_BASE} cannot be pulled here.[/]")
    with step(f"Making a base of Debian's packages ({DEBIAN})"), tempfile.TemporaryDirectory() as directory:
        root = Path(directory) / "root"
        _do(["debootstrap", "--variant=minbase", DEBIAN, str(root), _mirror()])
        # What apt keeps for another installation is in nobody's way but the image's.
        for kept in ("var/cache/apt/archives", "var/lib/apt/lists"):
            shutil.rmtree(root / kept, ignore_errors=True)
            (root / kept / "partial").mkdir(parents=True)
        archive = Path(directory) / "root.tar"
        _do(["tar", "--create", "--file", str(archive), "--directory", str(root), "--one-file-system", "."])
        engine.run("import", str(archive), OWN_BASE, seconds=CALL_SECONDS)
    return OWN_BASE


def _do(command: list[str]) -> None:
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        said = (done.stderr or done.stdout).splitlines()[-10:]
        raise NoImageError(f"{command[0]} failed:\n\n" + "\n".join(said))


def _mirror() -> str:
    """Where this machine's own apt gets Debian's packages."""
    command = ["apt-get", "indextargets", "--format", "$(RELEASE) $(REPO_URI)", "Created-By: Packages"]
    try:
        listed = subprocess.run(command, capture_output=True, text=True, check=False).stdout
    except OSError:
        return MIRROR
    sources = dict(line.split(" ", 1) for line in listed.splitlines() if " " in line)
    return sources.get(DEBIAN, MIRROR)
