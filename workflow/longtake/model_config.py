"""The files of a model's folder, which may come from anyone: read within bounds, and nothing done that they ask for.

Parsed with the Snakefile in every job: the standard library only.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from math import prod
from pathlib import Path
from typing import Any

from longtake.errors import LongtakeError, ModelError

# Real ones have some kilobytes, with twenty thousand named classes a megabyte, and nest five deep.
_MOST_BYTES, _DEEPEST = 2**24, 32
# Above these a model is none of today's, and the library would build it for hours before its weights do not fit.
_LARGEST, _WIDEST, _MOST_LAYERS, _MOST_PLACES = 2**24, 2**18, 1024, 2**24
_LAYERS = ("layer", "depth", "block", "stage")
_WIDTHS = ("_size", "_dim", "_dims", "_channels", "width")
# A safetensors file begins with the length of its header, which holds some hundred bytes for each tensor.
_MOST_HEADER = 2**24
_POINTER = b"version https://git-lfs"
# By these the library would fetch or change something: weights are not stored plainly, layers are fused, a backbone is
# named and not described, a part is built by another library with arguments of the file's.
REFUSED = (
    "quantization_config", "fusion_config", "use_pretrained_backbone", "use_timm_backbone", "backbone_kwargs",
    "model_args",
)  # fmt: skip


def read_model_json(path: Path, error: type[LongtakeError] = ModelError) -> dict[str, Any]:
    """Read an object of settings.

    Raises
    ------
    `error`
        The file cannot be read, is a pointer of git-lfs, too large, no JSON object, or nested deeper than any.
    """
    refuse_pointer(path, error)
    try:
        if path.stat().st_size > _MOST_BYTES:
            raise error(f"{path} has {path.stat().st_size} bytes, and settings at most {_MOST_BYTES}. Copy it again.")
        found = json.loads(path.read_text(encoding="utf-8-sig"))
    except OSError as problem:
        raise error(f"{path} cannot be read ({problem.strerror}). Let it be read, or copy it again.") from problem
    except (ValueError, RecursionError) as problem:
        raise error(f"{path} is not JSON ({problem}). Copy the file again.") from problem
    if not isinstance(found, dict):
        raise error(f"{path} holds no settings of a processor or a model. Copy the file again.")
    level: list[Any] = [found]
    for _ in range(_DEEPEST):
        level = [part for each in level for part in _parts(each)]
    if level:
        raise error(f"{path} is nested more than {_DEEPEST} deep, as no settings are. Copy the file again.")
    return found


def refuse_pointer(path: Path, error: type[LongtakeError] = ModelError) -> None:
    """Refuse a file that only says where git-lfs keeps the file; what cannot be read is left to who reads it.

    Raises
    ------
    `error`
    """
    try:
        with path.open("rb") as file:
            begins = file.read(len(_POINTER))
    except OSError:
        return
    if begins == _POINTER:
        raise error(
            f"{path} is a pointer of git-lfs and not the file itself. Fetch it with 'git lfs pull' in that folder, or "
            "download the file."
        )


def check_config(config: Mapping[str, Any], path: Path, error: type[LongtakeError] = ModelError) -> None:
    """Refuse a configuration that asks for what is not done here, or for more than any model has.

    Raises
    ------
    `error`
    """
    for part in _objects(config):
        asked = [key for key in REFUSED if part.get(key)]
        # A backbone that is described names none.
        asked += ["backbone"] * (not isinstance(part.get("backbone") or {}, dict))
        # timm takes an address of a model hub for the name of an architecture.
        asked += ["architecture"] * (":" in str(part.get("architecture") or ""))
        if asked:
            raise error(
                f"{path} sets {', '.join(asked)}, which is not supported: nothing is fetched, and weights are plain. "
                "Save the model once more without it, its backbone described by backbone_config."
            )
        for key, value in part.items():
            most = _most(key)
            for number in _numbers(value):
                if abs(number) > most:
                    raise error(f"{path}: {key} is {_shown(number)}; no model has more than {most}. Copy it again.")
        if _places(part) > _MOST_PLACES:
            raise error(
                f"{path}: its picture size, patch size, frames and width make more than {_MOST_PLACES} numbers of "
                "positions, which no model has. Copy it again."
            )


def check_weight_file(path: Path) -> None:
    """Refuse what is no file of weights by its first bytes, before a library reads it.

    Raises
    ------
    ModelError
        It is a pointer of git-lfs, or its header is longer than any or than the file.
    """
    refuse_pointer(path)
    if path.suffix != ".safetensors":
        return
    with path.open("rb") as file:
        header = int.from_bytes(file.read(8), "little")
    if header > min(_MOST_HEADER, path.stat().st_size - 8):
        raise ModelError(
            f"{path} is damaged and cannot be read: it says that its header has {header} bytes, and one has at most "
            f"{_MOST_HEADER} and fewer than the file. Copy the file again."
        )


def count_stored(path: Path) -> int:
    """Count the numbers that a safetensors file holds, by its header.

    Raises
    ------
    ModelError
        As `check_weight_file`; or the header is none.
    """
    check_weight_file(path)
    with path.open("rb") as file:
        header = file.read(int.from_bytes(file.read(8), "little"))
    try:
        tensors = [value for key, value in json.loads(header).items() if key != "__metadata__"]
        return sum(prod(map(int, tensor["shape"])) for tensor in tensors)
    except (ValueError, TypeError, KeyError, AttributeError, RecursionError) as problem:
        raise ModelError(f"{path} is damaged: its header is none ({problem}). Copy the file again.") from problem


def check_size(built: int, stored: int, folder: Path) -> None:
    """Refuse a model of more numbers than its weights hold, before memory is taken for them.

    Twice as many may be: parts that are tied are stored once, and some are made anew.

    Raises
    ------
    ModelError
    """
    if built > 2 * stored + 2**20:
        raise ModelError(
            f"{folder}: config.json describes a model of {built} numbers, and the weights hold {stored}. Copy "
            "config.json and the weights again, together."
        )


def _parts(value: Any) -> Iterator[Any]:
    """What is inside an object or a list and is one itself."""
    inside = value.values() if isinstance(value, dict) else value if isinstance(value, list) else ()
    return (part for part in inside if isinstance(part, dict | list))


def _objects(value: Any) -> Iterator[Mapping[str, Any]]:
    if isinstance(value, dict):
        yield value
    for part in _parts(value):
        yield from _objects(part)


def _numbers(value: Any) -> Iterator[int]:
    for each in value if isinstance(value, list) else [value]:
        if isinstance(each, int) and not isinstance(each, bool):
            yield each


def _most(key: str) -> int:
    if any(word in key for word in _LAYERS):
        return _MOST_LAYERS
    return _WIDEST if key.endswith(_WIDTHS) else _LARGEST


def _places(part: Mapping[str, Any]) -> int:
    """Numbers of a table of positions, which a video model computes one by one."""
    sides = list(_numbers(part.get("image_size", part.get("crop_size"))))
    patch = [*_numbers(part.get("patch_size")), 16][0]
    tubelet = [*_numbers(part.get("tubelet_size")), 1][0]
    frames = [*_numbers(part.get("num_frames", part.get("frames_per_clip"))), 1][0]
    width = [*_numbers(part.get("hidden_size")), 1][0]
    if len(sides) == 1:
        sides *= 2
    along = [side // max(1, patch) + 1 for side in sides]
    return prod(along) * (frames // max(1, tubelet) + 1) * width if sides else 0


def _shown(number: int) -> str:
    return str(number) if abs(number) < 10**30 else "a number of more than 30 digits"
