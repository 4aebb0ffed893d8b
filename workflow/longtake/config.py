"""The configuration: one validated mapping in, frozen dataclasses out.

``config/config.schema.yaml`` is the one source of types, defaults and descriptions. This module is parsed with
the Snakefile in every job, so it imports the standard library, PyYAML and jsonschema only.
"""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, fields, is_dataclass
from fractions import Fraction
from pathlib import Path
from typing import Any, TypeVar, get_type_hints

import yaml
from jsonschema import Draft202012Validator
from jsonschema.exceptions import ValidationError

from longtake.errors import ConfigError, LongtakeError, nearest

SCHEMA = Path(__file__).parents[2] / "config" / "config.schema.yaml"
_Record = TypeVar("_Record")
LARGEST = 1e15


@dataclass(frozen=True)
class AnnotateOptions:
    """Section `annotate`."""

    model: str
    precision: str
    continuity: str
    direction: str
    dense_seeding: str
    seed_predicted_iou: float
    seed_stability: float
    overlap_iou: float
    lost_below: float
    max_conditioning_frames: int
    object_batch: int


@dataclass(frozen=True)
class GradientOptions:
    """Section `gradients`."""

    model: str = "workflow/models/clip31-pond"
    max_frames: int = 31
    clip_stride: int = 1
    annotations: str = ""
    clips: str = "object"
    clips_per_window: int = 2
    max_videos: int = 0
    chunk_size: int = 0
    memory_gb: float = 0
    target: str | int = "predicted"
    labels: Mapping[str, str | int] = field(default_factory=dict)
    region: str = "object"
    margin: float = 0.25
    flow: str = "dis"
    flow_width: int = 320
    permutations: int = 1000
    perturbations: Sequence[str] = field(
        default_factory=lambda: ["shuffle", "drop-50", "drop-75", "reverse", "static", "middle"]
    )
    shuffles: int = 5
    short_windows: int = 5


@dataclass(frozen=True)
class StatisticsOptions:
    """Section `statistics`."""

    bootstrap_samples: int
    confidence: float
    compare_with: str


@dataclass(frozen=True)
class ExportOptions:
    """Section `export`."""

    formats: list[str]
    overlay_width: int


@dataclass(frozen=True)
class DeviceOptions:
    """Section `device`."""

    force_cpu: bool
    gpu_memory_gb: float


@dataclass(frozen=True)
class MemoryOptions:
    """Section `memory`."""

    allow_approximate: bool
    margin: float
    history: str
    clean_up_at: float
    expandable_segments: str


@dataclass(frozen=True)
class Config:
    """Every setting; units and meaning stand in the schema."""

    videos: str
    prompts: str
    output_dir: str
    seed: int
    demo: bool
    window_duration: float
    window_overlap: float
    frame_interval: int
    video_scale_factor: float
    picture_rate: float
    annotate: AnnotateOptions
    gradients: GradientOptions
    statistics: StatisticsOptions
    export: ExportOptions
    device: DeviceOptions
    cluster: str
    memory: MemoryOptions


def load_schema(path: Path = SCHEMA) -> dict[str, Any]:
    """Return the JSON Schema of the configuration."""
    loader = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
    return yaml.load(path.read_text(encoding="utf-8"), Loader=loader)  # noqa: S506 (a safe loader)


