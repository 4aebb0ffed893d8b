"""What the Snakefile must know of a model before any job runs: its files, and whether the settings fit it.

It is parsed with the Snakefile in every job, so it imports the standard library only; weights are not looked into.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from importlib.machinery import PathFinder
from pathlib import Path
from typing import Any

from longtake.config import GradientOptions, exists, locate, shortened, written_out
from longtake.errors import ConfigError, nearest


@dataclass(frozen=True)
class VideoModel:
    """Where the config.json of one kind of video model says what clips are.

    Attributes
    ----------
    length : the frames of a clip; None if the model takes any number
    tubelet : how many frames the first layer takes at a time; None if that is one
    """

    length: str | None = None
    tubelet: str | None = None


# By model_type. longtake.models.loading has a loader for each.
VIDEO_MODELS = {
    "longtake_clip_classifier": VideoModel("n_frames"),
    "videomae": VideoModel("num_frames", "tubelet_size"),
    "timesformer": VideoModel("num_frames"),
    "vivit": VideoModel("num_frames", "tubelet_size"),
    "vjepa2": VideoModel("frames_per_clip", "tubelet_size"),
    "videomt": VideoModel(),
    "mask2former": VideoModel(),
}


def model_spec(model: str, base: Path) -> str:
    """Return what a job is told to load: the path of a folder, or ``module:factory`` as it stands."""
    return model if _is_code(model, base) else str(locate(model, base))


def model_files(model: str, base: Path, setting: str) -> list[str]:
    """Return the files of a model that a job depends on: editing one reruns what used it.

    Of ``module:factory`` it is the module's file; what that imports or opens is not known.

    Raises
    ------
    ConfigError
        If the folder, or its config.json, or the module does not exist, or cannot be looked at.
    """
    if _is_code(model, base):
        return [str(_module_file(model, f"{setting} is {model!r}, which is neither a folder nor module:factory"))]
    folder = locate(model, base, setting)
    what = f"{setting} is {shortened(model)!r}, whose config.json"
    if written_out(model):
        raise ConfigError(f"{setting} is {shortened(model)!r}, which is taken as it stands.{written_out(model)}")
    if not exists(folder / "config.json", what, ConfigError, Path.is_file):
        raise ConfigError(
            f"{setting} is {shortened(model)!r}, but {shortened(str(folder.absolute()))} holds no config.json. Give "
            "the folder of a model's files, or download them first; README.md says which."
        )
    names = ("config.json", "preprocessor_config.json", "video_preprocessor_config.json", "processor_config.json")
    # Weights may be cut into parts, which an index lists. Pickles count only where there is nothing better.
    weights = sorted(folder.glob("model*.safetensors*")) or sorted(folder.glob("pytorch_model*.bin*"))
    return [str(folder / name) for name in names if (folder / name).is_file()] + [str(path) for path in weights]


def files_digest(paths: Iterable[Path]) -> str:
    """Return a digest of names and contents, so that a model with an edited constant is another one."""
    whole = hashlib.sha256()
    for path in paths:
        with path.open("rb") as file:
            whole.update(f"{path.name} {hashlib.file_digest(file, 'sha256').hexdigest()}\n".encode())
    return whole.hexdigest()


def video_model_files(options: GradientOptions, base: Path) -> list[str]:
    """Return the files of the model in section `gradients`, whose settings are compared with its config.json.

    Now, before hours are spent on annotation.

    Raises
    ------
    ConfigError
        As `model_files`; or the kind of model is not known, its clips have another length, a target or label is no
        class of it, or `gradients.flow` names a module that Python does not find.
    """
    files = model_files(options.model, base, "gradients.model")
    if ":" in options.flow:
        _module_file(options.flow, f"gradients.flow is {options.flow!r}, a module:function of your own")
    if not _is_code(options.model, base):
        _check_settings(options, base)
    return files


def clip_length(config: Mapping[str, Any]) -> tuple[int | None, int]:
    """Return the frames of a clip that reach the model, and how many it takes at a time.

    Frames beyond the last whole tubelet are not seen by it, and not counted. None if it takes any number, or if the
    configuration does not say.
    """
    kind = VIDEO_MODELS[config["model_type"]]
    tubelet = config.get(kind.tubelet, 2) if kind.tubelet else 1
    tubelet = int(tubelet if isinstance(tubelet, int) else tubelet[0])
    length = config.get(kind.length) if kind.length else None
    return (None if length is None else int(length) // tubelet * tubelet), tubelet


def class_names(config: Mapping[str, Any]) -> tuple[str, ...]:
    """Return the names of the classes in the order of the scores; none if the configuration does not say."""
    if "class_names" in config:
        return tuple(config["class_names"])
    named = {int(index): str(name) for index, name in (config.get("id2label") or {}).items()}
    return tuple(named[index] for index in sorted(named))


def _check_settings(options: GradientOptions, base: Path) -> None:
    path = locate(options.model, base, "gradients.model") / "config.json"
    try:
        config = json.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise ConfigError(f"gradients.model: {path} cannot be read ({error.strerror}). Let it be read.") from error
    except ValueError as error:
        raise ConfigError(f"gradients.model: {path} is not JSON ({error}). Copy the file again.") from error
    kind = config.get("model_type") if isinstance(config, dict) else None
    if not isinstance(kind, str) or kind not in VIDEO_MODELS:
        raise ConfigError(
            f"gradients.model: {path} has model_type {kind!r}, which is no video model known here."
            f"{nearest(str(kind), VIDEO_MODELS)} Known: {', '.join(sorted(VIDEO_MODELS))}; docs/models.md says how to "
            "bring in any other."
        )
    length, _ = clip_length(config)
    if length not in (None, options.max_frames):
        raise ConfigError(
            f"gradients.max_frames is {options.max_frames}, but the model {options.model} was trained on clips of "
            f"{length} frames. Set it to {length}."
        )
    names = class_names(config)
    if names:
        _check_classes(options, names)


def _check_classes(options: GradientOptions, names: tuple[str, ...]) -> None:
    meant = {f"gradients.labels: {label}": value for label, value in options.labels.items()}
    if isinstance(options.target, int):
        meant["gradients.target"] = options.target
    for setting, value in meant.items():
        if value in names or (isinstance(value, int) and value < len(names)):
            continue
        hint = "" if isinstance(value, int) else nearest(value, names)
        shown = f"0 to {len(names) - 1}: " + ", ".join(names[:12]) + (" ..." if len(names) > 12 else "")
        raise ConfigError(f"{setting} is {value!r}, but the model {options.model} has the classes {shown}.{hint}")


def _is_code(model: str, base: Path) -> bool:
    return ":" in model and not locate(model, base).exists()


def _module_file(code: str, what: str) -> Path:
    """Where Python would find the module of ``module:name``; looked up, not imported: that may take long.

    What is said where there is none begins with `what`.
    """
    module, _, name = code.partition(":")
    places: Any = None
    origin: str | None = None
    parts = module.split(".")
    if all(part.isidentifier() for part in [*parts, name]):
        for depth in range(len(parts)):
            found = PathFinder.find_spec(".".join(parts[: depth + 1]), places)
            places = found.submodule_search_locations if found else []
            origin = found.origin if found else None
    if origin is None or not Path(origin).is_file():
        raise ConfigError(
            f"{what}: Python finds no module {module!r}. Run where it lies, or put the folder that holds it on "
            "PYTHONPATH."
        )
    return Path(origin)
