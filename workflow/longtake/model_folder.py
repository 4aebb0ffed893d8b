"""What the Snakefile must know of a model before any job runs: its files, its clips and its classes.

It is parsed with the Snakefile in every job; weights are not looked into.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from importlib.machinery import PathFinder
from pathlib import Path
from typing import Any

from longtake.errors import ConfigError
from longtake.model_config import refuse_pointer
from longtake.settings.paths import exists, locate, shortened, written_out


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
    "longtake_clip_network": VideoModel("frames"),
    "videomae": VideoModel("num_frames", "tubelet_size"),
    "timesformer": VideoModel("num_frames"),
    "vivit": VideoModel("num_frames", "tubelet_size"),
    "vjepa2": VideoModel("frames_per_clip", "tubelet_size"),
    "videomt": VideoModel(),
    "mask2former": VideoModel(),
}


def model_spec(model: str, base: Path) -> str:
    """Return what a job is told to load: the path of a folder, or ``module:factory`` as it stands."""
    return model if is_code(model, base) else str(locate(model, base))


def model_files(model: str, base: Path, setting: str) -> list[str]:
    """Return the files of a model that a job depends on: editing one reruns what used it.

    Of ``module:factory`` it is the module's file; what that imports or opens is not known.

    Raises
    ------
    ConfigError
        If the folder, or its config.json, or the module does not exist, or cannot be looked at; or a file is a
        pointer of git-lfs.
    """
    if is_code(model, base):
        return [str(module_file(model, f"{setting} is {model!r}, which is neither a folder nor module:factory"))]
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
    for path in (folder / "config.json", *weights):
        refuse_pointer(path, ConfigError)
    return [str(folder / name) for name in names if (folder / name).is_file()] + [str(path) for path in weights]


def files_digest(paths: Iterable[Path]) -> str:
    """Return a digest of names and contents, so that a model with an edited constant is another one."""
    whole = hashlib.sha256()
    for path in paths:
        with path.open("rb") as file:
            whole.update(f"{path.name} {hashlib.file_digest(file, 'sha256').hexdigest()}\n".encode())
    return whole.hexdigest()


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


def is_code(model: str, base: Path) -> bool:
    """Whether `model` is ``module:factory``, and no folder of that name."""
    return ":" in model and not locate(model, base).exists()


def module_file(code: str, what: str) -> Path:
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