def read_config(given: Mapping[str, Any], source: str = "config/config.yaml") -> Config:
    """Check `given` against the schema, fill in defaults, and return it as dataclasses.

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
    schema = load_schema()
    filled = _fill(given, schema, "", source)
    errors = sorted(Draft202012Validator(schema).iter_errors(filled), key=lambda error: list(error.path))
    if errors:
        raise ConfigError(_explain(errors[0], schema, source))
    _refuse_endless(filled, "", source)
    config = _build(Config, filled)
    _check_output(config.output_dir, source)
    _check_step(config.window_duration, config.window_overlap, source)
    if config.annotate.continuity == "overlap" and config.window_overlap == 0:
        raise ConfigError(
            f"{source}: annotate.continuity is 'overlap', but window_overlap is 0 s: windows that share no frame "
            "cannot be joined. Give an overlap, for example a tenth of window_duration, or set annotate.continuity to "
            "'chain'."
        )
    return config


def _fill(given: Any, schema: Mapping[str, Any], prefix: str, source: str) -> dict[str, Any]:
    if not isinstance(given, Mapping):
        raise ConfigError(f"{source}: {prefix.rstrip('.') or 'the file'} must be a mapping, not {given!r}.")
    known = schema["properties"]
    for key in given:
        if key not in known:
            raise ConfigError(
                f"{source}: unknown setting {prefix + str(key)!r}.{nearest(str(key), known)} "
                "config/README.md lists every setting."
            )
    return {
        key: _fill(given.get(key) or {}, part, f"{prefix}{key}.", source)
        if "properties" in part
        else _parsed(given.get(key, part["default"]), part)
        for key, part in known.items()
    }


def _refuse_endless(values: Any, name: str, source: str) -> None:
    """Refuse numbers that JSON Schema lets pass and no computation means: NaN, infinity, and those beyond a float."""
    if isinstance(values, Mapping):
        for key, value in values.items():
            _refuse_endless(value, f"{name}.{key}" if name else str(key), source)
    elif isinstance(values, int | float) and not -LARGEST <= values <= LARGEST:
        shown = repr(values) if len(repr(values)) < 40 else f"a number of {len(repr(values))} digits"
        raise ConfigError(f"{source}: {name} is {shown}. Give a plain number, up to {LARGEST:.0e}.")


def _check_output(folder: str, source: str) -> None:
    whole = os.path.normpath(folder)
    home = written_out(folder)
    if home:
        wrong, remedy = "would be a folder called ~ here, as no shell reads it", home.strip()
    elif folder[0] in "~-":
        wrong, remedy = "programs would read as an option or a home", "Begin it with a letter."
    elif "://" in folder:
        wrong, remedy = "is an address", "Name a folder of this machine."
    elif not whole.strip("/") or set(whole.split("/")) == {".."}:
        wrong, remedy = "holds more than this run", f"Name a folder in it: {whole.rstrip('/')}/results."
    else:
        return
    raise ConfigError(f"{source}: output_dir is {shortened(folder)!r}, which {wrong}. {remedy}")


def _check_step(duration: float, overlap: float, source: str) -> None:
    if overlap >= duration:
        raise ConfigError(
            f"{source}: window_overlap is {overlap} s, but a window lasts window_duration = "
            f"{duration} s. Make the overlap smaller than the window, for example a tenth of it."
        )
    # In whole ratios, as windows are cut: 0.3 - 0.297 is more than 0.003 in floats, and other steps are less.
    step, least = Fraction(str(duration)) - Fraction(str(overlap)), min(Fraction(1), Fraction(str(duration)) / 100)
    if step < least:
        raise ConfigError(
            f"{source}: window_overlap is {overlap} s of window_duration = {duration} s, so a window would begin every "
            f"{float(step):g} s, and most frames would lie in more than a hundred windows. Leave at least "
            f"{float(least):g} s from one to the next; an overlap of a tenth of the window is usual."
        )


def _parsed(value: Any, part: Mapping[str, Any]) -> Any:
    """Return a number or truth value that came as text, as Snakemake hands on ``--config section={key: 1}``.

    A whole number where one is asked for is an int, also if it was written 5.0, which to JSON Schema is an integer and
    to Python none.
    """
    if isinstance(value, Mapping) and isinstance(part.get("additionalProperties"), Mapping):
        return {key: _parsed(each, part["additionalProperties"]) for key, each in value.items()}
    asked = {str(option.get("type")) for option in (part, *part.get("anyOf", ()))}
    kinds = {"integer": (int, float), "number": (int, float), "boolean": (bool,)}.get(str(part.get("type")), ())
    if isinstance(value, str) and kinds:
        try:
            found = json.loads(value)
        except ValueError:
            return value
        if type(found) not in kinds or ("integer" in asked and found != found // 1):
            return value
        value = found
    return int(value) if "integer" in asked and isinstance(value, float) and value.is_integer() else value


def _explain(error: ValidationError, schema: Mapping[str, Any], source: str) -> str:
    name = ".".join(str(step) for step in error.absolute_path)
    part: Mapping[str, Any] = schema
    for step in error.absolute_path:
        part = part["items"] if isinstance(step, int) else part.get("properties", {}).get(step, part)
    hint = ""
    if isinstance(error.instance, str) and "enum" not in part:
        hint = " Give a plain number, without a unit." if part.get("type") in ("number", "integer") else ""
    elif isinstance(error.instance, str):
        hint = nearest(error.instance, map(str, part["enum"]))
    return f"{source}: {name} is {error.instance!r}: {error.message}.{hint} {part.get('description', '')}"


def _build(record: type[_Record], values: Mapping[str, Any]) -> _Record:
    kinds = get_type_hints(record)
    return record(
        **{
            part.name: _build(kinds[part.name], values[part.name])
            if is_dataclass(kinds[part.name])
            else values[part.name]
            for part in fields(record)  # type: ignore[arg-type]
        }
    )


def locate(path: str, base: Path, setting: str = "a setting") -> Path:
    """Return `path` itself if it exists in the working directory, else the one under `base` (the checkout).

    So that the models that come with longtake are found from any working directory.

    Raises
    ------
    ConfigError
        It cannot be found out whether `path` exists; the message says that `setting` names it.
    """
    here = Path(path)
    what = f"{setting} is {shortened(path)!r}, which"
    return here if here.is_absolute() or exists(here, what, ConfigError) else base / path


def exists(path: Path, what: str, error: type[LongtakeError], test: Callable[[Path], bool] = Path.exists) -> bool:
    """Return what `test` says of `path`; raise `error`, with a message that begins with `what`, if nobody can say.

    Python answers for a file that is not there, but not in a folder that one may not search, or for an endless name.
    """
    try:
        return test(path)
    except OSError as problem:
        raise error(
            f"{what} cannot be looked at ({problem.strerror}). Correct the path, or let it and the folders above it be "
            "read."
        ) from problem


def written_out(path: str | Path) -> str:
    """Return what to write for a `path` that begins with ``~``, which only a shell takes for a home; else nothing."""
    whole = os.path.expanduser(path)  # noqa: PTH111 - pathlib raises where there is no such user
    return f" Write ~ out: {shortened(whole)}." if whole != str(path) else ""


def shortened(text: str) -> str:
    """Return `text` for a message, without its middle if it is long."""
    return text if len(text) <= 100 else f"{text[:60]}...{text[-20:]}"
