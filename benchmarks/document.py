"""Documents that are made from their sources, so that they cannot disagree.

config/config.yaml, its schema and config/README.md come from the options and sheets in the library, docs/measured.md,
the tables of docs/statistics.md and the figures in README.md from what the benchmarks wrote. ``make readme`` writes
them; tests hold the files equal to `documents`.
"""

from __future__ import annotations

import json
import re
import sys
import textwrap
from collections.abc import Iterator, Mapping
from dataclasses import MISSING, Field
from importlib import import_module
from pathlib import Path
from typing import Any, get_args, get_type_hints

import yaml

ROOT = Path(__file__).parents[1]
sys.path.insert(0, str(ROOT / "workflow"))

from level_tables import level_tables  # noqa: E402
from measured import headlines, measurements  # noqa: E402

from longtake.settings import videos  # noqa: E402
from longtake.settings.read import LIBRARY, settings_model  # noqa: E402
from longtake.settings.schema import allowed, schema_of  # noqa: E402
from longtake.settings.sheet import columns_of  # noqa: E402


def documents() -> dict[Path, str]:
    """Return every generated document: its path and its whole text."""
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    measured = f"<!-- measured: make readme -->\n\n{headlines()}\n<!-- end -->"
    return {
        ROOT / "config/config.yaml": config_yaml(),
        ROOT / "config/config.schema.yaml": config_schema(),
        ROOT / "config/README.md": config_readme(),
        ROOT / "docs/measured.md": measurements(),
        ROOT / "docs/statistics.md": _with_levels((ROOT / "docs/statistics.md").read_text(encoding="utf-8")),
        ROOT / "README.md": re.sub(r"<!-- measured.*?<!-- end -->", lambda _: measured, readme, flags=re.DOTALL),
    }


def _with_levels(text: str) -> str:
    told = f"<!-- level: make readme -->\n\n{level_tables()}\n<!-- end -->"
    return re.sub(r"<!-- level.*?<!-- end -->", lambda _: told, text, flags=re.DOTALL)


def config_yaml() -> str:
    """Return config.yaml: every setting with its default, its description as a comment above."""
    head = [
        "# yaml-language-server: $schema=config.schema.yaml",
        "# Every setting, with its default. config/README.md shows them as a table; unknown keys are errors.",
    ]
    return "\n".join([*head, *_yaml(schema_of(settings_model())["properties"], "")]) + "\n"


def config_schema() -> str:
    """Return config.schema.yaml, by which an editor completes and checks a file of settings."""
    head = {"$schema": "https://json-schema.org/draft/2020-12/schema", "title": "longtake configuration"}
    whole = {**schema_of(settings_model()), "description": "Every setting."}
    text = yaml.safe_dump({**head, **whole}, sort_keys=False, width=116, allow_unicode=True)
    return f"# Made by `make readme` from the options in workflow/longtake. Editors read it; longtake does not.\n{text}"


def config_readme() -> str:
    """Return config/README.md: tables of all settings and of the sheets' columns."""
    parts = [
        "# Configuration",
        "Made by `make readme`. Set values in [config.yaml](config.yaml), in a file of your own given with "
        "`--configfile`, or on the command line: `--config window_duration=60`. "
        "An unknown key, a wrong type or a contradiction stops the run before any job, and the message names the "
        "value, the file and what to do. An editor with a YAML language server completes and checks the settings by "
        "[config.schema.yaml](config.schema.yaml), which the first line of config.yaml names.",
        "## Settings",
        "\n".join(
            [
                "| setting | default | allowed | meaning |",
                "|---|---|---|---|",
                *_settings(schema_of(settings_model()), ""),
            ]
        ),
    ]
    for module in _sheets():
        header = ["| column | type | needed | meaning |", "|---|---|---|---|"]
        rows = [_column(name, part, get_type_hints(module.ROW)[name]) for name, part in columns_of(module.ROW).items()]
        parts += [f"## {module.SHEET}", "Tab separated, one header line.", "\n".join(header + rows)]
    return "\n\n".join(parts) + "\n"


def _sheets() -> list[Any]:
    """The sheet of videos, and those of the analyses: ``longtake/NAME/sheet.py`` with ``SHEET`` and ``ROW``."""
    folders = sorted(path.parent.name for path in LIBRARY.glob("*/sheet.py") if path.parent.name != "settings")
    return [videos, *(import_module(f"longtake.{folder}.sheet") for folder in folders)]


def _column(name: str, part: Field[Any], kind: Any) -> str:
    told = part.metadata
    plain = next((each for each in get_args(kind) if each is not type(None)), kind)
    words = {int: "integer", float: "number"}.get(plain, "string")
    if told["choices"]:
        words = ", ".join(f"`{choice}`" for choice in told["choices"])
    least = f", at least {told['minimum']:g}" if told["minimum"] > -float("inf") else ""
    return f"| `{name}` | {words}{least} | {'yes' if part.default is MISSING else ''} | {told['description']} |"


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
            yield f"| `{prefix}{name}` | `{default}` | {allowed(part)} | {part['description']} |"


def _plain(value: Any) -> str:
    return value if isinstance(value, str) and value else json.dumps(value)


if __name__ == "__main__":
    for path, text in documents().items():
        path.write_text(text, encoding="utf-8")
