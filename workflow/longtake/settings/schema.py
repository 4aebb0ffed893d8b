"""The settings as JSON Schema, which editors read, and in words, for messages and config/README.md."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from pydantic import BaseModel

_BOUNDS = {"minimum": "at least", "exclusiveMinimum": "over", "maximum": "at most", "exclusiveMaximum": "under"}


def schema_of(model: type[BaseModel]) -> dict[str, Any]:
    """Return the JSON Schema of `model`, every section in its place and without the titles that pydantic makes up."""
    schema = model.model_json_schema()
    parts = schema.pop("$defs", {})

    def whole(part: Any) -> Any:
        if isinstance(part, list):
            return [whole(each) for each in part]
        if not isinstance(part, dict):
            return part
        if "$ref" in part:
            section = whole(parts[part["$ref"].rpartition("/")[2]])
            return {**section, "description": part.get("description", section.get("description", ""))}
        kept = {key: value for key, value in part.items() if key != "title" or not isinstance(value, str)}
        if "const" in kept:
            kept["enum"] = [kept.pop("const")]
        return {key: value if key == "default" else whole(value) for key, value in kept.items()}

    return whole(schema)


def part_of(schema: Mapping[str, Any], steps: Iterable[int | str]) -> Mapping[str, Any]:
    """Return the part of a schema about the setting that `steps` lead to; of a mapping's or list's value, its own.

    Its description is that of the setting it is in.
    """
    part = schema
    for step in steps:
        inner = part.get("items", {}) if isinstance(step, int) else part.get("properties", {}).get(step)
        inner = part.get("additionalProperties") if inner is None else inner
        inner = inner if isinstance(inner, Mapping) else {}
        part = {"description": part.get("description", ""), **inner} if "properties" not in part else inner
    return part


def allowed(part: Mapping[str, Any], *, plain: bool = False) -> str:
    """Return what a setting may be, in words; choices in backticks, or `plain`."""
    if "anyOf" in part:
        return " or ".join(allowed(option, plain=plain) for option in part["anyOf"])
    if "properties" in part:
        return f"settings ({', '.join(part['properties'])})"
    if part.get("type") == "object":
        values = part.get("additionalProperties", True)
        return "a mapping" if isinstance(values, bool) else f"a mapping to {allowed(values, plain=plain)}"
    if "items" in part:
        return f"a list of {allowed(part['items'], plain=plain)}"
    if "enum" in part:
        return ", ".join(str(value) if plain else f"`{value}`" for value in part["enum"])
    bounds = [f"{word} {part[key]}" for key, word in _BOUNDS.items() if key in part]
    return ", ".join([part["type"], *bounds])
