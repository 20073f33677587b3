"""The shape of template.yaml and the handlers, and what template and layer must agree on."""

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import yaml

from gates.boundaries import python_files
from gates.finding import Finding

TEMPLATE = Path("template.yaml")
LAYER_MAKEFILE = Path("layers/common/Makefile")
LONGEST_TEMPLATE = 700
LONGEST_HANDLER = 60
DATA = ("AWS::DynamoDB::Table", "AWS::S3::Bucket")
ARCHITECTURES = {"x86_64": "x86_64-", "arm64": "aarch64-"}


def the_template_is_short(root: Path) -> Iterator[Finding]:
    if (lines := line_count(root / TEMPLATE)) >= LONGEST_TEMPLATE:
        yield Finding(TEMPLATE, lines, f"has {lines} lines, not under {LONGEST_TEMPLATE}: it is read in one go")


def handlers_are_thin(root: Path) -> Iterator[Finding]:
    for path in sorted((root / "functions").glob("*/*.py")):
        if (lines := line_count(path)) > LONGEST_HANDLER:
            message = f"has {lines} lines, over {LONGEST_HANDLER}; what is not event in, reply out is the layer's"
            yield Finding(path.relative_to(root), lines, message)


def wildcards_have_a_reason(root: Path) -> Iterator[Finding]:
    """A statement with a `*` in an action or resource has a comment on one of its lines, or alone above it."""
    text = (root / TEMPLATE).read_text()
    lines = text.splitlines()
    wide = {
        scalar.start_mark.line: scalar.value
        for statement in statements(yaml.compose(text))
        if not has_comment(lines, statement)
        for scalar in permissions(statement)
        if "*" in scalar.value
    }
    for number, value in sorted(wide.items()):
        yield Finding(TEMPLATE, number + 1, f"{value!r} has no comment that says why so wide")


def has_comment(lines: list[str], statement: yaml.Node) -> bool:
    first, last = statement.start_mark.line, statement.end_mark.line
    # A block ends where the next one starts: comments alone just above that belong to it.
    inside = lines[first : max(first + 1, last)]
    while inside[-1].lstrip().startswith("#"):
        inside.pop()
    return lines[first - 1].lstrip().startswith("#") or any(re.search(r"(^|\s)#\s*\S", line) for line in inside)


def statements(node: yaml.Node | None) -> Iterator[yaml.MappingNode]:
    """Every policy statement: a mapping that has an effect."""
    if isinstance(node, yaml.MappingNode):
        if any(key.value == "Effect" for key, _ in node.value):
            yield node
        for _, value in node.value:
            yield from statements(value)
    elif isinstance(node, yaml.SequenceNode):
        for item in node.value:
            yield from statements(item)


def permissions(statement: yaml.MappingNode) -> Iterator[yaml.ScalarNode]:
    for key, value in statement.value:
        if key.value in {"Action", "NotAction", "Resource", "NotResource"}:
            yield from scalars(value)


def scalars(node: yaml.Node) -> Iterator[yaml.ScalarNode]:
    """The scalars of a value, whatever intrinsic function they stand in."""
    if isinstance(node, yaml.ScalarNode):
        yield node
    elif isinstance(node, yaml.SequenceNode):
        for item in node.value:
            yield from scalars(item)
    elif isinstance(node, yaml.MappingNode):
        for _, value in node.value:
            yield from scalars(value)


def the_layer_is_built_for_the_templates_python(root: Path) -> Iterator[Finding]:
    """A layer for another Python or processor imports fine in tests and fails at the first call in Lambda."""
    template = read_template(root)
    built = dict(re.findall(r"^(LAYER_\w+) \?= (\S+)$", (root / LAYER_MAKEFILE).read_text(), re.MULTILINE))
    runtime = template.get("Parameters", {}).get("PythonRuntime", {}).get("Default")
    if runtime != f"python{built['LAYER_PYTHON']}":
        message = f"LAYER_PYTHON is {built['LAYER_PYTHON']}, the template's default is {runtime}"
        yield Finding(LAYER_MAKEFILE, 1, message)
    for architecture in architectures(template):
        if not built["LAYER_PLATFORM"].startswith(ARCHITECTURES[architecture]):
            message = f"LAYER_PLATFORM is {built['LAYER_PLATFORM']}, the template's {architecture}"
            yield Finding(LAYER_MAKEFILE, 1, message)


