"""A model's weights from its folder, as tensors and nothing else.

A pickle is a program: the usual ``torch.load`` runs whatever is in it. Here only tensors and plain containers come out
of one (``weights_only=True``); a file that asks for more is refused before anything of it has run.
"""

import os
import zipfile
from pathlib import Path
from pickle import UnpicklingError
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor, nn

from longtake.errors import ModelError
from longtake.model_config import check_weight_file, read_model_json

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
            return indexed(folder / f"{name}.index.json")
    there = ", ".join(sorted(entry.name for entry in folder.iterdir())) or "nothing"
    raise ModelError(
        f"model folder {folder} has no {SAFETENSORS} and no {PICKLE} (it holds {there}). Copy the whole folder again, "
        "or save the weights under one of these names."
    )


def numbers_of(module: nn.Module) -> int:
    """Count the numbers of a module's parameters and buffers, each once."""
    return sum(each.numel() for each in (*module.parameters(), *module.buffers()))


def indexed(index: Path) -> list[Path]:
    """The files of weights that an index lists, all in its folder. Raises ModelError."""
    try:
        names = sorted(set(read_model_json(index)["weight_map"].values()))
    except (KeyError, TypeError, AttributeError) as error:
        raise ModelError(f"{index} is no index of weights ({error}). Copy the folder again.") from error
    for name in names:
        if not isinstance(name, str) or Path(name).name != name or not (index.parent / name).is_file():
            raise ModelError(f"{index} lists {name!r}, which is no file in that folder. Copy the folder again.")
    return [index.parent / name for name in names]


def _read_safetensors(path: Path) -> dict[str, Tensor]:
    check_weight_file(path)
    try:
        return load_file(path, device="cpu")
    except SafetensorError as error:
        raise ModelError(f"{path} is damaged: {error}. Copy the file again.") from error


def _read_pickle(path: Path) -> dict[str, Tensor]:
    return tensors_of(unpickled(path), path)


def unpickled(path: Path) -> Any:
    """Return what a pickle holds, of which nothing is run: tensors and plain containers.

    Raises
    ------
    ModelError : it would run code, is damaged, packed, or a pointer of git-lfs.
    """
    check_weight_file(path)
    _refuse_packed(path)
    try:
        return torch.load(path, map_location="cpu", weights_only=True)
    except UnpicklingError as error:
        raise ModelError(
            f"{path} is a pickle that holds more than tensors, so loading it would run code of its maker's. Nothing of "
            f"it was run. Save the weights as {SAFETENSORS} where you trust the file, for example with "
            "safetensors.torch.save_file(model.state_dict(), ...)."
        ) from error
    except (RuntimeError, EOFError, OSError, ValueError, LookupError, TypeError, AttributeError, MemoryError) as error:
        raise ModelError(f"{path} is damaged: {error}. Copy the file again.") from error


def tensors_of(found: Any, path: Path) -> dict[str, Tensor]:
    """Return a table of tensors by name as it is.

    Raises
    ------
    ModelError : `found` is none, or a tensor is larger than what the file holds of it.
    """
    if not isinstance(found, dict) or not all(isinstance(value, Tensor) for value in found.values()):
        raise ModelError(
            f"{path} holds a {type(found).__name__} that is no table of tensors by name, as model.state_dict() is. "
            f"Save that alone, best as {SAFETENSORS}."
        )
    for name, value in found.items():
        if value.layout != torch.strided or value.numel() * value.element_size() > value.untyped_storage().nbytes():
            raise ModelError(
                f"{path}: {name!r} has the shape {tuple(value.shape)}, of which the file holds only a part. Save all "
                f"of it, best as {SAFETENSORS}."
            )
    return found


def _refuse_packed(path: Path) -> None:
    """Refuse an archive whose parts are packed: torch packs none, and a small one could hold any number of zeros."""
    if not zipfile.is_zipfile(path):
        return
    try:
        with zipfile.ZipFile(path) as archive:
            packed = [part.filename for part in archive.infolist() if part.file_size > part.compress_size]
    except (zipfile.BadZipFile, ValueError, NotImplementedError) as error:
        raise ModelError(f"{path} is damaged: {error}. Copy the file again.") from error
    if packed:
        raise ModelError(
            f"{path} is packed ({packed[0]}), which torch.save does not do: how much comes out is not known before. "
            f"Save the weights once more, best as {SAFETENSORS}."
        )
