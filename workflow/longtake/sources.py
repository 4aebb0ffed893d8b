"""What a video's file, or its folder of pictures, is known by: a cheap stamp, and a digest of every byte.

The stamp says whether a file can have changed since its bytes were read. A copy that keeps the time of modification
(``cp -p``, ``rsync -t``), or a file that is written in place and set back to its old time, has another change time,
which nobody can set. The digest says whether it has changed. Standard library only: the Snakefile asks for stamps.
"""

from __future__ import annotations

import hashlib
import json
import os
import stat
from collections.abc import Iterator
from functools import lru_cache
from pathlib import Path

ENDINGS = {".jpg": "JPEG", ".jpeg": "JPEG", ".png": "PNG"}
"""Of the pictures in a folder, and their formats."""
# What a driver may read of all files at its start to find out whether one that was touched, linked or copied holds the
# same bytes. Beyond it the file is probed again, by a job of its own; nothing else is redone if the bytes are the same.
READ_AT_START_BYTES = 2**28
ABSENT = "absent"


def pictures_in(folder: str | os.PathLike[str]) -> Iterator[os.DirEntry[str]]:
    """Yield the pictures of a folder, in the order of the disk; other files, and hidden ones, are passed over."""
    with os.scandir(folder) as entries:
        for entry in entries:
            if Path(entry.name).suffix.lower() in ENDINGS and entry.name[0] != ".":
                yield entry


def stamp(path: str | os.PathLike[str]) -> str:
    """Return what the disk says of a file: size, modified (ns), inode, changed (ns); of a folder, of all its pictures.

    No byte is read. What is not there, or may not be looked at, is ``absent``.
    """
    try:
        found = Path(path).stat()
        if not stat.S_ISDIR(found.st_mode):
            return _told(found)
        # A digest, since the text is kept for each output: a line of each picture would be megabytes.
        lines = sorted(f"{entry.name} {_told(entry.stat())}" for entry in pictures_in(path))
    except OSError:
        return ABSENT
    return hashlib.sha256("\n".join(lines).encode(errors="surrogateescape")).hexdigest()[:32]


def _told(found: os.stat_result) -> str:
    return f"{found.st_size} {found.st_mtime_ns} {found.st_ino} {found.st_ctime_ns}"


def source_bytes(path: str | os.PathLike[str]) -> int:
    """Return the bytes of a file, or of all pictures of a folder."""
    if not Path(path).is_dir():
        return Path(path).stat().st_size
    return sum(entry.stat().st_size for entry in pictures_in(path))


def content_digest(path: str | os.PathLike[str]) -> str:
    """Return a digest of every byte of a file, or of the names and bytes of all pictures of a folder.

    A process reads a file once, until its stamp is another. Memory: one block.

    Raises
    ------
    OSError
        It cannot be read.
    """
    return _digest(os.fspath(path), stamp(path))


@lru_cache(maxsize=256)
def _digest(path: str, _stamp: str) -> str:
    if not Path(path).is_dir():
        return _file_digest(path)
    total = hashlib.sha256()
    for name in sorted(entry.name for entry in pictures_in(path)):
        total.update(f"{name}\0{_file_digest(str(Path(path) / name))}\n".encode(errors="surrogateescape"))
    return total.hexdigest()


def _file_digest(path: str) -> str:
    if not Path(path).is_file():
        raise OSError(f"{path} is no regular file")
    with Path(path).open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


class Stamps:
    """What a run knows its videos by: the stamp under which each was probed, as long as it holds the same bytes.

    A driver asks for each once. `left` is how many bytes it may still read for that.
    """

    def __init__(self, left: int = READ_AT_START_BYTES) -> None:
        self.left = left

    def of(self, path: str, summary: str | os.PathLike[str]) -> str:
        """Return the stamp of a video; the one in `summary`, which its probe wrote, if the bytes are still those."""
        now = stamp(path)
        try:
            probed = json.loads(Path(summary).read_bytes())
        except OSError:
            return now
        except ValueError:
            return f"{now}, probed again since {summary} is damaged"
        before, content, nbytes = (probed.get(name) for name in ("stamp", "content", "source_bytes"))
        if before is None or content is None or nbytes is None:
            return now
        if now in (before, ABSENT) or nbytes > self.left:
            return now
        self.left -= nbytes
        try:
            return str(before) if content_digest(path) == content else now
        except OSError:
            return now
