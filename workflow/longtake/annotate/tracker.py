"""SAM 2 from a local folder: weights as safetensors, the constants of its preprocessing, and a digest of both."""

from __future__ import annotations

import hashlib
import json
import logging
import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from transformers import Sam2VideoConfig, Sam2VideoModel
from transformers.utils.logging import disable_progress_bar

from longtake.annotate.geometry import Preprocessing
from longtake.errors import ModelError

log = logging.getLogger(__name__)

MODEL_TYPE = "sam2_video"
PRECISIONS = ("float32", "bfloat16")
# Where published folders keep the colour constants; the first that is there counts.
_PROCESSOR_FILES = ("preprocessor_config.json", "video_preprocessor_config.json")
# The constants that SAM 2 documents (ImageNet's), for folders without a processor file.
_MEAN, _STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)


@dataclass(frozen=True)
class Tracker:
    """A SAM 2 video model ready to track, with what identifies it.

    Weights are float32 whatever the precision; ``bfloat16`` means autocast, as the published model is run.
    """

    model: Sam2VideoModel
    preprocessing: Preprocessing
    digest: str
    device: torch.device
    precision: str


def load_tracker(
    folder: str | os.PathLike[str], device: str | torch.device = "cpu", precision: str = "float32"
) -> Tracker:
    """Load a ``Sam2VideoModel`` from a local folder; nothing is fetched and nothing is unpickled.

    Parameters
    ----------
    folder
        Holds ``config.json`` and ``model.safetensors`` (or its index and shards), and the colour constants in
        ``preprocessor_config.json`` where they are not SAM 2's documented ones.
    device
        Where the model runs.
    precision
        ``float32``, or ``bfloat16`` for autocast over float32 weights.

    Raises
    ------
    ModelError
        A file is missing, of another model type, or lacks weights that the model needs.
    """
    root = Path(folder)
    if precision not in PRECISIONS:
        raise ModelError(f"precision is {precision!r}; give one of {', '.join(PRECISIONS)}.")
    disable_progress_bar()  # a bar of the library's own has no place in a job's log
    config = _config(root)
    files = [root / "config.json", *_weight_files(root)]
    preprocessing, processor_file = _preprocessing(root, config)
    files += [processor_file] if processor_file else []
    try:
        loaded: Any = Sam2VideoModel.from_pretrained(
            root,
            config=config,
            local_files_only=True,
            use_safetensors=True,
            dtype=torch.float32,
            output_loading_info=True,
        )
    except SafetensorError as error:
        raise ModelError(f"{root}: the weights cannot be read ({error}); copy the folder again.") from None
    model, info = loaded
    missing = sorted(info["missing_keys"])
    if missing:
        raise ModelError(
            f"{root}: model.safetensors lacks {len(missing)} weights of {MODEL_TYPE}, the first {missing[0]!r}; "
            "they would be random. Give the folder of a complete SAM 2 video model."
        )
    model = model.eval().requires_grad_(False).to(device)
    return Tracker(model, preprocessing, _digest(files), torch.device(device), precision)


def _config(root: Path) -> Sam2VideoConfig:
    path = root / "config.json"
    if not path.is_file():
        raise ModelError(
            f"{root}: config.json is missing. Give the folder of a SAM 2 video model in the transformers format, "
            "with config.json and model.safetensors in it."
        )
    found = _read_json(path).get("model_type")
    if found != MODEL_TYPE:
        raise ModelError(
            f"{path}: model_type is {found!r}, but annotation needs {MODEL_TYPE!r}. Give the folder of a SAM 2 video "
            "model."
        )
    return Sam2VideoConfig.from_pretrained(root, local_files_only=True)


def _weight_files(root: Path) -> list[Path]:
    index = root / "model.safetensors.index.json"
    if index.is_file():
        files = [index, *(root / name for name in sorted(set(_read_json(index).get("weight_map", {}).values())))]
    else:
        files = [root / "model.safetensors"]
    for path in files:
        if not path.is_file():
            raise ModelError(
                f"{root}: {path.name} is missing. Weights must be safetensors beside config.json; pickled weights "
                "(.bin, .pt) are not loaded."
            )
    return files


def _preprocessing(root: Path, config: Sam2VideoConfig) -> tuple[Preprocessing, Path | None]:
    if not isinstance(config.image_size, int):
        raise ModelError(
            f"{root}/config.json: image_size is {config.image_size!r}; SAM 2 takes squares, give one number."
        )
    side = config.image_size
    for name in _PROCESSOR_FILES:
        path = root / name
        if path.is_file():
            break
    else:
        log.info("%s has no %s: using SAM 2's documented colour constants", root, _PROCESSOR_FILES[0])
        return Preprocessing(side, _MEAN, _STD), None
    found = _read_json(path)
    size = found.get("size") or {"height": side, "width": side}
    if (size.get("height"), size.get("width")) != (side, side):
        raise ModelError(
            f"{path}: size is {size}, but image_size in config.json is {side}; the files belong to different models."
        )
    return Preprocessing(side, _colour(path, found, "image_mean", _MEAN), _colour(path, found, "image_std", _STD)), path


def _colour(
    path: Path, found: dict[str, Any], key: str, default: tuple[float, float, float]
) -> tuple[float, float, float]:
    value = found.get(key, default)
    if not isinstance(value, list | tuple) or len(value) != 3 or any(not isinstance(v, int | float) for v in value):
        raise ModelError(f"{path}: {key} is {value!r}; give three numbers, one a colour channel.")
    return float(value[0]), float(value[1]), float(value[2])


def _read_json(path: Path) -> dict[str, Any]:
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
    except ValueError as error:
        raise ModelError(f"{path} is not JSON ({error}); copy the file again.") from None
    if not isinstance(found, dict):
        raise ModelError(f"{path} holds no JSON object; copy the file again.")
    return found


def _digest(files: list[Path]) -> str:
    """Hash names and contents, so that an edited constant is another model."""
    whole = hashlib.sha256()
    for path in files:
        with path.open("rb") as file:
            whole.update(f"{path.name} {hashlib.file_digest(file, 'sha256').hexdigest()}\n".encode())
    return whole.hexdigest()
