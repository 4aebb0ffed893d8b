"""The sheet of labelled videos: `video, path, label, group`, and optionally `fold` and `test`."""

from __future__ import annotations

import hashlib
import os
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from longtake.errors import SheetError
from longtake.settings.sheet import check_path, column, id_column, path_column, read_sheet, refuse_twice

SHEET = "training.tsv"


def _yes(cell: str) -> bool:
    words = {"": False, "no": False, "yes": True}
    if cell.strip().lower() not in words:
        raise ValueError(
            "it is neither yes nor no. Write yes for a video that is never trained on, else leave it empty."
        )
    return words[cell.strip().lower()]


@dataclass(frozen=True)
class Row:
    """A row of training.tsv: a labelled video."""

    row: int
    video: str = id_column("Id of the video, unique in the sheet.")
    path: str = path_column("Path of the video file, or of a folder of pictures.")
    label: str = column("Class of the video.", needed=True, longest=100)
    group: str = column("Subject, site or cascade of copies, never split over folds; empty for the video itself.")
    fold: int | None = column("Fold that tests it, from 0; in every row or in none.", minimum=0)
    test: bool = column(
        "yes for a video that is never trained on, and scored once at the end.", default=False, parse=_yes
    )

    def with_group(self, group: str) -> Row:
        """Return the row in another group."""
        return replace(self, group=group)


ROW = Row


def read_rows(path: str | Path, folds: int, later: bool = False) -> list[Row]:
    """Read and check the sheet; a video without a group is one of its own.

    Parameters
    ----------
    later
        The files need not be there yet: a demo renders them.
    """
    found = [replace(row, group=row.group or row.video) for row in read_sheet(path, Row)]
    refuse_twice(path, "video", ((row.row, row.video.lower()) for row in found))
    for row in found:
        check_path(row.path, f"of video {row.video!r}", f"{path}, row {row.row}", later=later)
    check_rows(found, folds, str(path))
    return found


def check_rows(rows: Sequence[Row], folds: int, sheet: str) -> None:
    """Refuse rows that cannot be trained on together.

    Raises
    ------
    SheetError
        With the lines and the remedy: one file under two ids, labels that differ in case or blanks alone, one label,
        folds given in part, with gaps, or splitting a group.
    """
    files: dict[str, Row] = {}
    spelt: dict[str, Row] = {}
    for row in rows:
        same = files.setdefault(os.path.realpath(row.path), row)
        if same is not row:
            raise SheetError(
                f"{sheet}, row {row.row}: {row.video!r} is the same file as {same.video!r} in row {same.row} "
                f"({row.path}). Keep one of them."
            )
        other = spelt.setdefault(" ".join(row.label.split()).casefold(), row)
        if other.label != row.label:
            raise SheetError(
                f"{sheet}, row {row.row}: label {row.label!r} differs from {other.label!r} in row {other.row} in "
                "case or blanks alone. Write both alike."
            )
    _check_folds([row for row in rows if not row.test], folds, sheet)


def _check_folds(rows: Sequence[Row], folds: int, sheet: str) -> None:
    given = [row for row in rows if row.fold is not None]
    if not given:
        return
    empty = next((row for row in rows if row.fold is None), None)
    if empty is not None:
        raise SheetError(
            f"{sheet}, row {empty.row}: column 'fold' is empty for {empty.video!r} and filled in other rows. Fill it "
            "in every row, or in none."
        )
    found = sorted({row.fold for row in given if row.fold is not None})
    if found != list(range(folds)):
        raise SheetError(
            f"{sheet}: column 'fold' holds {found}, where training.folds is {folds}. Number the folds from 0 to "
            f"{folds - 1} without a gap, or set training.folds."
        )
    where: dict[str, Row] = {}
    for row in given:
        first = where.setdefault(row.group, row)
        if first.fold != row.fold:
            raise SheetError(
                f"{sheet}, row {row.row}: group {row.group!r} stands in fold {row.fold}, and in fold {first.fold} in "
                f"row {first.row}. Put a group into one fold."
            )


def check_bytes(rows: Sequence[Row], digests: dict[str, str], sheet: str) -> None:
    """Refuse files of the same bytes with two labels; nobody could learn from them. SheetError names the rows."""
    same: dict[str, list[Row]] = defaultdict(list)
    for row in rows:
        if row.video in digests:
            same[digests[row.video]].append(row)
    for alike in same.values():
        other = next((row for row in alike if row.label != alike[0].label), None)
        if other is not None:
            first = alike[0]
            raise SheetError(
                f"{sheet}: {first.video!r} (row {first.row}, {first.label!r}) and {other.video!r} (row {other.row}, "
                f"{other.label!r}) hold the same bytes under two labels. Correct one of them."
            )


def shard_of(video: str, shards: int) -> int:
    """Return in which of `shards` jobs a video's clips are made; it depends on the id alone."""
    return int.from_bytes(hashlib.sha256(video.encode()).digest()[:8], "big") % shards


def shards_of(rows: Sequence[Row], size: int) -> dict[int, list[Row]]:
    """Return the rows of each shard of about `size` videos, empty ones left out."""
    count = max(1, -(-len(rows) // size))
    found: dict[int, list[Row]] = defaultdict(list)
    for row in rows:
        found[shard_of(row.video, count)].append(row)
    return dict(sorted(found.items()))
