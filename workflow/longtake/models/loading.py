"""Models from local folders and from the user's own factories; nothing is downloaded, and no pickle runs."""

import logging
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import save_file
from torch import Tensor

from longtake.errors import ModelError, nearest
from longtake.memory.ledger import stage
from longtake.model_config import check_config, check_size, read_model_json
from longtake.models.classifier import (
    MODEL_TYPE,
    ClipClassifier,
    ClipClassifierModel,
    config_from_json,
    config_to_json,
)
from longtake.models.factory import load_factory
from longtake.models.networks.build import MODEL_TYPE as CLIP_NETWORK
from longtake.models.networks.build import load_network
from longtake.models.protocols import ClipModel
from longtake.models.segmenters import load_mask2former, load_videomt
from longtake.models.targets import listed
from longtake.models.video_classifiers import VIDEO_CLASSIFIERS, load_video_classifier
from longtake.models.weights import SAFETENSORS, numbers_of, read_weights
from longtake.store.atomic import atomic_path, write_json

logger = logging.getLogger(__name__)

CONFIG = "config.json"


@stage("load")
def load_model(spec: str | os.PathLike[str], device: str | torch.device = "cpu") -> ClipModel:
    """Load a model by what the configuration says.

    Parameters
    ----------
    spec : a local folder with config.json and weights (docs/models.md lists the kinds), or ``module:factory`` of the
        user's own code, where ``factory(device)`` returns a `ClipModel`
    device : where the model shall compute

    What was loaded, and how it normalises frames, is logged.

    Raises
    ------
    ModelError : the folder or a file is missing or damaged, the kind of model is unknown, the factory cannot be
        imported or returns something else than a `ClipModel`.
    """
    folder = Path(spec)
    if folder.is_dir():
        return _told(_load_folder(folder, torch.device(device)), spec)
    module, colon, factory = str(spec).partition(":")
    if colon and all(part.isidentifier() for part in module.split(".")) and factory.isidentifier():
        return _told(load_factory(module, factory, torch.device(device)), spec)
    raise ModelError(
        f"model {str(spec)!r}: there is no such folder. Give a local folder with {CONFIG} and {SAFETENSORS}, or "
        "module:factory of your own code; nothing is downloaded."
    )


def save_classifier(module: ClipClassifier, folder: str | os.PathLike[str]) -> None:
    """Write `module` as a folder that `load_model` reads: config.json and model.safetensors."""
    target = Path(folder)
    target.mkdir(parents=True, exist_ok=True)
    with atomic_path(target / SAFETENSORS) as temporary:
        save_file({name: value.contiguous().cpu() for name, value in module.state_dict().items()}, temporary)
    write_json(target / CONFIG, config_to_json(module.config))


def _load_classifier(folder: Path, config: dict[str, Any], device: torch.device) -> ClipModel:
    weights = read_weights(folder)
    try:
        settings = config_from_json(config)
        with torch.device("meta"):
            check_size(numbers_of(ClipClassifier(settings)), sum(map(Tensor.numel, weights.values())), folder)
        module = ClipClassifier(settings)
    except (TypeError, ValueError) as error:
        raise ModelError(f"{folder / CONFIG}: {error}. Restore the file that came with the weights.") from error
    try:
        module.load_state_dict(weights)
    except RuntimeError as error:
        first = " ".join(line.strip() for line in str(error).splitlines()[:3])
        raise ModelError(f"{folder}: the weights do not fit {CONFIG} ({first}). Copy both files again.") from error
    return ClipClassifierModel(module.to(device).eval())


# What a configuration that is amiss makes the libraries raise, somewhere inside. What tells of memory is not among
# them: who asked for the model tries again with less.
AMISS = (
    AssertionError, AttributeError, LookupError, NotImplementedError, OverflowError, RecursionError, TypeError,
    UnicodeError, ValueError, ZeroDivisionError,
)  # fmt: skip

# One entry per kind of folder, by the model_type in its config.json.
FAMILIES: dict[str, Callable[[Path, dict[str, Any], torch.device], ClipModel]] = {
    MODEL_TYPE: _load_classifier,
    CLIP_NETWORK: load_network,
    **dict.fromkeys(VIDEO_CLASSIFIERS, load_video_classifier),
    "videomt": load_videomt,
    "mask2former": load_mask2former,
}


def _load_folder(folder: Path, device: torch.device) -> ClipModel:
    path = _existing(folder / CONFIG)
    config = read_model_json(path)
    check_config(config, path)
    kind = config.get("model_type")
    if not isinstance(kind, str) or kind not in FAMILIES:
        raise ModelError(
            f"{path}: model_type {kind!r} is not known here.{nearest(str(kind), FAMILIES)} Known: "
            f"{', '.join(sorted(FAMILIES))}. Any other model can be brought in as module:factory."
        )
    try:
        return FAMILIES[kind](folder, config, device)
    except AMISS as error:
        what = f"{type(error).__name__}: {' '.join(str(error).split())[:300]}"
        raise ModelError(
            f"{folder}: no {kind} can be made of its files ({what}). Copy the whole folder again."
        ) from error


def _told(model: ClipModel, spec: str | os.PathLike[str]) -> ClipModel:
    """Log what was loaded."""
    frames = "any number of" if model.n_frames is None else model.n_frames
    logger.info(
        "model %s: %s, clips of %s frames, %d classes: %s",
        spec,
        type(model.module).__name__,
        frames,
        len(model.class_names),
        listed(model.class_names, 5),
    )
    normalisation = getattr(model, "normalisation", None)
    if normalisation is None:
        logger.info("model %s declares no normalisation: what its scores() does to frames in [0, 1] is its own", spec)
    else:
        logger.info("model %s normalises frames in [0, 1]: %s", spec, normalisation)
    return model


def _existing(path: Path) -> Path:
    if path.is_file():
        return path
    there = ", ".join(sorted(entry.name for entry in path.parent.iterdir())) or "nothing"
    raise ModelError(f"model folder {path.parent} has no {path.name} (it holds {there}). Copy the whole folder again.")
