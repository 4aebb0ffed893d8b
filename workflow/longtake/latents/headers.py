"""What a latent's file says it holds, before any of it is allocated: shape, type, and where the numbers lie.

No pickle is ever executed: a .pt goes through PyTorch's unpickler of tensors alone (``weights_only``), a .npy of
objects is refused. Sizes that a header declares are compared with the size of the file first.
"""

from __future__ import annotations

import gzip
import json
import math
import os
import pickle
import struct
import tempfile
import zipfile
import zlib
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

import numpy as np

from longtake.errors import LatentError

BFLOAT16 = "bfloat16"
_SAFETENSORS = {"F16": "<f2", "F32": "<f4", "F64": "<f8", "BF16": BFLOAT16}
_TORCH = {"torch.float16": "<f2", "torch.float32": "<f4", "torch.float64": "<f8", "torch.bfloat16": BFLOAT16}
_MOST_HEADER = 2**20
# What deflate can make of zeros; a header that declares more was not written by whoever wrote the file.
_MOST_DEFLATED = 1040
COMFY_SCALE = 1 / 0.18215
"""By what ComfyUI multiplies a .latent without ``latent_format_version_0`` (its node LoadLatent)."""


@dataclass(frozen=True)
class Header:
    """Where a latent lies in a file.

    Attributes
    ----------
    shape : as it is stored
    dtype : NumPy's text of the type with its byte order, or ``bfloat16``
    offset, nbytes : of the numbers, in bytes; in a ``.gz`` of what it holds
    fortran : whether the first axis varies fastest
    scale : by what the numbers are multiplied
    """

    shape: tuple[int, ...]
    dtype: str
    offset: int
    nbytes: int
    fortran: bool = False
    scale: float = 1.0


def itemsize(dtype: str) -> int:
    """Bytes of one number."""
    return 2 if dtype == BFLOAT16 else np.dtype(dtype).itemsize


def read_header(path: str | os.PathLike[str], kind: str, scratch: str | os.PathLike[str] = ".") -> Header:
    """Read the header of a latent's file of this `kind` (`longtake.latents.layout.KINDS`).

    Memory: the header, at most a MiB. A ``.pt.gz`` is unpacked into `scratch`, and removed again.

    Raises
    ------
    LatentError
        The file is empty, truncated, longer than it says, of a type that is no real number, or not of its kind.
    """
    file = Path(path)
    readers: dict[str, Callable[[Path], Header]] = {
        "npy": _npy,
        "npy.gz": _npy_gz,
        "pt": _pt,
        "safetensors": _safetensors,
        "latent": _safetensors,
        "zarr": _zarr,
    }
    try:
        if file.is_file() and file.stat().st_size == 0:
            raise LatentError(f"{file} is empty. Save it again.")
        if kind == "pt.gz":
            return _pt_gz(file, Path(scratch))
        return readers[kind](file)
    except OSError as error:
        raise LatentError(f"{file} cannot be read: {error.strerror or error}.") from None


def _pt_gz(file: Path, scratch: Path) -> Header:
    """Header of a ``.pt.gz``, whose zip's directory stands at its end: it is unpacked piece by piece for that."""
    most = max(2**26, 64 * file.stat().st_size)
    scratch.mkdir(parents=True, exist_ok=True)
    with tempfile.NamedTemporaryFile(dir=scratch, suffix=".pt") as out:
        with expanded(file) as packed:
            while piece := packed.read(2**20):
                most -= len(piece)
                if most < 0:
                    raise LatentError(f"{file} unpacks to more than 64 times its size; it is no latent.")
                out.write(piece)
        out.flush()
        try:
            return _pt(Path(out.name))
        except LatentError as error:
            raise LatentError(str(error).replace(out.name, str(file))) from None


@contextmanager
def expanded(path: Path) -> Iterator[IO[bytes]]:
    """Open a ``.gz`` for reading what it holds; damage becomes `LatentError`."""
    try:
        with gzip.open(path, "rb") as file:
            yield file  # type: ignore[misc]
    except (EOFError, zlib.error, gzip.BadGzipFile) as error:
        raise LatentError(f"{path} is damaged or cut off ({error}). Save it again.") from None


def _npy(file: Path) -> Header:
    with file.open("rb") as handle:
        header = _npy_header(handle, file)
    _of_size(file, header, file.stat().st_size)
    return header


def _npy_gz(file: Path) -> Header:
    with expanded(file) as handle:
        header = _npy_header(handle, file)
    if header.nbytes > _MOST_DEFLATED * file.stat().st_size:
        raise LatentError(f"{file} declares {header.nbytes} bytes, more than it can hold. Save it again.")
    return header


def _npy_header(handle: IO[bytes], file: Path) -> Header:
    try:
        version = np.lib.format.read_magic(handle)
        read = np.lib.format.read_array_header_1_0 if version == (1, 0) else np.lib.format.read_array_header_2_0
        shape, fortran, dtype = read(handle, max_header_size=10_000)
    except (ValueError, SyntaxError, TypeError) as error:
        # An EOFError of a gzip passes: it is cut off, and is named as such.
        raise LatentError(f"{file} is no array of NumPy ({_first_line(error)}). Save it with numpy.save.") from None
    if dtype.kind != "f" or dtype.itemsize not in (2, 4, 8):
        raise LatentError(_not_real(file, str(dtype)))
    if any(length < 0 for length in shape):
        raise LatentError(f"{file} declares the shape {shape}. Save it again.")
    nbytes = math.prod(shape) * dtype.itemsize
    return Header(shape, dtype.str, handle.tell(), nbytes, fortran=bool(fortran) and len(shape) > 1)


