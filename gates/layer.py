"""What is in a built layer fits the Python and the processor that the template runs it on.

Judged by what wheels say of themselves and by the names of compiled modules, wherever `sam build` has left a layer. A
layer that does not fit is imported by every test of this machine's Python, and fails at the first call in Lambda.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

from packaging.tags import Tag, compatible_tags, cpython_tags, parse_tag

from gates.finding import Finding
from gates.template import ARCHITECTURES, architectures, read_template

# Lambda's, by runtime: Amazon Linux 2 up to Python 3.11, Amazon Linux 2023 from 3.12 on.
OLDER_GLIBC, NEWER_GLIBC = 26, 34
COMPILED = re.compile(r"\.(?:cpython-(?P<python>\d+)-(?P<machine>\w+)-linux-gnu|abi3)\.so$")


def built_layers_fit_the_template(root: Path) -> Iterator[Finding]:
    template = read_template(root)
    runtime = template["Parameters"]["PythonRuntime"]["Default"]
    for build in (".aws-sam/build", f".aws-sam/{runtime}/build"):
        for architecture in sorted(architectures(template)):
            site, version = root / build / "CommonLayer" / "python", runtime.removeprefix("python")
            for path, message in misfits(site, version, ARCHITECTURES[architecture].rstrip("-")):
                yield Finding(path.relative_to(root), 1, message)


def misfits(site: Path, version: str, machine: str) -> Iterator[tuple[Path, str]]:
    fitting = tags_of_lambda(version, machine)
    for wheel in sorted(site.glob("*.dist-info/WHEEL")):
        tags = {tag for text in re.findall(r"^Tag: (\S+)$", wheel.read_text(), re.MULTILINE) for tag in parse_tag(text)}
        if not tags & fitting:
            said = ", ".join(sorted(map(str, tags)))
            yield wheel, f"is for {said}, which Python {version} on Lambda's {machine} cannot load"
    for module in sorted(site.rglob("*.so")):
        found = COMPILED.search(module.name)
        if found and found["python"] and (found["python"], found["machine"]) != (version.replace(".", ""), machine):
            yield module, f"is compiled for another Python or processor than {version} on {machine}"


def tags_of_lambda(version: str, machine: str) -> set[Tag]:
    python = tuple(map(int, version.split(".")))
    glibc = NEWER_GLIBC if python >= (3, 12) else OLDER_GLIBC
    platforms = [f"manylinux_2_{minor}_{machine}" for minor in range(glibc, 16, -1)]
    platforms += [f"manylinux2014_{machine}", f"linux_{machine}"]
    return {
        *cpython_tags(python, platforms=platforms),
        *compatible_tags(python, interpreter=f"cp{version.replace('.', '')}", platforms=platforms),
    }
