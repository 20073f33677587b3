"""What is to be deployed: an environment of samconfig.toml, with the parameters that are given beside it."""

from __future__ import annotations

import tomllib
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from deploy.failure import Failure

CHECKOUT = Path(__file__).resolve().parent.parent
SAMCONFIG = CHECKOUT / "samconfig.toml"
TEMPLATE = CHECKOUT / "template.yaml"


@dataclass(frozen=True)
class Environment:
    name: str
    stack: str
    parameters: dict[str, str]
    """Those that samconfig.toml or the owner sets; the others stay as they are, at first the template's."""

    @classmethod
    def read(cls, name: str, given: Iterable[str] = (), samconfig: Path = SAMCONFIG) -> Environment:
        tables: dict[str, Any] = tomllib.loads(samconfig.read_text())
        known = [key for key, table in tables.items() if isinstance(table, dict) and "stack_name" in _deploy(table)]
        if name not in known:
            raise Failure(f"samconfig.toml has no environment {name!r}. Choose one of {', '.join(known)}: ENV=…")
        settings = _deploy(tables[name])
        pairs = [*settings.get("parameter_overrides", []), *given]
        return cls(name, settings["stack_name"], dict(_pair(pair) for pair in pairs))

    def check_names(self) -> None:
        if unknown := self.parameters.keys() - template_defaults().keys():
            raise Failure(f"template.yaml has no parameter {', '.join(sorted(unknown))}. See its section Parameters.")


def _deploy(table: dict[str, Any]) -> dict[str, Any]:
    settings: dict[str, Any] = table.get("deploy", {}).get("parameters", {})
    return settings


def _pair(text: str) -> tuple[str, str]:
    name, equals, value = text.partition("=")
    if not equals:
        raise Failure(f"{text!r} is no parameter. Write them as Name=value, with spaces in between.")
    return name, value


def template_defaults() -> dict[str, str]:
    declared: dict[str, dict[str, Any]] = yaml.load(TEMPLATE.read_text(), _Loader)["Parameters"]  # noqa: S506 - a SafeLoader
    return {name: str(parameter["Default"]) for name, parameter in declared.items()}


class _Loader(yaml.SafeLoader):
    """Takes the template's own tags (!Ref, !Sub) for nothing: its parameters have none."""


_Loader.add_multi_constructor("!", lambda *_: None)
