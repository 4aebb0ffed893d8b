"""A tracker from a local folder: weights as safetensors, the constants of its preprocessing, and a digest of both.

SAM 2, EdgeTAM and SAM 3's tracker have one session in ``transformers`` and one way of being called; the folder's
``model_type`` says which of them it holds.
"""

from __future__ import annotations

import logging
import math
import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeAlias

import torch
import transformers
from huggingface_hub.errors import StrictDataclassError
from safetensors import SafetensorError
from transformers import PreTrainedConfig, PreTrainedModel
from transformers.utils.logging import disable_progress_bar

from longtake.annotate.geometry import Preprocessing
from longtake.errors import ModelError
from longtake.memory.ledger import stage
from longtake.model_config import check_config, count_stored, read_model_json, refuse_pointer
from longtake.model_folder import files_digest
from longtake.models.loading import AMISS
from longtake.models.pretrained import no_larger, plain_config
from longtake.models.weights import indexed

log = logging.getLogger(__name__)

Colours: TypeAlias = tuple[float, float, float]
_AMISS = (*AMISS, StrictDataclassError)
PRECISIONS = ("float32", "bfloat16")
# Where published folders keep the colour constants, and under which names there; the first that is there counts.
_PROCESSOR_FILES = {
    "preprocessor_config.json": (),
    "video_preprocessor_config.json": (),
    "processor_config.json": ("video_processor", "image_processor"),
}


@dataclass(frozen=True)
class _Family:
    """The classes of a model type, and the colour constants that its processor documents."""

    name: str
    classes: str
    mean: Colours = (0.485, 0.456, 0.406)
    std: Colours = (0.229, 0.224, 0.225)


_FAMILIES = {
    "sam2_video": _Family("SAM 2", "Sam2Video"),
    "edgetam_video": _Family("EdgeTAM", "EdgeTamVideo"),
    "sam3_tracker_video": _Family("SAM 3's tracker", "Sam3TrackerVideo", (0.5, 0.5, 0.5), (0.5, 0.5, 0.5)),
}


@dataclass(frozen=True)
class Tracker:
    """A video model ready to track, with what identifies it.

    Weights are float32 whatever the precision; ``bfloat16`` means autocast, as the published models are run.

    ``object_batch``: how many objects the model takes at a time; 1 is the library's own loop.
    ``memory_batch``: how many objects' memories of a frame are made at a time; None for all, as the library does.
    ``state_on_host``: sessions keep their memories of past frames in the host's memory, from where a step takes what it
    reads, of one batch of objects after the other.
    ``max_conditioning_frames``: the setting where it is tighter than the model's own rule (its configuration holds
    the tighter of both), None where it changes nothing.
    """

    model: Any  # of the family's class; their methods are the same, their common ancestor has none of them
    preprocessing: Preprocessing
    digest: str
    device: torch.device
    precision: str
    object_batch: int = 1
    max_conditioning_frames: int | None = None
    memory_batch: int | None = None
    state_on_host: bool = False

    @property
    def state_device(self) -> torch.device:
        """Where sessions keep the memories of past frames."""
        return torch.device("cpu") if self.state_on_host else self.device


@stage("load")
def load_tracker(
    folder: str | os.PathLike[str],
    device: str | torch.device = "cpu",
    precision: str = "float32",
    *,
    max_conditioning_frames: int | None = None,
    object_batch: int = 1,
    memory_batch: int | None = None,
    state_on_host: bool = False,
) -> Tracker:
    """Load a tracker from a local folder; nothing is fetched and nothing is unpickled.

    Parameters
    ----------
    folder
        Holds ``config.json`` and ``model.safetensors`` (or its index and shards), and the colour constants in
        ``preprocessor_config.json`` where they are not SAM 2's documented ones.
    device
        Where the model runs.
    precision
        ``float32``, or ``bfloat16`` for autocast over float32 weights.
    max_conditioning_frames
        Of an object's prompted frames, read the features of this many, the nearest in time, by the model's own rule
        (``max_cond_frame_num``); the model's own number counts where it is smaller. None leaves the model as it is.
    object_batch
        How many objects the model takes at a time; 1 is the library's own loop.
    memory_batch, state_on_host
        As in `Tracker`: less memory, in more time.

    Raises
    ------
    ModelError
        A file is missing, of another model type, lacks weights that the model needs, or needs a package that is not
        installed.
    """
    root = Path(folder)
    if precision not in PRECISIONS:
        raise ModelError(f"precision is {precision!r}; give one of {', '.join(PRECISIONS)}.")
    counts = {
        "max_conditioning_frames": max_conditioning_frames,
        "object_batch": object_batch,
        "memory_batch": memory_batch,
    }
    for name, value in counts.items():
        if value is not None and value < 1:
            raise ModelError(f"{name} is {value}; give 1 or more.")
    disable_progress_bar()  # a bar of the library's own has no place in a job's log
    family, config = _config(root)
    bound = _bound(config, max_conditioning_frames)
    preprocessing, _ = _preprocessing(root, config, family)
    digest = tracker_digest(root)
    model = _model(root, config, family).eval().requires_grad_(False).to(device)
    return Tracker(
        model,
        preprocessing,
        digest,
        torch.device(device),
        precision,
        object_batch,
        bound,
        memory_batch,
        state_on_host,
    )