def architectures(template: Any) -> set[str]:
    functions = [template.get("Globals", {}).get("Function", {})]
    functions += [item.get("Properties", {}) for item in template.get("Resources", {}).values()]
    return {name for item in functions for name in item.get("Architectures", [])} or {"x86_64"}


class PlainLoader(yaml.SafeLoader):
    """Reads a template's own tags (!Ref, !Sub) as the plain values below them."""


def _plain(loader: yaml.SafeLoader, _: str, node: yaml.Node) -> Any:
    if isinstance(node, yaml.ScalarNode):
        return loader.construct_scalar(node)
    if isinstance(node, yaml.SequenceNode):
        return loader.construct_sequence(node, deep=True)
    return loader.construct_mapping(node, deep=True) if isinstance(node, yaml.MappingNode) else None


PlainLoader.add_multi_constructor("!", _plain)


def read_template(root: Path) -> dict[str, Any]:
    """With `!Ref Name` as `Name` and `!GetAtt Name.Arn` as `Name.Arn`."""
    template: dict[str, Any] = yaml.load((root / TEMPLATE).read_text(), Loader=PlainLoader)  # noqa: S506 - a SafeLoader
    return template


def logs_expire(root: Path) -> Iterator[Finding]:
    """A log group keeps everything for ever unless it is told otherwise, and is paid for by what it keeps."""
    resources = read_template(root).get("Resources", {})
    groups = {name for name, resource in resources.items() if resource["Type"] == "AWS::Logs::LogGroup"}
    for name in sorted(groups):
        if not resources[name].get("Properties", {}).get("RetentionInDays"):
            yield Finding(TEMPLATE, 1, f"{name} has no RetentionInDays")
    usual = read_template(root).get("Globals", {}).get("Function", {}).get("LoggingConfig", {})
    for name, resource in resources.items():
        if resource["Type"] == "AWS::Serverless::Function":
            logging = resource.get("Properties", {}).get("LoggingConfig", usual)
            if logging.get("LogGroup") not in groups:
                yield Finding(TEMPLATE, 1, f"{name} logs to a group that Lambda makes, which nobody expires or deletes")


def data_outlives_the_stack(root: Path) -> Iterator[Finding]:
    """Accounts and credits must not go with a stack that is deleted, or with a property that replaces its table."""
    for name, resource in read_template(root).get("Resources", {}).items():
        if resource["Type"] in DATA:
            for policy in ("DeletionPolicy", "UpdateReplacePolicy"):
                if resource.get(policy) != "Retain":
                    yield Finding(TEMPLATE, 1, f"{name} has no {policy}: Retain")


def the_layer_keeps_the_services_it_calls(root: Path) -> Iterator[Finding]:
    """The layer's build takes out what botocore knows of other services; a client of one fails in Lambda."""
    kept = re.search(r"^AWS_SERVICES := (.*)$", (root / LAYER_MAKEFILE).read_text(), re.MULTILINE)
    services = set(kept.group(1).split()) if kept else set()
    for path in python_files(root / "layers/common/filepath"):
        for number, line in enumerate(path.read_text().splitlines(), 1):
            for name in re.findall(r"""\b(?:client|resource)\(\s*["']([a-z0-9-]+)["']""", line):
                if name not in services:
                    message = f"calls {name}, which is not in AWS_SERVICES of {LAYER_MAKEFILE}"
                    yield Finding(path.relative_to(root), number, message)


def line_count(path: Path) -> int:
    return len(path.read_text().splitlines())
