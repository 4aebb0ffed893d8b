"""What comes by key in any order and is too much to be held: it waits on disk, and is read back key by key."""

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
WAITING_BYTES = 2**20
CHUNK = 65_536


class Spill:
    """Bytes by key.

    Memory: at most `HELD_BYTES`, whatever was appended, and two numbers for each key and each `WAITING_BYTES`. What is
    more lies in a nameless file in `folder`, which is gone with the process.
    """

    def __init__(self, folder: Path | None = None) -> None:
        if folder is not None:
            folder.mkdir(parents=True, exist_ok=True)
        self._file = tempfile.SpooledTemporaryFile(  # noqa: SIM115 (closed by __exit__)
            HELD_BYTES - WAITING_BYTES, dir=None if folder is None else os.fspath(folder)
        )
        self._waiting: dict[Any, bytearray] = {}
        self._n_waiting = 0
        self._parts: dict[Any, list[tuple[int, int]]] = {}

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._file.close()

    def add(self, key: Any, data: bytes) -> None:
        """Append to what `key` holds."""
        self._waiting.setdefault(key, bytearray()).extend(data)
        self._n_waiting += len(data)
        if self._n_waiting > WAITING_BYTES:
            self._flush()

    def size(self, key: Any) -> int:
        """Return how many bytes `key` holds."""
        self._flush()
        return sum(size for _, size in self._parts.get(key, []))

    def pieces(self, key: Any) -> Iterator[bytes]:
        """Yield all that `key` holds, in pieces of whole additions, each of some `WAITING_BYTES` at most."""
        self._flush()
        for start, size in self._parts.get(key, []):
            self._file.seek(start)
            yield self._file.read(size)

    def read(self, key: Any, start: int, stop: int) -> bytearray:
        """Return the bytes [start, stop) of what `key` holds."""
        self._flush()
        parts = self._parts.get(key, [])
        ends = list(accumulate(size for _, size in parts))
        found = bytearray()
        at = start
        while at < stop:
            part = bisect_right(ends, at)
            before = ends[part - 1] if part else 0
            end = min(stop, ends[part])
            self._file.seek(parts[part][0] + at - before)
            found += self._file.read(end - at)
            at = end
        return found

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


class ArraySpill:
    """Rows of one dtype by key, over a `Spill`."""

    def __init__(self, dtype: Any, folder: Path | None = None) -> None:
        self.dtype = np.dtype(dtype)
        self._spill = Spill(folder)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: object) -> None:
        self._spill.__exit__(*error)

    def add(self, key: Any, rows: NDArray[Any]) -> None:
        """Append `rows`, (n,) of the spill's dtype."""
        self._spill.add(key, np.ascontiguousarray(rows, self.dtype).tobytes())

    def count(self, key: Any) -> int:
        """Return how many rows `key` has."""
        return self._spill.size(key) // self.dtype.itemsize

    def read(self, key: Any, start: int, stop: int) -> NDArray[Any]:
        """Return the rows [start, stop) of `key`."""
        size = self.dtype.itemsize
        return np.frombuffer(self._spill.read(key, start * size, stop * size), self.dtype)

    def chunks(self, key: Any) -> Iterator[NDArray[Any]]:
        """Yield the rows of `key`, at most `CHUNK` at a time."""
        total = self.count(key)
        for start in range(0, total, CHUNK):
            yield self.read(key, start, min(start + CHUNK, total))
