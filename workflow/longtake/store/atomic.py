"""A file appears whole or not at all."""

from __future__ import annotations

import errno
import json
import os
import shutil
import tempfile
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from longtake.cells import write_cells, write_commas
from longtake.errors import DiskFull, LongtakeError
from longtake.store.leftovers import mark, sweep_once

_HARDLY_ANY = 2**16
_watchers: list[Callable[[Path], None]] = []


def announce(watcher: Callable[[Path], None]) -> None:
    """Let `watcher` know each temporary file as it is made, in this process: who may have to kill it, removes them."""
    _watchers.append(watcher)


@contextmanager
def atomic_path(path: str | os.PathLike[str]) -> Iterator[Path]:
    """Yield a temporary path beside `path`, renamed to `path` if the block succeeds, removed if it does not.

    The temporary name keeps the suffix of `path`, since some writers choose the format by it. The file is
    flushed to disk before the rename, so that after a power cut the name never points at a torn file. The folder is
    not: a rename that is lost leaves the file as it was before, and Snakemake makes it again. What killed processes
    left in the folder is removed first, once a process (`longtake.store.leftovers`).

    Raises
    ------
    DiskFull
        There is no room for the file; whatever the writer of the block raised then.
    """
    target = Path(path)
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        sweep_once(target.parent.absolute())
        handle, name = tempfile.mkstemp(dir=target.parent, prefix=f".{target.stem}.{mark()}-", suffix=target.suffix)
    except OSError as error:
        raise _full(target, error) or error from error
    os.close(handle)
    temporary = Path(name)
    for watcher in _watchers:
        watcher(temporary)
    try:
        yield temporary
        # mkstemp makes files private; results belong to whoever may read the folder.
        umask = os.umask(0)
        os.umask(umask)
        temporary.chmod(0o666 & ~umask)
        with temporary.open("rb") as file:
            os.fsync(file.fileno())
        temporary.replace(target)
    except Exception as error:
        full = _full(target, error)
        if full is None:
            raise
        raise full from error
    finally:
        temporary.unlink(missing_ok=True)


def _full(target: Path, error: Exception) -> DiskFull | None:
    """Return what to say where `error` came of a disk without room; writers in other languages say it in their ways."""
    if isinstance(error, LongtakeError):
        return None
    known = isinstance(error, OSError) and error.errno in (errno.ENOSPC, errno.EDQUOT)
    try:
        free = shutil.disk_usage(target.parent).free
    except OSError:
        free = _HARDLY_ANY
    if not known and free >= _HARDLY_ANY:
        return None
    return DiskFull(
        f"{target} cannot be written: its disk, or what you may use of it, is full ({free // 2**20} MB free). Make "
        "room, or set output_dir to a folder on another disk, and run again: what is done stays."
    )


def write_text(path: str | os.PathLike[str], text: str) -> None:
    """Write `text` to `path` as UTF-8, atomically."""
    with atomic_path(path) as temporary:
        temporary.write_text(text, encoding="utf-8")


def write_json(path: str | os.PathLike[str], value: Any) -> None:
    """Write `value` to `path` as indented JSON with sorted keys, atomically; NaN and infinity are refused."""
    write_text(path, json.dumps(value, indent=2, sort_keys=True, ensure_ascii=False, allow_nan=False) + "\n")


def write_tsv(path: str | os.PathLike[str], columns: Sequence[str], rows: Iterable[Mapping[str, Any]]) -> None:
    """Write `rows` as a tab-separated table with a header, atomically, row by row, as `longtake.cells` has it."""
    with atomic_path(path) as temporary, temporary.open("w", encoding="utf-8", newline="") as file:
        write_cells(file, columns, rows)


def write_csv(path: str | os.PathLike[str], columns: Sequence[str], rows: Iterable[Mapping[str, Any]]) -> None:
    """Write `rows` as a comma-separated table with a header, atomically, row by row; no cell is a formula."""
    with atomic_path(path) as temporary, temporary.open("w", encoding="utf-8", newline="") as file:
        write_commas(file, columns, rows)
