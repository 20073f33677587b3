"""Dataclasses of the core as items of the table: `idle_seconds` is kept as `idleSeconds`, what is None is absent."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import fields
from typing import Any

from filepath.aws.table import Item


def attribute_name(field_name: str) -> str:
    return re.sub(r"_(\w)", lambda match: match[1].upper(), field_name)


def fields_of(record_type: type[Any], item: Item) -> dict[str, Any]:
    """The arguments that make a `record_type` of the item: what is absent is left to the field's default."""
    names = {field.name: attribute_name(field.name) for field in fields(record_type)}
    return {name: item[attribute] for name, attribute in names.items() if attribute in item}


def item_of(record: Any) -> Mapping[str, Any]:
    """The record's attributes, without keys. Empty sets cannot be kept, so they are absent too."""
    values = {attribute_name(field.name): getattr(record, field.name) for field in fields(record)}
    return {name: value for name, value in values.items() if value is not None and value != frozenset()}
