"""Documents that are made from their sources: config/config.yaml and config/README.md from the schemas.

``python -m longtake.document config.yaml`` and ``python -m longtake.document README.md`` write them to standard
output; tests hold the files in ``config/`` equal to that.
"""

from __future__ import annotations

import json
import sys
import textwrap
from collections.abc import Iterator, Mapping
from typing import Any

from longtake.config import SCHEMA, load_schema


def config_yaml() -> str:
    """Return config.yaml: every setting with its default, its description as a comment above."""
    head = "Every setting, with its default. config/README.md shows them as a table; unknown keys are errors."
    return "\n".join([f"# {head}", *_yaml(load_schema()["properties"], "")]) + "\n"


def config_readme() -> str:
    """Return config/README.md: tables of all settings and of the sheets' columns."""
    parts = [
        "# Configuration",
        "Made by `make readme` from [config.schema.yaml](config.schema.yaml), [videos.schema.yaml]"
        "(videos.schema.yaml) and [prompts.schema.yaml](prompts.schema.yaml). Set values in "
        "[config.yaml](config.yaml), in a file of your own given with `--configfile`, or on the command line: `--config window_duration=60`. "
        "An unknown key, a wrong type or a contradiction stops the run before any job, and the message names the "
        "value, the file and what to do.",
        "## Settings",
        "\n".join(["| setting | default | allowed | meaning |", "|---|---|---|---|", *_settings(load_schema(), "")]),
    ]
    for name in ("videos", "prompts"):
        schema = load_schema(SCHEMA.parent / f"{name}.schema.yaml")
        rows = [
            f"| `{column}` | {_allowed(part)} | {needed} | {part['description']} |"
            for column, part in schema["properties"].items()
            for needed in ["yes" if column in schema["required"] else ""]
        ]
        header = ["| column | type | needed | meaning |", "|---|---|---|---|"]
        parts += [f"## {schema['title']}", "Tab separated, one header line.", "\n".join(header + rows)]
    return "\n\n".join(parts) + "\n"


def _yaml(properties: Mapping[str, Any], indent: str) -> Iterator[str]:
    for name, part in properties.items():
        yield ""
        for line in textwrap.wrap(part["description"], 116 - len(indent)):
            yield f"{indent}# {line}"
        if part.get("type") == "object":
            yield f"{indent}{name}:"
            yield from _yaml(part["properties"], indent + "  ")
        else:
            yield f"{indent}{name}: {_plain(part['default'])}"


def _settings(schema: Mapping[str, Any], prefix: str) -> Iterator[str]:
    for name, part in schema["properties"].items():
        if part.get("type") == "object":
            yield from _settings(part, f"{prefix}{name}.")
        else:
            default = _plain(part["default"])
            yield f"| `{prefix}{name}` | `{default}` | {_allowed(part)} | {part['description']} |"


def _allowed(part: Mapping[str, Any]) -> str:
    if "anyOf" in part:
        return " or ".join(_allowed(option) for option in part["anyOf"])
    if "enum" in part:
        return ", ".join(f"`{value}`" for value in part["enum"])
    words = {"minimum": "at least", "exclusiveMinimum": "over", "maximum": "at most", "exclusiveMaximum": "under"}
    bounds = [f"{word} {part[key]}" for key, word in words.items() if key in part]
    return ", ".join([part["type"], *bounds])


def _plain(value: Any) -> str:
    return value if isinstance(value, str) else json.dumps(value)


if __name__ == "__main__":
    documents = {"config.yaml": config_yaml, "README.md": config_readme}
    sys.stdout.write(documents[sys.argv[1]]())
