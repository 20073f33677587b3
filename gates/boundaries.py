"""Who may know what: AWS, the environment, the emulator, third-party packages.

How the layer's modules depend on each other is said by the import contracts in pyproject.toml.
"""

import ast
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

from gates.finding import Finding

LAYER = Path("layers/common")
SOURCES = (
    "deploy",
    "functions",
    "layers/common/filepath",
    "layers/common/Makefile",
    "sandbox",
    "sdk",
    "statemachines",
    "template.yaml",
)
TEXT = {".py", ".yaml", ".yml", ".json", ".toml", ".sh", ".js", ".ts", ".html", ""}
EMULATOR = re.compile(
    # By name, by host, by port (the emulator's, the doors'), by a path that AWS does not have.
    r"\b(ministack|localstack|moto|emulator|localhost|127\.0\.0\.1|host\.(?:docker|containers)\.internal|4566|808[01])\b"
    r"|\[::1\]|/_aws/|/_local\b|FILEPATH_LOCAL",
    re.IGNORECASE,
)
OURS = ("layers/common/filepath", "functions", "sandbox/agent", "sdk/python/src", "deploy")
HEAVY = ("fastapi", "pydantic", "starlette", "mangum")


def only_the_aws_package_imports_boto3(root: Path) -> Iterator[Finding]:
    package = root / LAYER / "filepath"
    for path in python_files(package):
        if path.is_relative_to(package / "aws"):
            continue
        for name, line in imports(path):
            if name.split(".")[0] in {"boto3", "botocore"}:
                yield Finding(path.relative_to(root), line, f"imports {name}; only filepath/aws/ calls AWS")


def only_settings_read_the_environment(root: Path) -> Iterator[Finding]:
    for folder in (LAYER / "filepath", Path("functions"), Path("sandbox/agent")):
        for path in python_files(root / folder):
            if path.name == "settings.py":
                continue
            for node in ast.walk(parse(path)):
                if reads_environment(node):
                    message = "reads the environment; let settings.py read it and pass the value"
                    yield Finding(path.relative_to(root), getattr(node, "lineno", 1), message)


def reads_environment(node: ast.AST) -> bool:
    match node:
        case ast.Attribute(value=ast.Name(id="os"), attr="environ" | "environb" | "getenv"):
            return True
        case ast.ImportFrom(module="os", names=names):
            return any(name.name in {"environ", "environb", "getenv"} for name in names)
    return False


def nothing_deployed_knows_the_emulator(root: Path) -> Iterator[Finding]:
    for path in (file for source in SOURCES for file in files_of(root / source)):
        for number, text in enumerate(path.read_text(errors="replace").splitlines(), 1):
            if not text.lstrip().startswith("--hash=") and (found := EMULATOR.search(text)):
                message = f"says {found.group()!r}; what differs on one machine is a parameter, set by local/"
                yield Finding(path.relative_to(root), number, message)


def nothing_but_tests_imports_what_is_not_deployed(root: Path) -> Iterator[Finding]:
    for path in (path for source in OURS for path in python_files(root / source)):
        for name, line in imports(path):
            if name.split(".")[0] in {"local", "tests", "benchmarks"}:
                yield Finding(path.relative_to(root), line, f"imports {name}, which is there for this machine alone")


def the_protocol_is_standard_library_only(root: Path) -> Iterator[Finding]:
    yield from foreign_imports(root, [root / LAYER / "filepath/protocol.py"], set())


def the_agent_needs_only_websockets(root: Path) -> Iterator[Finding]:
    yield from foreign_imports(root, python_files(root / "sandbox/agent"), {"agent", "websockets"})


def foreign_imports(root: Path, paths: list[Path], allowed: set[str]) -> Iterator[Finding]:
    for path in paths:
        for name, line in imports(path):
            if name.split(".")[0] not in sys.stdlib_module_names | allowed:
                yield Finding(path.relative_to(root), line, f"imports {name}; the sandbox must not need it")


# What is in sys.modules after the import, asked in a process of its own with what the function has in Lambda.
PROBE = "import sys, handler; print(*sorted(set(sys.argv[1:]) & set(sys.modules)))"


def the_agents_function_starts_light(root: Path) -> Iterator[Finding]:
    folder = root / "functions/agents"
    environment = {
        "PYTHONPATH": f"{folder}:{root / LAYER}",
        "AWS_DEFAULT_REGION": "us-east-1",
        "AWS_REGION": "us-east-1",
    }
    command = [sys.executable, "-c", PROBE, *HEAVY]
    probe = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=60, check=False)
    path = Path("functions/agents/handler.py")
    if probe.returncode:
        yield Finding(path, 1, f"cannot be imported: {probe.stderr.strip().splitlines()[-1]}")
    elif heavy := probe.stdout.strip():
        yield Finding(path, 1, f"imports {heavy}, if only through the layer: its cold start doubles")


def imports(path: Path) -> Iterator[tuple[str, int]]:
    """Names of the modules a file imports absolutely, anywhere in it, with their lines."""
    for node in ast.walk(parse(path)):
        if isinstance(node, ast.Import):
            yield from ((alias.name, node.lineno) for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
            yield node.module, node.lineno


def parse(path: Path) -> ast.Module:
    return ast.parse(path.read_text(), filename=str(path))


def python_files(folder: Path) -> list[Path]:
    return [path for path in files_of(folder) if path.suffix == ".py"]


def files_of(source: Path) -> list[Path]:
    """Text files at or below a path, links and what tools write left out."""
    if source.is_file():
        return [source]
    inside = (path for path in sorted(source.rglob("*")) if path.is_file() and path.suffix in TEXT)
    return [path for path in inside if not any(part in {"__pycache__", "node_modules"} for part in path.parts)]
