"""Models from local folders and from the user's own factories; nothing is downloaded, nothing unpickled."""

import importlib
import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file

from longtake.errors import ModelError, nearest
from longtake.models.adapter import Adapter
from longtake.models.classifier import (
    MODEL_TYPE,
    ClipClassifier,
    ClipClassifierAdapter,
    config_from_json,
    config_to_json,
)
from longtake.store.atomic import atomic_path, write_json

CONFIG, WEIGHTS = "config.json", "model.safetensors"


def load_model(spec: str | os.PathLike[str], device: str | torch.device = "cpu") -> Adapter:
    """Load a model by what the configuration says.

    Parameters
    ----------
    spec : a local folder with config.json and model.safetensors, or ``module:factory`` of the user's own code,
        where ``factory(device)`` returns an adapter
    device : where the model shall compute

    Raises
    ------
    ModelError : the folder or a file is missing or damaged, the kind of model is unknown, the factory cannot be
        imported or returns something else than an adapter.
    """
    folder = Path(spec)
    if folder.is_dir():
        return _load_folder(folder, torch.device(device))
    module, colon, factory = str(spec).partition(":")
    if colon and all(part.isidentifier() for part in module.split(".")) and factory.isidentifier():
        return _load_factory(module, factory, torch.device(device))
    raise ModelError(
        f"model {str(spec)!r}: there is no such folder. Give a local folder with {CONFIG} and {WEIGHTS}, or "
        "module:factory of your own code; nothing is downloaded."
    )


def save_classifier(module: ClipClassifier, folder: str | os.PathLike[str]) -> None:
    """Write `module` as a folder that `load_model` reads: config.json and model.safetensors."""
    target = Path(folder)
    target.mkdir(parents=True, exist_ok=True)
    with atomic_path(target / WEIGHTS) as temporary:
        save_file({name: value.contiguous().cpu() for name, value in module.state_dict().items()}, temporary)
    write_json(target / CONFIG, config_to_json(module.config))


def _load_classifier(folder: Path, config: dict[str, Any], device: torch.device) -> Adapter:
    try:
        module = ClipClassifier(config_from_json(config))
    except (TypeError, ValueError) as error:
        raise ModelError(f"{folder / CONFIG}: {error}. Restore the file that came with the weights.") from error
    try:
        module.load_state_dict(load_file(_existing(folder / WEIGHTS), device="cpu"))
    except (SafetensorError, RuntimeError) as error:
        raise ModelError(
            f"{folder / WEIGHTS} does not fit {CONFIG} or is damaged: {error}. Copy both files again."
        ) from error
    return ClipClassifierAdapter(module.to(device).eval())


# One entry per kind of folder, by the model_type in its config.json.
FAMILIES: dict[str, Callable[[Path, dict[str, Any], torch.device], Adapter]] = {MODEL_TYPE: _load_classifier}


def _load_folder(folder: Path, device: torch.device) -> Adapter:
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


def _load_factory(module: str, factory: str, device: torch.device) -> Adapter:
    try:
        made = getattr(importlib.import_module(module), factory)(device)
    except (ImportError, AttributeError) as error:
        raise ModelError(
            f"model {module}:{factory} cannot be loaded ({error}). Is the folder of {module}.py on PYTHONPATH?"
        ) from error
    if not isinstance(made, Adapter):
        missing = [name for name in ADAPTER_PARTS if not hasattr(made, name)]
        raise ModelError(
            f"model {module}:{factory} returned a {type(made).__name__} without {', '.join(missing)}; "
            "longtake.models.adapter says what an adapter has."
        )
    return made


ADAPTER_PARTS = ("module", "class_names", "n_frames", "input_size", "scores")


def _existing(path: Path) -> Path:
    if path.is_file():
        return path
    there = sorted(entry.name for entry in path.parent.iterdir())
    hint = " A pickled checkpoint (.bin, .pt) is not loaded: convert it to safetensors." if path.name == WEIGHTS else ""
    raise ModelError(
        f"model folder {path.parent} has no {path.name} (it holds {', '.join(there) or 'nothing'}). "
        f"Copy the whole folder again.{hint}"
    )
