"""The clips on disk, each under a name made of all that decides its pixels; shared by folds, models and runs.

A file is written once and never changed. Its name is the digest of the source's bytes, the frames, size and fit, the
drawn parameters, the stream of the noise, the code, and the versions of the libraries that touch pixels. So moving a
video changes nothing, and another range of one operation remakes the augmented clips alone.
"""

from __future__ import annotations

import hashlib
import importlib.metadata
import json
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from longtake import fingerprint
from longtake.errors import SchemaError
from longtake.store.arrays import read_arrays, write_arrays

LIBRARIES = ("av", "opencv-python-headless", "numpy")
_TENSOR, _PACKED = "frames", "frames.zstd"
_BLOCK = 2**20


def source_digest(path: str | Path) -> str:
    """Return sha256 of every byte of a file, or of all files of a folder by name; about 0.7 CPU seconds a GB."""
    total = hashlib.sha256()
    source = Path(path)
    for file in sorted(source.iterdir()) if source.is_dir() else [source]:
        if source.is_dir():
            total.update(file.name.encode() + b"\0")
        with file.open("rb") as opened:
            while block := opened.read(_BLOCK):
                total.update(block)
    return total.hexdigest()


def clip_key(source: str, frames: tuple[int, ...], size: int, fit: str, *, parameters: str, noise: str) -> str:
    """Return the name of a clip: a digest of all that decides its pixels.

    Parameters
    ----------
    source
        `source_digest` of the video.
    frames, size, fit
        Which frames, and how they are brought to one size.
    parameters, noise
        The drawn augmentation as JSON, and the stream of its noise; empty for the original.
    """
    about = {
        "source": source,
        "frames": list(frames),
        "size": size,
        "fit": fit,
        "parameters": parameters,
        "noise": noise,
        **makers(),
    }
    return hashlib.sha256(json.dumps(about, sort_keys=True).encode()).hexdigest()[:32]


@cache
def makers() -> dict[str, Any]:
    """Return the digest of the code that makes pixels, and the versions of the libraries under it."""
    modules = ("longtake.media", "longtake.training.augment", "longtake.training.sampling")
    return {
        "code": fingerprint.digest(*modules),
        "versions": {name: importlib.metadata.version(name) for name in LIBRARIES},
    }


def clip_path(store: str | Path, key: str) -> Path:
    """Return where the clip `key` lies: ``store/ab/<key>.safetensors``."""
    return Path(store) / key[:2] / f"{key}.safetensors"


def put_clip(store: str | Path, key: str, pixels: np.ndarray, compression: str = "none") -> str:
    """Write frames (T, H, W, 3) uint8 under `key`, read-only, unless they are there; return sha256 of the pixels.

    ``zstd`` takes about 0.7 of the bytes; clips of either kind are read alike, so a store may hold both.
    """
    path = clip_path(store, key)
    if path.exists():
        _, about = read_arrays(path)
        return str(about.get("sha256", ""))
    checksum = pixels_digest(pixels)
    about = {"key": key, "sha256": checksum}
    if compression == "zstd":
        packed = np.frombuffer(pa.compress(pixels.tobytes(), "zstd", asbytes=True), np.uint8)
        write_arrays(path, {_PACKED: packed}, about | {"shape": json.dumps(pixels.shape)})
    else:
        write_arrays(path, {_TENSOR: pixels}, about)
    path.chmod(0o444)
    return checksum


def get_clip(store: str | Path, key: str, checksum: str) -> np.ndarray:
    """Read the frames (T, H, W, 3) uint8 of `key` and check them by the digest that the table of clips holds.

    Raises
    ------
    SchemaError
        The file is missing, torn, or holds other pixels than were made.
    """
    path = clip_path(store, key)
    arrays, about = read_arrays(path)
    pixels = arrays.get(_TENSOR)
    if _PACKED in arrays:
        pixels = _unpacked(arrays[_PACKED], about)
    if pixels is None or pixels_digest(pixels) != checksum:
        raise SchemaError(f"{path} does not hold the pixels that were made. Delete it and run again; it is made anew.")
    return pixels


def _unpacked(packed: np.ndarray, about: dict[str, str]) -> np.ndarray | None:
    """The pixels of compressed ones; None where they cannot be taken apart."""
    shape = tuple(json.loads(about.get("shape", "[]")))
    try:
        plain = pa.decompress(packed.tobytes(), int(np.prod(shape)), "zstd", asbytes=True)
    except (OSError, ValueError, pa.ArrowException):
        return None
    return np.frombuffer(plain, np.uint8).reshape(shape)


def pixels_digest(pixels: np.ndarray) -> str:
    """Return sha256 of the shape and bytes of an array."""
    return hashlib.sha256(repr(pixels.shape).encode() + np.ascontiguousarray(pixels).tobytes()).hexdigest()
