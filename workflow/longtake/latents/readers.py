"""The numbers of a latent, whole for the metrics and by blocks for what compares latents.

Files are read by seeking, not mapped: mapped pages would count as this process's memory, for as long as the study is.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from longtake.errors import LatentError
from longtake.latents.axes import CANONICAL
from longtake.latents.headers import BFLOAT16, Header, expanded, itemsize
from longtake.latents.zarrs import read_array, stamp
from longtake.store.atomic import atomic_path


@dataclass(frozen=True)
class Stored:
    """A latent on disk: the file, its kind, its header, its axes, and its size and time when it was indexed."""

    path: Path
    kind: str
    header: Header
    axes: str
    size: int = -1
    mtime_ns: int = -1

    @property
    def seekable(self) -> bool:
        """Whether its numbers can be read from the middle."""
        return not self.kind.endswith(("gz", "zarr"))

    @property
    def plain(self) -> bool:
        """Whether they lie in the order channel, frame, row, column."""
        return not self.header.fortran and self.axes.replace("B", "") == CANONICAL


def check_unchanged(stored: Stored) -> None:
    """Refuse a file that is another one than when it was indexed: `LatentError`."""
    if stored.size < 0:
        return
    try:
        now = stamp(stored.path)
    except OSError as error:
        raise LatentError(f"{stored.path} has gone during the run ({error.strerror}). Run again.") from None
    if now != (stored.size, stored.mtime_ns):
        raise LatentError(f"{stored.path} was changed during the run. Run again when nothing writes there.")


def read_latent(stored: Stored) -> NDArray[np.floating]:
    """Read a latent as [C, F, H, W], float16, float32 or float64 as it is stored; bfloat16 becomes float32.

    Memory: the latent, and once more where its axes are in another order.

    Raises
    ------
    LatentError
        The file was changed, is cut off, or has bytes after the array.
    """
    check_unchanged(stored)
    values = _read_zarr(stored) if stored.kind == "zarr" else _read_bytes(stored)
    check_unchanged(stored)
    # The batch of one goes last, and then away.
    letters = CANONICAL + ("B" if "B" in stored.axes else "")
    ordered = values.transpose([stored.axes.index(letter) for letter in letters])
    return np.ascontiguousarray(ordered.reshape(ordered.shape[:4]))


def _read_zarr(stored: Stored) -> NDArray[np.floating]:
    values = read_array(stored.path)
    if values.shape != stored.header.shape:
        raise LatentError(f"{stored.path} was changed during the run. Run again when nothing writes there.")
    return values.astype(values.dtype.newbyteorder("="), copy=False)


def _read_bytes(stored: Stored) -> NDArray[np.floating]:
    header = stored.header
    raw = np.empty(header.nbytes, dtype=np.uint8)
    if stored.seekable:
        with stored.path.open("rb", buffering=0) as file:
            file.seek(header.offset)
            _fill(file, raw, stored.path)
    else:
        with expanded(stored.path) as file:
            file.read(header.offset)
            _fill(file, raw, stored.path)
            # To the end, where the checksum stands. A .pt has its directory there, and a .npy nothing.
            if file.read(1) and stored.kind == "npy.gz":
                raise LatentError(f"{stored.path} has bytes after the array. Save one array a file.")
            while file.read(2**16):
                pass
    return _numbers(raw, header).reshape(header.shape, order="F" if header.fortran else "C")


def _fill(file: object, raw: NDArray[np.uint8], path: Path) -> None:
    """Read until `raw` is full; a read may return less than it was asked for."""
    view, done = memoryview(raw.data), 0
    while done < len(view):
        got = file.readinto(view[done:])  # type: ignore[attr-defined]
        if not got:
            raise LatentError(f"{path} is cut off: {done} bytes of {len(view)}. Save it again.")
        done += got


def _numbers(raw: NDArray[np.uint8], header: Header) -> NDArray[np.floating]:
    """Bytes as numbers in this machine's order, scaled."""
    if header.dtype == BFLOAT16:
        # The upper half of a float32.
        values = (raw.view("<u2").astype(np.uint32) << 16).view(np.float32)
    else:
        values = raw.view(header.dtype)
        values = values.astype(values.dtype.newbyteorder("="), copy=False)
    # In float32, as ComfyUI multiplies.
    return values if header.scale == 1.0 else values.astype(np.float32, copy=False) * np.float32(header.scale)


def ahead(latents: Sequence[Stored], depth: int) -> Iterator[NDArray[np.floating] | LatentError]:
    """Yield latent after latent in order, `depth` of them read in advance; what is wrong with one comes in its place.

    Memory: `depth` + 1 latents.
    """
    with ThreadPoolExecutor(1, thread_name_prefix="read-ahead") as pool:
        waiting: list[Future[NDArray[np.floating] | LatentError]] = []
        for stored in latents:
            waiting.append(pool.submit(_read_or_error, stored))
            if len(waiting) > depth:
                yield waiting.pop(0).result()
        while waiting:
            yield waiting.pop(0).result()


def _read_or_error(stored: Stored) -> NDArray[np.floating] | LatentError:
    try:
        return read_latent(stored)
    except LatentError as error:
        return error
    except OSError as error:
        return LatentError(f"{stored.path} cannot be read: {error.strerror or error}.")


@contextmanager
def seekable(latents: Sequence[Stored], scratch: Path) -> Iterator[list[Stored]]:
    """Yield the latents so that blocks of all of them hold the same elements; write to `scratch` what must be.

    Files that can be read by seeking and share one order of axes are left where they are. Else those in another order
    than channel, frame, row, column are written as plain arrays, one at a time, and removed at the end: they take
    their size of disk for as long.
    """
    direct = len({latent.axes.replace("B", "") for latent in latents}) == 1
    direct = direct and all(latent.seekable and not latent.header.fortran for latent in latents)
    made: list[Path] = []
    try:
        yield [
            latent if direct or (latent.seekable and latent.plain) else _rewritten(latent, scratch / f"{n}.npy", made)
            for n, latent in enumerate(latents)
        ]
    finally:
        for path in made:
            path.unlink(missing_ok=True)


def _rewritten(latent: Stored, path: Path, made: list[Path]) -> Stored:
    values = read_latent(latent)
    with atomic_path(path) as temporary:
        np.save(temporary, values)
    made.append(path)
    offset = path.stat().st_size - values.nbytes
    return Stored(path, "npy", Header(values.shape, values.dtype.str, offset, values.nbytes), CANONICAL)


def read_block(stored: Stored, start: int, stop: int) -> NDArray[np.float64]:
    """Elements `start` to `stop` of a latent that `seekable` made ready, in stored order, as float64."""
    size = itemsize(stored.header.dtype)
    raw = np.empty((stop - start) * size, dtype=np.uint8)
    with stored.path.open("rb", buffering=0) as file:
        file.seek(stored.header.offset + start * size)
        _fill(file, raw, stored.path)
    return _numbers(raw, stored.header).astype(np.float64)
