"""Documents that are made from their sources, so that they cannot disagree.

config/config.yaml and config/README.md come from the schemas, docs/measured.md and the figures in README.md from what
the benchmarks wrote. ``python -m longtake.document`` writes them; tests hold the files equal to `documents`.
"""

from __future__ import annotations

import json
import re
import textwrap
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from longtake.config import SCHEMA, load_schema
from longtake.measured import headlines, measurements

ROOT = SCHEMA.parents[1]


def documents() -> dict[Path, str]:
    """Return every generated document: its path and its whole text."""
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    measured = f"<!-- measured: make readme -->\n\n{headlines()}\n<!-- end -->"
    return {
        ROOT / "config/config.yaml": config_yaml(),
        ROOT / "config/README.md": config_readme(),
        ROOT / "docs/measured.md": measurements(),
        ROOT / "README.md": re.sub(r"<!-- measured.*?<!-- end -->", lambda _: measured, readme, flags=re.DOTALL),
    }


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
        "[config.yaml](config.yaml), in a file of your own given with `--configfile`, or on the command line: "
        "`--config window_duration=60`. "
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
        if "properties" in part:
            yield f"{indent}{name}:"
            yield from _yaml(part["properties"], indent + "  ")
        else:
            yield f"{indent}{name}: {_plain(part['default'])}"


def _settings(schema: Mapping[str, Any], prefix: str) -> Iterator[str]:
    for name, part in schema["properties"].items():
        if "properties" in part:
            yield from _settings(part, f"{prefix}{name}.")
        else:
            default = _plain(part["default"])
            yield f"| `{prefix}{name}` | `{default}` | {_allowed(part)} | {part['description']} |"


def _allowed(part: Mapping[str, Any]) -> str:
    if "anyOf" in part:
        return " or ".join(_allowed(option) for option in part["anyOf"])
    if part.get("type") == "object":
        return f"a mapping to {_allowed(part['additionalProperties'])}"
    if "items" in part:
        return f"a list of {_allowed(part['items'])}"
    if "enum" in part:
        return ", ".join(f"`{value}`" for value in part["enum"])
    words = {"minimum": "at least", "exclusiveMinimum": "over", "maximum": "at most", "exclusiveMaximum": "under"}
    bounds = [f"{word} {part[key]}" for key, word in words.items() if key in part]
    return ", ".join([part["type"], *bounds])


def _plain(value: Any) -> str:
    return value if isinstance(value, str) and value else json.dumps(value)


if __name__ == "__main__":
    for path, text in documents().items():
        path.write_text(text, encoding="utf-8")
