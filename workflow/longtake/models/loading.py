"""Models from local folders and from the user's own factories; nothing is downloaded, and no pickle runs."""

import json
import logging
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import save_file

from longtake.errors import ModelError, nearest
from longtake.memory.ledger import stage
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
from longtake.models.weights import SAFETENSORS, read_weights
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
    try:
        module = ClipClassifier(config_from_json(config))
    except (TypeError, ValueError) as error:
        raise ModelError(f"{folder / CONFIG}: {error}. Restore the file that came with the weights.") from error
    weights = read_weights(folder)
    try:
        module.load_state_dict(weights)
    except RuntimeError as error:
        first = " ".join(line.strip() for line in str(error).splitlines()[:3])
        raise ModelError(f"{folder}: the weights do not fit {CONFIG} ({first}). Copy both files again.") from error
    return ClipClassifierModel(module.to(device).eval())


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
    try:
        config = json.loads(path.read_text(encoding="utf-8"))
    except ValueError as error:
        raise ModelError(f"{path} is not JSON ({error}). Copy the file again.") from error
    kind = config.get("model_type") if isinstance(config, dict) else None
    if kind not in FAMILIES:
        raise ModelError(
            f"{path}: model_type {kind!r} is not known here.{nearest(str(kind), FAMILIES)} Known: "
            f"{', '.join(sorted(FAMILIES))}. Any other model can be brought in as module:factory."
        )
    return FAMILIES[kind](folder, config, device)


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