def _safetensors(file: Path) -> Header:
    """Header of a safetensors file of one tensor, or of a ``.latent`` of ComfyUI."""
    size = file.stat().st_size
    with file.open("rb") as handle:
        start = handle.read(8)
        length = struct.unpack("<Q", start)[0] if len(start) == 8 else 0
        if not 2 <= length <= min(_MOST_HEADER, size - 8):
            raise LatentError(f"{file} is no safetensors file, or is cut off. Save it again.")
        try:
            entries: dict[str, Any] = json.loads(handle.read(length))
            entries.pop("__metadata__", None)
            name = _only_tensor(file, entries)
            kind, shape, (begin, end) = (entries[name][key] for key in ("dtype", "shape", "data_offsets"))
            numbers = [int(length) for length in (*shape, begin, end)]
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            raise LatentError(f"{file} has a header that is none ({_first_line(error)}). Save it again.") from None
    if kind not in _SAFETENSORS:
        raise LatentError(_not_real(file, str(kind)))
    dtype, offset = _SAFETENSORS[kind], 8 + length + begin
    nbytes = math.prod(numbers[:-2]) * itemsize(dtype)
    last = 8 + length + max(int(entry["data_offsets"][1]) for entry in entries.values())
    if min(numbers) < 0 or end - begin != nbytes or last != size:
        raise LatentError(f"{file} is {size} bytes long, but its header says {last}. It is cut off, or not whole.")
    old = file.suffix == ".latent" and "latent_format_version_0" not in entries
    return Header(tuple(numbers[:-2]), dtype, offset, nbytes, scale=COMFY_SCALE if old else 1.0)


def _only_tensor(file: Path, entries: Mapping[str, Any]) -> str:
    if file.suffix == ".latent":
        if "latent_tensor" not in entries:
            raise LatentError(f"{file} has no latent_tensor, but {sorted(entries)}; it was not saved by ComfyUI.")
        return "latent_tensor"
    if len(entries) != 1:
        raise LatentError(f"{file} holds {len(entries)} tensors ({', '.join(sorted(entries)[:5])}); save one a file.")
    return next(iter(entries))


def _zarr(folder: Path) -> Header:
    """Header of an array of Zarr; its numbers lie in chunks, so there is no place where they begin."""
    from longtake.latents.zarrs import open_array, stamp

    array = open_array(folder)
    dtype = np.dtype(array.dtype)
    if dtype.kind != "f" or dtype.itemsize not in (2, 4, 8):
        raise LatentError(_not_real(folder, str(dtype)))
    nbytes = math.prod(array.shape) * dtype.itemsize
    if nbytes > _MOST_DEFLATED * stamp(folder)[0]:
        raise LatentError(f"{folder} declares {nbytes} bytes, more than it can hold. Save it again.")
    return Header(tuple(array.shape), dtype.str, 0, nbytes)


def _pt(file: Path) -> Header:
    """Header of a tensor that ``torch.save`` wrote, which keeps its numbers in a zip file, not compressed."""
    import torch

    if not zipfile.is_zipfile(file):
        raise LatentError(f"{file} is cut off, or in the format of PyTorch before 1.6. Save it again with torch.save.")
    try:
        # Mapped, so that what the pickle declares is not allocated; only tensors and plain containers are built.
        held = torch.load(file, map_location="cpu", weights_only=True, mmap=True)
    except pickle.UnpicklingError:
        raise LatentError(f"{file} holds more than tensors, and its code is not run. Save the tensor alone.") from None
    except (RuntimeError, EOFError, ValueError, KeyError, AttributeError, OSError) as error:
        raise LatentError(f"{file} is damaged ({_first_line(error)}). Save it again.") from None
    if isinstance(held, Mapping) and len(held) == 1:
        held = next(iter(held.values()))
    if not isinstance(held, torch.Tensor):
        raise LatentError(f"{file} holds a {type(held).__name__}, not one tensor. Save the tensor alone.")
    if str(held.dtype) not in _TORCH:
        raise LatentError(_not_real(file, str(held.dtype)))
    if not held.is_contiguous():
        raise LatentError(f"{file} holds a view of a larger tensor. Save tensor.contiguous() instead.")
    dtype = _TORCH[str(held.dtype)]
    nbytes = held.numel() * itemsize(dtype)
    start, length = _storage(file)
    offset = start + int(held.storage_offset()) * itemsize(dtype)
    if offset + nbytes > start + length:
        raise LatentError(f"{file} is cut off: {nbytes} bytes are declared. Save it again.")
    return Header(tuple(held.shape), dtype, offset, nbytes)


def _storage(file: Path) -> tuple[int, int]:
    """Where the one storage of a .pt begins, and its bytes."""
    with zipfile.ZipFile(file) as archive:
        found = [entry for entry in archive.infolist() if entry.filename.split("/")[-2:-1] == ["data"]]
        if len(found) != 1 or found[0].compress_type != zipfile.ZIP_STORED:
            raise LatentError(f"{file} holds {len(found)} tensors, or is compressed. Save one tensor with torch.save.")
        entry = found[0]
    with file.open("rb") as handle:
        handle.seek(entry.header_offset + 26)
        name, extra = struct.unpack("<HH", handle.read(4))
    return entry.header_offset + 30 + name + extra, entry.file_size


def _of_size(file: Path, header: Header, size: int) -> None:
    expected = header.offset + header.nbytes
    if size < expected:
        raise LatentError(f"{file} is cut off: {size} bytes of {expected}. Save it again.")
    if size > expected:
        raise LatentError(f"{file} has {size - expected} bytes after the array. Save one array a file.")


def _not_real(file: Path, dtype: str) -> str:
    return f"{file} holds {dtype}; a latent is float16, bfloat16, float32 or float64. Save it as one of them."


def _first_line(error: Exception) -> str:
    return (str(error).splitlines() or [type(error).__name__])[0][:200]
