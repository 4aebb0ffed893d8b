"""The sheet of volumes, and which of them are analysed."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from longtake.errors import SheetError
from longtake.settings.paths import shortened
from longtake.settings.sheet import (
    check_path,
    column,
    id_column,
    label_column,
    path_column,
    read_sheet,
    refuse_twice,
)
from longtake.streams import pick

SHEET = "volumes.tsv"
SPLITS = ("train", "val", "test")


@dataclass(frozen=True)
class VolumeRow:
    """A row of volumes.tsv."""

    row: int
    volume: str = id_column(
        "Id of the volume, unique in the sheet. It names files, so letters, digits, dot, dash and underscore only."
    )
    path: str = path_column(
        "Path of the file (.npy, .npz, .mat, .nii, .nii.gz, .tif, .zarr, .dcm) or folder of slices (TIFF, DICOM)."
    )
    label: str = label_column("True class, by the model's name for it. May be empty.")
    split: str = column("Part of the study.", choices=SPLITS, default="test")
    subject: str = label_column("Whose volume it is: the unit of statistics. Empty: the volume is its own.")
    variable: str = column("Name of the array, in files that hold several. Empty: attribution.variable.", default="")
    axes: str = column("Axes of this file, if they are others than attribution.axes.", default="")
    mask: str = column(
        "Path of a volume that is not zero where the finding is, on the same voxels. May be empty.", default=""
    )
    regions: str = column(
        "Path of a volume of whole numbers that name regions, on the same voxels. May be empty.", default=""
    )
    eye: str = label_column("Left or right eye, or what else tells volumes of a subject apart. May be empty.")

    @property
    def unit(self) -> str:
        """The unit of statistics."""
        return self.subject or self.volume


ROW = VolumeRow


def read_volumes(path: str | Path, *, rendered: bool = False) -> list[VolumeRow]:
    """Read volumes.tsv.

    Parameters
    ----------
    rendered : whether the workflow makes the files itself, so that they may be missing now

    Raises
    ------
    SheetError
        A cell cannot be used, an id stands twice, a path leads nowhere, or there is no row.
    """
    rows = list(read_sheet(path, VolumeRow))
    refuse_twice(path, "volume", ((row.row, row.volume.lower()) for row in rows))
    if not rows:
        raise SheetError(
            f"{shortened(str(path))} has no row: write one for each volume, or leave attribution.volumes empty."
        )
    for row in rows:
        for name in ("path", "mask", "regions"):
            place = getattr(row, name)
            if place:
                check_path(place, f"({name} of volume {row.volume!r})", f"{path}, row {row.row}", later=rendered)
    return rows


def selected(rows: Sequence[VolumeRow], split: str, most: int, seed: int) -> list[VolumeRow]:
    """The rows of a split, in the order of the sheet; at most `most` of them, drawn by `seed` and their ids.

    Raises
    ------
    SheetError
        No row is of that split.
    """
    kept = [row for row in rows if split in ("all", row.split)]
    if not kept:
        there = ", ".join(sorted({row.split for row in rows}))
        raise SheetError(f"attribution.split is {split!r}, but the sheet of volumes has only: {there}.")
    drawn = set(pick(seed, "volumes", "max_samples", [row.volume for row in kept], most))
    return [row for row in kept if row.volume in drawn]


def leaks(rows: Iterable[VolumeRow]) -> list[str]:
    """Subjects with volumes in train and in another split, which makes accuracy look better than it is."""
    splits: dict[str, set[str]] = {}
    for row in rows:
        splits.setdefault(row.unit, set()).add(row.split)
    return sorted(unit for unit, found in splits.items() if "train" in found and len(found) > 1)
