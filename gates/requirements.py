"""The locked requirements are those of pyproject.toml, agree with each other, and name no host.

Judged from the files alone, so that it also holds where no package index can be reached.
"""

import re
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from gates.finding import Finding

# Each locked file, with the sources it is compiled from: a pyproject.toml and its dependency groups.
ROOT = "pyproject.toml"
LOCKED: dict[str, list[tuple[str, str | None]]] = {
    "requirements/dev.txt": [
        (ROOT, None),
        (ROOT, "dev"),
        (ROOT, "emulator"),
        (ROOT, "sandbox"),
        ("sdk/python/pyproject.toml", None),
    ],
    "layers/common/requirements.txt": [(ROOT, None)],
    "sandbox/requirements.txt": [(ROOT, "sandbox")],
    "tests/local/lambda/requirements.txt": [(ROOT, "lambda")],
    "requirements/sam.txt": [(ROOT, "sam")],
    "requirements/uv.txt": [(ROOT, "uv")],
    "requirements/swe-rex.txt": [(ROOT, "swe-rex")],
    "requirements/openhands.txt": [(ROOT, "openhands")],
}
# These are installed side by side, or stand for each other in tests.
SAME_VERSIONS = ("requirements/dev.txt", "layers/common/requirements.txt", "sandbox/requirements.txt")
PIN = re.compile(r"^(?P<name>[A-Za-z0-9._-]+)==(?P<version>[^\s;\\]+)")
VIA = re.compile(r"^\s+#(?: via)?\s+(?P<package>\S+) \((?P<source>[^)]+)\)$")
ADDRESS = re.compile(r"[a-z+]+://|^--(?:extra-)?(?:index-url|find-links)|^-[if] ", re.IGNORECASE)


def locked_requirements_are_current(root: Path) -> Iterator[Finding]:
    for name, sources in LOCKED.items():
        wanted = [(item, label) for file, group in sources for item, label in declared(root, file, group)]
        yield from unmet(Path(name), read_pins(root / name), wanted)
        yield from left_over(root / name, Path(name), wanted)


def unmet(name: Path, pins: dict[str, set[str]], wanted: list[tuple[Requirement, str]]) -> Iterator[Finding]:
    for requirement, label in wanted:
        versions = pins.get(canonicalize_name(requirement.name), set())
        if not any(requirement.specifier.contains(version, prereleases=True) for version in versions):
            locked = ", ".join(versions) or "not there"
            yield Finding(name, 1, f"is stale: {label} wants {requirement}, locked is {locked}: make lock")


def left_over(path: Path, name: Path, wanted: list[tuple[Requirement, str]]) -> Iterator[Finding]:
    """A dependency that was taken out of its source still says in the locked file who asked for it."""
    asked = {(canonicalize_name(requirement.name), label) for requirement, label in wanted}
    package = ""
    for number, line in enumerate(path.read_text().splitlines(), 1):
        if pin := PIN.match(line):
            package = canonicalize_name(pin["name"])
        elif (via := VIA.match(line)) and (package, via["source"]) not in asked:
            yield Finding(name, number, f"is stale: {via['source']} no longer asks for {package}: make lock")


def locked_requirements_agree(root: Path) -> Iterator[Finding]:
    pins = {name: read_pins(root / name) for name in SAME_VERSIONS}
    largest = pins.pop(SAME_VERSIONS[0])
    for name, others in pins.items():
        for package, versions in others.items():
            if largest.get(package) != versions:
                message = f"{package} {versions} is {largest.get(package)} in {SAME_VERSIONS[0]}: make lock"
                yield Finding(Path(name), 1, message)


def locked_requirements_name_no_host(root: Path) -> Iterator[Finding]:
    for name in LOCKED:
        for number, line in enumerate((root / name).read_text().splitlines(), 1):
            if ADDRESS.search(line):
                yield Finding(Path(name), number, "names an address; who installs chooses the package index")


def declared(root: Path, file: str, group: str | None) -> Iterator[tuple[Requirement, str]]:
    table: dict[str, Any] = tomllib.loads((root / file).read_text())
    entries = table["dependency-groups"][group] if group else table["project"].get("dependencies", [])
    for entry in entries:
        yield Requirement(entry), f"{file}:{group}" if group else file


def read_pins(path: Path) -> dict[str, set[str]]:
    pins: dict[str, set[str]] = {}
    for line in path.read_text().splitlines():
        if pin := PIN.match(line):
            pins.setdefault(canonicalize_name(pin["name"]), set()).add(pin["version"])
    return pins
