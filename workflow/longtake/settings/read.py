"""The settings of a run: one mapping in, one checked model out, with the section of every analysis.

A section is found by its folder: ``longtake/NAME/options.py`` with a class `Options` is section NAME, or what its
constant ``SECTION`` says.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache
from importlib import import_module
from pathlib import Path
from typing import Any

from pydantic import Field, ValidationError, create_model

from longtake.errors import ConfigError, nearest
from longtake.settings.core import Core
from longtake.settings.schema import allowed, part_of, schema_of
from longtake.settings.section import Section

LIBRARY = Path(__file__).parents[1]


@cache
def sections() -> Mapping[str, type[Section]]:
    """Return the section of each folder of the library that has one, by its name in config.yaml."""
    modules = {path.parent.name: f"longtake.{path.parent.name}.options" for path in LIBRARY.glob("*/options.py")}
    found = [(folder, import_module(name)) for folder, name in sorted(modules.items())]
    return {getattr(module, "SECTION", folder): module.Options for folder, module in found}


@cache
def settings_model() -> type[Core]:
    """Return the model of all settings: those of `Core`, and a section for each analysis."""
    parts: dict[str, Any] = {
        name: (options, Field(options(), description=options.__doc__)) for name, options in sections().items()
    }
    return create_model("Settings", __base__=Core, **parts)


def read_config(given: Mapping[str, Any], source: str = "config/config.yaml") -> Any:
    """Check `given`, fill in defaults, and return the settings, as ``settings.annotate.model``.

    Parameters
    ----------
    given
        The mapping as Snakemake merged it from the files and the command line.
    source
        Where the settings stand, for messages.

    Raises
    ------
    ConfigError
        For an unknown key (the nearest known one is named), a value of another type or unit, or settings that
        contradict each other.
    """
    try:
        settings = settings_model().model_validate(given)
    except ValidationError as error:
        raise ConfigError(f"{source}: {_explained(error, given)}") from None
    for name in sections():
        wrong = getattr(settings, name).contradiction(settings)
        if wrong:
            raise ConfigError(f"{source}: {wrong}")
    return settings


def _explained(error: ValidationError, given: Any) -> str:
    """Say what the first error is about; what is unknown comes first, as a misspelt setting leaves another unset."""
    errors = error.errors(include_url=False)
    first = min(errors, key=lambda each: each["type"] != "extra_forbidden")
    steps, value = _place(first["loc"], given)
    name, schema = ".".join(map(str, steps)), schema_of(settings_model())
    part = part_of(schema, steps)
    if first["type"] == "extra_forbidden":
        known = part_of(schema, steps[:-1])["properties"]
        return f"unknown setting {name!r}.{nearest(str(steps[-1]), known)} config/README.md lists every setting."
    if first["type"] == "model_type":
        return f"{name or 'the file'} must be a mapping, not {value!r}."
    said = first.get("ctx", {}).get("error")
    # What a model says is about several of its settings, which it names itself.
    if said and "properties" in part:
        return str(said)
    return f"{name} is {_shown(value)}: {said or _remedy(value, part)}"


def _place(path: tuple[int | str, ...], given: Any) -> tuple[list[int | str], Any]:
    """Return the part of pydantic's `path` that leads through what was given, and the value there.

    Beyond it pydantic names the type that did not fit, of several.
    """
    steps: list[int | str] = []
    value = given
    for step in path:
        if isinstance(value, Mapping) and step in value:
            value = value[step]
        elif isinstance(value, list | tuple) and isinstance(step, int):
            value = value[step]
        else:
            break
        steps.append(step)
    return steps, value


def _shown(value: Any) -> str:
    if isinstance(value, int) and abs(value) >= 10**40:
        return f"a number of {len(str(abs(value)))} digits"
    shown = repr(value)
    return shown if len(shown) <= 100 else f"{shown[:60]}...{shown[-20:]}"


def _remedy(value: Any, part: Mapping[str, Any]) -> str:
    options = part.get("anyOf", [part])
    choices = [str(choice) for option in options for choice in option.get("enum", ())]
    hint = ""
    if isinstance(value, str):
        numbers = any(option.get("type") in ("number", "integer") for option in options)
        hint = nearest(value, choices) or (" Give a plain number, without a unit." if numbers else "")
    elif isinstance(value, float) and not -float("inf") < value < float("inf"):
        hint = " Give a plain number."
    return f"it must be {allowed(part, plain=True)}.{hint} {part.get('description', '')}".rstrip()
