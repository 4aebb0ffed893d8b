"""Numbers by name that wait on disk, and their mean and median as if they had been held."""

from __future__ import annotations

import os
import tempfile
from bisect import bisect_right
from collections.abc import Iterator
from itertools import accumulate
from pathlib import Path
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

HELD_BYTES = 4 * 2**20
CHUNK = 65_536
_WAITING_BYTES = 2**20


class Spool:
    """Rows of one dtype, appended by key in any order.

    Memory: at most `HELD_BYTES`, whatever was appended; what is more lies in a nameless file in `folder`, which is gone
    with the process. Two numbers for each key and each megabyte.
    """

    def __init__(self, dtype: Any, folder: Path | None = None) -> None:
        self.dtype = np.dtype(dtype)
        self._file = tempfile.SpooledTemporaryFile(  # noqa: SIM115 (closed by __exit__)
            HELD_BYTES - _WAITING_BYTES, dir=None if folder is None else os.fspath(folder)
        )
        self._waiting: dict[Any, bytearray] = {}
        self._n_waiting = 0
        self._parts: dict[Any, list[tuple[int, int]]] = {}

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._file.close()

    def add(self, key: Any, rows: NDArray[Any]) -> None:
        """Append `rows`, (n,) of the spool's dtype."""
        data = np.ascontiguousarray(rows, self.dtype).tobytes()
        self._waiting.setdefault(key, bytearray()).extend(data)
        self._n_waiting += len(data)
        if self._n_waiting > _WAITING_BYTES:
            self._flush()

    def count(self, key: Any) -> int:
        """Return how many rows `key` has."""
        self._flush()
        return sum(size for _, size in self._parts.get(key, [])) // self.dtype.itemsize

    def read(self, key: Any, start: int, stop: int) -> NDArray[Any]:
        """Return the rows [start, stop) of `key`."""
        self._flush()
        size, parts = self.dtype.itemsize, self._parts.get(key, [])
        ends = list(accumulate(nbytes // size for _, nbytes in parts))
        found = np.empty(stop - start, self.dtype)
        at = start
        while at < stop:
            part = bisect_right(ends, at)
            before = ends[part - 1] if part else 0
            end = min(stop, ends[part])
            self._file.seek(parts[part][0] + (at - before) * size)
            found[at - start : end - start] = np.frombuffer(self._file.read((end - at) * size), self.dtype)
            at = end
        return found

    def chunks(self, key: Any) -> Iterator[NDArray[Any]]:
        """Yield the rows of `key`, at most `CHUNK` at a time."""
        total = self.count(key)
        for start in range(0, total, CHUNK):
            yield self.read(key, start, min(start + CHUNK, total))

    def _flush(self) -> None:
        if not self._waiting:
            return
        place = self._file.seek(0, 2)
        for key, data in self._waiting.items():
            self._parts.setdefault(key, []).append((place, len(data)))
            self._file.write(data)
            place += len(data)
        self._waiting.clear()
        self._n_waiting = 0


def mean(spool: Spool, key: Any) -> float | None:
    """Mean of the numbers of `key` in float64; None where there are none.

    The sum is NumPy's pairwise one over all of them, halved as NumPy halves until a piece fits into memory.
    """
    n = spool.count(key)
    return float(_sum(spool, key, 0, n) / n) if n else None


def _sum(spool: Spool, key: Any, start: int, stop: int) -> float:
    n = stop - start
    if n <= CHUNK:
        return float(np.add.reduce(spool.read(key, start, stop).astype(np.float64)))
    middle = start + n // 2 - n // 2 % 8
    return _sum(spool, key, start, middle) + _sum(spool, key, middle, stop)


def median(spool: Spool, key: Any) -> float | None:
    """Median of the float32 numbers of `key`, none of them NaN; None where there are none.

    Floats sort like the integers of their bits, negative ones in reverse. So the number at a rank is found by counting:
    first by the upper 16 bits of all, then by the lower 16 of those that share the upper ones.
    """
    n = spool.count(key)
    if not n:
        return None
    lower, upper = _at_rank(spool, key, (n - 1) // 2), _at_rank(spool, key, n // 2)
    return (lower + upper) / 2


def _at_rank(spool: Spool, key: Any, rank: int) -> float:
    found, known = 0, 0
    for shift in (16, 0):
        counts = np.zeros(65_536, np.int64)
        for chunk in spool.chunks(key):
            keys = _ordered(chunk)
            keys = keys[keys >> 16 == known] if shift == 0 else keys
            counts += np.bincount(keys >> shift & 0xFFFF, minlength=65_536)
        below = np.cumsum(counts)
        place = int(np.searchsorted(below, rank, "right"))
        rank -= int(below[place - 1]) if place else 0
        found, known = found << 16 | place, place
    bits = found ^ 0x80000000 if found & 0x80000000 else found ^ 0xFFFFFFFF
    return float(np.uint32(bits).view(np.float32))


def _ordered(values: NDArray[np.float32]) -> NDArray[np.int64]:
    """Integers that sort like the floats."""
    bits = values.view(np.uint32).astype(np.int64)
    return np.where(bits & 0x80000000, bits ^ 0xFFFFFFFF, bits | 0x80000000)
