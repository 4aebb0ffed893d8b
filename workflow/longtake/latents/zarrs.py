"""Latents in Zarr arrays, which are folders: read by the package zarr, which is not needed otherwise.

An array names the codecs that its chunks go through, and one of them runs code that lies in the file (pickle). So only
codecs that are known to be plain are let through, before zarr looks at the array.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from longtake.errors import LatentError

_PLAIN = frozenset(
    "bytes transpose blosc zstd gzip zlib lz4 lzma bz2 crc32 crc32c adler32 shuffle delta fixedscaleoffset "
    "sharding_indexed".split()
)
_MOST_METADATA = 2**20


def stamp(path: str | os.PathLike[str]) -> tuple[int, int]:
    """Bytes and time of the last change (ns) of a file, or of all that lies in a folder."""
    top = os.stat(path)  # noqa: PTH116
    if not os.path.isdir(path):  # noqa: PTH112
        return top.st_size, top.st_mtime_ns
    size, latest = 0, top.st_mtime_ns
    for folder, _, names in os.walk(path):
        for each in (folder, *(os.path.join(folder, name) for name in names)):  # noqa: PTH118
            now = os.stat(each)  # noqa: PTH116
            size, latest = size + (0 if each == folder else now.st_size), max(latest, now.st_mtime_ns)
    return size, latest


def open_array(path: Path) -> Any:
    """Open the array of real numbers in a folder, without reading it.

    Raises
    ------
    LatentError
        zarr is not installed, the folder holds no array, a codec is not known to be plain, or chunks are missing.
    """
    try:
        import zarr
    except ImportError:
        raise LatentError(f"{path} is a Zarr array, which needs zarr: pip install zarr. Or save it as .npy.") from None
    for codec in _codecs(path):
        if codec.removeprefix("numcodecs.") not in _PLAIN:
            raise LatentError(f"{path} goes through the codec {codec!r}, which is not run. Save it with zstd or blosc.")
    try:
        array = zarr.open_array(str(path), mode="r")
        held, wanted = int(array.nchunks_initialized), int(array.nchunks)
    except Exception as error:  # zarr's own errors share no root
        raise LatentError(f"{path} is no Zarr array that can be read ({error}). Save it again.") from None
    if held != wanted:
        # What is missing would be read as zeros.
        raise LatentError(
            f"{path} holds {held} chunks of {wanted}. Save it again, with write_empty_chunks where chunks are all zero."
        )
    return array


def read_array(path: Path) -> NDArray[np.floating]:
    """Read an array whole; `LatentError` where a chunk is damaged."""
    array = open_array(path)
    try:
        return np.asarray(array[...])
    except Exception as error:  # whatever a codec raises
        raise LatentError(f"{path} is damaged ({type(error).__name__}: {error}). Save it again.") from None


def _codecs(path: Path) -> Iterator[str]:
    """Yield the names of all codecs that the metadata of an array, of format 2 or 3, call for."""
    for name in ("zarr.json", ".zarray"):
        file = path / name
        if not file.is_file():
            continue
        try:
            told = json.loads(file.read_text(encoding="utf-8")) if file.stat().st_size <= _MOST_METADATA else None
        except (OSError, ValueError, RecursionError) as error:
            raise LatentError(f"{file} cannot be read ({type(error).__name__}). Save the array again.") from None
        if not isinstance(told, dict) or told.get("node_type", "array") != "array":
            raise LatentError(f"{path} is a group of Zarr, or damaged. Save one array under this name.")
        yield from _named(
            [told.get("codecs"), told.get("compressor"), told.get("filters"), told.get("storage_transformers")]
        )
        return
    raise LatentError(f"{path} holds no Zarr array (neither zarr.json nor .zarray). Save it again.")


def _named(value: Any) -> Iterator[str]:
    if isinstance(value, list):
        for each in value:
            yield from _named(each)
    elif isinstance(value, dict):
        if "name" in value or "id" in value:
            yield str(value.get("name", value.get("id")))
        for each in value.values():
            yield from _named(each) if isinstance(each, list | dict) else ()