def tracker_digest(folder: str | os.PathLike[str]) -> str:
    """Return the digest of all files of a folder that a tracker is made of.

    Raises
    ------
    ModelError
        As `load_tracker`, where a file is missing or of another model type.
    """
    root = Path(folder)
    family, config = _config(root)
    _, processor_file = _preprocessing(root, config, family)
    return files_digest([root / "config.json", *_weight_files(root), *([processor_file] if processor_file else [])])


def most_conditioning_frames(folder: str | os.PathLike[str], setting: int | None) -> int:
    """Return the features of how many of an object's prompted frames the model reads at most; -1 for all.

    `setting` is `load_tracker`'s ``max_conditioning_frames``.

    Raises
    ------
    ModelError
        As `load_tracker`, for config.json.
    """
    _, config = _config(Path(folder))
    _bound(config, setting)
    return int(config.max_cond_frame_num)


def hollow_tracker(
    folder: str | os.PathLike[str],
    precision: str = "float32",
    *,
    max_conditioning_frames: int | None = None,
    object_batch: int = 1,
) -> Tracker:
    """Build a tracker from config.json alone: its weights are on PyTorch's meta device and have shapes, no numbers.

    Raises
    ------
    ModelError
        As `load_tracker`, for config.json.
    """
    root = Path(folder)
    family, config = _config(root)
    bound = _bound(config, max_conditioning_frames)
    preprocessing, _ = _preprocessing(root, config, family)
    try:
        with _packages(root, family), torch.device("meta"):
            model = getattr(transformers, f"{family.classes}Model")(config).eval().requires_grad_(False)
    except _AMISS as error:
        raise _unusable(root, family, error) from error
    return Tracker(model, preprocessing, "", torch.device("meta"), precision, object_batch, bound)


def _config(root: Path) -> tuple[_Family, PreTrainedConfig]:
    path = root / "config.json"
    if not path.is_file():
        raise ModelError(
            f"{root}: config.json is missing. Give the folder of a SAM 2 video model in the transformers format, "
            "with config.json and model.safetensors in it."
        )
    whole = read_model_json(path)
    check_config(whole, path)
    found = whole.get("model_type")
    if not isinstance(found, str) or found not in _FAMILIES:
        hint = (
            "Save its tracker alone: Sam3TrackerVideoModel.from_pretrained(folder).save_pretrained(another folder)."
            if found == "sam3_video"
            else "Give the folder of a SAM 2, EdgeTAM or SAM 3 tracker video model."
        )
        raise ModelError(f"{path}: model_type is {found!r}, but annotation needs one of {', '.join(_FAMILIES)}. {hint}")
    family = _FAMILIES[found]
    try:
        with _packages(root, family):
            config = getattr(transformers, f"{family.classes}Config").from_dict(plain_config(whole))
    except _AMISS as error:
        raise _unusable(root, family, error) from error
    if isinstance(config.max_cond_frame_num, bool) or not isinstance(config.max_cond_frame_num, int):
        raise ModelError(f"{path}: max_cond_frame_num is {config.max_cond_frame_num!r}; give a whole number.")
    return family, config


def _bound(config: PreTrainedConfig, setting: int | None) -> int | None:
    """Put the setting into the model's own rule; return it where it is the tighter (the rule's -1 is no bound)."""
    own = config.max_cond_frame_num
    if setting is None or 1 <= own <= setting:
        return None
    config.max_cond_frame_num = setting
    return setting


