"""Turning a table by frame into a file by object, without holding either."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Self

LIMIT_BYTES = 4 * 2**20


class Spill:
    """Text by key: appended in any order, read back key by key.

    At most `LIMIT_BYTES` wait in memory, the rest lies in a nameless file in `folder`, which is gone with the
    process. Beyond that memory holds two numbers for each key and each `LIMIT_BYTES` written.
    """

    def __init__(self, folder: Path) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self._file = tempfile.TemporaryFile(dir=folder)  # noqa: SIM115 (closed by __exit__)
        self._waiting: dict[str, bytearray] = {}
        self._size = 0
        self._parts: dict[str, list[tuple[int, int]]] = {}

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._file.close()

    def add(self, key: str, text: str) -> None:
        """Append `text` to what `key` holds."""
        encoded = text.encode("utf-8")
        self._waiting.setdefault(key, bytearray()).extend(encoded)
        self._size += len(encoded)
        if self._size > LIMIT_BYTES:
            self._flush()

    def read(self, key: str) -> Iterator[str]:
        """Yield all that `key` holds, in pieces of at most about `LIMIT_BYTES`."""
        self._flush()
        for start, size in self._parts.get(key, []):
            self._file.seek(start)
            yield self._file.read(size).decode("utf-8")

    def _flush(self) -> None:
        self._file.seek(0, 2)
        for key, text in self._waiting.items():
            self._parts.setdefault(key, []).append((self._file.tell(), len(text)))
            self._file.write(text)
        self._waiting.clear()
        self._size = 0
