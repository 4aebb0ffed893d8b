"""A model's weights from its folder, as tensors and nothing else.

A pickle is a program: the usual ``torch.load`` runs whatever is in it. Here only tensors and plain containers come out
of one (``weights_only=True``); a file that asks for more is refused before anything of it has run.
"""

import json
import os
from pathlib import Path
from pickle import UnpicklingError

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor

from longtake.errors import ModelError

SAFETENSORS, PICKLE = "model.safetensors", "pytorch_model.bin"


def read_weights(folder: str | os.PathLike[str]) -> dict[str, Tensor]:
    """Read all weights of a model's folder: name -> tensor on the CPU, dtype as stored.

    Parameters
    ----------
    folder : holds model.safetensors, else pytorch_model.bin; either may be cut into parts that its index lists

    Memory: the weights, once.

    Raises
    ------
    ModelError : a file is missing or damaged, holds something else than tensors by name, or is a pickle that would run
        code.
    """
    found: dict[str, Tensor] = {}
    for path in weight_files(Path(folder)):
        found |= _read_safetensors(path) if path.suffix == ".safetensors" else _read_pickle(path)
    return found


def weight_files(folder: Path) -> list[Path]:
    """The files that hold the weights; safetensors where there are any. Raises ModelError if one is missing."""
    for name in (SAFETENSORS, PICKLE):
        if (folder / name).is_file():
            return [folder / name]
        if (folder / f"{name}.index.json").is_file():
            return _parts(folder / f"{name}.index.json")
    there = ", ".join(sorted(entry.name for entry in folder.iterdir())) or "nothing"
    raise ModelError(
        f"model folder {folder} has no {SAFETENSORS} and no {PICKLE} (it holds {there}). Copy the whole folder again, "
        "or save the weights under one of these names."
    )


def _parts(index: Path) -> list[Path]:
    try:
        names = sorted(set(json.loads(index.read_text(encoding="utf-8"))["weight_map"].values()))
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise ModelError(f"{index} is no index of weights ({error}). Copy the folder again.") from error
    for name in names:
        if not isinstance(name, str) or Path(name).name != name or not (index.parent / name).is_file():
            raise ModelError(f"{index} lists {name!r}, which is no file in that folder. Copy the folder again.")
    return [index.parent / name for name in names]


def _read_safetensors(path: Path) -> dict[str, Tensor]:
    try:
        return load_file(path, device="cpu")
    except SafetensorError as error:
        raise ModelError(f"{path} is damaged: {error}. Copy the file again.") from error


def _read_pickle(path: Path) -> dict[str, Tensor]:
    try:
        found = torch.load(path, map_location="cpu", weights_only=True)
    except UnpicklingError as error:
        raise ModelError(
            f"{path} is a pickle that holds more than tensors, so loading it would run code of its maker's. Nothing of "
            f"it was run. Save the weights as {SAFETENSORS} where you trust the file, for example with "
            "safetensors.torch.save_file(model.state_dict(), ...)."
        ) from error
    except (RuntimeError, EOFError, OSError, ValueError, KeyError) as error:
        raise ModelError(f"{path} is damaged: {error}. Copy the file again.") from error
    if not isinstance(found, dict) or not all(isinstance(value, Tensor) for value in found.values()):
        raise ModelError(
            f"{path} holds a {type(found).__name__} that is no table of tensors by name, as model.state_dict() is. "
            f"Save that alone, best as {SAFETENSORS}."
        )
    return found