def _model(root: Path, config: PreTrainedConfig, family: _Family) -> PreTrainedModel:
    try:
        stored = sum(count_stored(path) for path in _weight_files(root) if path.suffix == ".safetensors")
        with _packages(root, family):
            kind = getattr(transformers, f"{family.classes}Model")
            model, info = no_larger(kind, stored, root).from_pretrained(
                root,
                config=config,
                local_files_only=True,
                use_safetensors=True,
                dtype=torch.float32,
                output_loading_info=True,
            )
    except SafetensorError as error:
        raise ModelError(f"{root}: the weights cannot be read ({error}); copy the folder again.") from None
    except _AMISS as error:
        raise _unusable(root, family, error) from error
    model.__class__ = kind
    missing = sorted(info["missing_keys"])
    if missing:
        raise ModelError(
            f"{root}: model.safetensors lacks {len(missing)} weights of {family.name}, the first {missing[0]!r}; "
            f"they would be random. Give the folder of a complete {config.model_type} model."
        )
    return model


def _unusable(root: Path, family: _Family, error: Exception) -> ModelError:
    what = f"{type(error).__name__}: {' '.join(str(error).split())[:300]}"
    return ModelError(f"{root}: no {family.name} can be made of its files ({what}). Copy the whole folder again.")


@contextmanager
def _packages(root: Path, family: _Family) -> Iterator[None]:
    """Name the package that a backbone of the folder needs (EdgeTAM's published one comes from timm)."""
    try:
        yield
    except ImportError as error:
        said = " ".join(str(error).split())
        raise ModelError(
            f"{root}: this {family.name} needs a package that is not installed here ({said}). Install it beside "
            "longtake, for example 'pip install timm', or give the folder of another model."
        ) from None


def _weight_files(root: Path) -> list[Path]:
    index = root / "model.safetensors.index.json"
    files = [index, *indexed(index)] if index.is_file() else [root / "model.safetensors"]
    for path in files:
        if not path.is_file():
            raise ModelError(
                f"{root}: {path.name} is missing. Weights must be safetensors beside config.json; pickled weights "
                "(.bin, .pt) are not loaded."
            )
        refuse_pointer(path)
    return files


def _preprocessing(root: Path, config: PreTrainedConfig, family: _Family) -> tuple[Preprocessing, Path | None]:
    side = config.image_size
    if not isinstance(side, int):
        raise ModelError(f"{root}/config.json: image_size is {side!r}; {family.name} takes squares, give one number.")
    name = next((name for name in _PROCESSOR_FILES if (root / name).is_file()), None)
    if name is None:
        log.info("%s has no preprocessor_config.json: using the colour constants of %s", root, family.name)
        return Preprocessing(side, family.mean, family.std), None
    path = root / name
    found = read_model_json(path)
    found = next((found[entry] for entry in _PROCESSOR_FILES[name] if isinstance(found.get(entry), dict)), found)
    size = found.get("size") or {"height": side, "width": side}
    if isinstance(size, int):  # one number is a square, as older processors wrote it
        size = {"height": size, "width": size}
    if not isinstance(size, dict) or (size.get("height"), size.get("width")) != (side, side):
        raise ModelError(
            f"{path}: size is {size}, but image_size in config.json is {side}; the files belong to different models."
        )
    mean, std = _colour(path, found, "image_mean", family.mean), _colour(path, found, "image_std", family.std)
    if not found.get("do_normalize", True):
        mean, std = (0.0, 0.0, 0.0), (1.0, 1.0, 1.0)
    factor = found.get("rescale_factor", 1 / 255) if found.get("do_rescale", True) else 1
    if isinstance(factor, bool) or not isinstance(factor, int | float) or not 0 < factor < math.inf:
        raise ModelError(f"{path}: rescale_factor is {factor!r}, not a number above 0; copy the file again.")
    # Frames are divided by 255 here whatever the factor, so the constants carry the rest.
    scale = round(factor * 255, 9)  # 1 / 255 written in decimals is 1
    return Preprocessing(side, _divided(mean, scale), _divided(std, scale)), path


def _divided(three: Colours, by: float) -> Colours:
    return three[0] / by, three[1] / by, three[2] / by


def _colour(path: Path, found: dict[str, Any], key: str, default: Colours) -> Colours:
    value = found.get(key, default)
    numbers = value if isinstance(value, list | tuple) else []
    if len(numbers) != 3 or not all(isinstance(v, int | float) and math.isfinite(v) for v in numbers):
        raise ModelError(f"{path}: {key} is {value!r}; give three numbers, one a colour channel.")
    if key == "image_std" and min(numbers) <= 0:
        raise ModelError(f"{path}: {key} is {value!r}; give three numbers above 0.")
    return float(numbers[0]), float(numbers[1]), float(numbers[2])
