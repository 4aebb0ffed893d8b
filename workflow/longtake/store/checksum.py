"""A checksum in every table, so that one that is torn, or was changed since, is refused and not read.

It stands among the key-value pairs in the footer of the Parquet file, 64 hexadecimal digits of fixed length, and is the
SHA-256 of the whole file as it is with 64 zeros in their place: of rows, footer and all.
"""

from __future__ import annotations

import hashlib
import io
from functools import lru_cache
from pathlib import Path

from longtake.errors import SchemaError

CHECKSUM = "longtake.checksum"
UNSEALED = "0" * 64
_NAME = CHECKSUM.encode()
# Between a name and its value Parquet's footer has a field's header and the value's length, a byte each.
_BETWEEN = 2
_FOOTER_END = 8  # the footer's length, and the four letters that end the file
_BLOCK = 2**20


def seal(path: Path) -> None:
    """Put the checksum into a table that was written with `UNSEALED` in its place."""
    place, _, found = _look(path)
    with path.open("r+b") as file:
        file.seek(place)
        file.write(found.encode())


def refuse_changed(path: Path) -> None:
    """Refuse a table that is not what was written; a process reads a file for it once, until it changes.

    Raises
    ------
    SchemaError
        Its checksum is missing or another.
    """
    seen = path.stat()
    if not _is_whole(str(path.absolute()), (seen.st_size, seen.st_mtime_ns, seen.st_ino, seen.st_ctime_ns)):
        raise SchemaError(
            f"{path}: its checksum is not that of what is in it; it is damaged, or was changed after it was written. "
            "Delete it and run again."
        )


@lru_cache(maxsize=1024)
def _is_whole(path: str, _seen: tuple[int, ...]) -> bool:
    place, told, found = _look(Path(path))
    return place > 0 and told == found


def _look(path: Path) -> tuple[int, str, str]:
    """Where the checksum stands (0: nowhere), what it is, and what it should be."""
    digest = hashlib.sha256()
    with path.open("rb") as file:
        size = file.seek(0, io.SEEK_END)
        file.seek(max(0, size - _FOOTER_END))
        start = max(0, size - _FOOTER_END - int.from_bytes(file.read(4), "little"))
        file.seek(0)
        while file.tell() < start and (block := file.read(min(_BLOCK, start - file.tell()))):
            digest.update(block)
        footer = file.read()
    at = footer.rfind(_NAME) + len(_NAME) + _BETWEEN
    if at < len(_NAME) + _BETWEEN:
        return 0, "", digest.hexdigest()
    told = footer[at : at + len(UNSEALED)]
    digest.update(footer[:at] + UNSEALED.encode() + footer[at + len(UNSEALED) :])
    return start + at, told.decode("ascii", "replace"), digest.hexdigest()
