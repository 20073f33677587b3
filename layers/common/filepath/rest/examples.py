"""Examples for the OpenAPI document, put together from those of the fields. Tests send each of them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

Schema = Mapping[str, Any]


def example(schema: Schema, definitions: Schema) -> Any:
    """A value of the schema: its own example, its default, or one made of its parts' examples. Raises LookupError,
    naming the part that has none."""
    if "examples" in schema:
        return schema["examples"][0]
    if schema.get("default") is not None:
        return schema["default"]
    if "$ref" in schema:
        return example(definitions[schema["$ref"].rpartition("/")[2]], definitions)
    if "anyOf" in schema:
        return _first(schema["anyOf"], definitions)
    if "const" in schema or "enum" in schema:
        return schema.get("const", schema.get("enum", (None,))[0])
    if schema.get("type") == "array":
        return [example(schema["items"], definitions)]
    if "properties" in schema:
        return members(schema["properties"], definitions)
    raise LookupError(f"{schema.get('title')} has no example")


def members(properties: Schema, definitions: Schema) -> dict[str, Any]:
    """An object with all of the properties; null for what has neither an example nor a default but null."""
    return {name: _member(field, definitions) for name, field in properties.items()}


def given(properties: Schema, definitions: Schema) -> dict[str, Any]:
    """The same for a request, which leaves out what would be null."""
    return {name: value for name, value in members(properties, definitions).items() if value is not None}


def _member(field: Schema, definitions: Schema) -> Any:
    is_optional = "default" in field and field["default"] is None
    return None if is_optional and not _has_example(field) else example(field, definitions)


def _has_example(field: Schema) -> bool:
    return "examples" in field or any("examples" in branch for branch in field.get("anyOf", ()))


def _first(branches: list[Schema], definitions: Schema) -> Any:
    return example(next((each for each in branches if "examples" in each), branches[0]), definitions)
