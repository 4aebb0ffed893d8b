"""The small tables of all videos, one video at a time, folded into what statistics over videos need."""

from __future__ import annotations

import math
from array import array
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from longtake.species import measures, tables
from longtake.status import ENDS
from longtake.store.tables import read_table, scan_batches

Values = NDArray[np.float64]
COUNTED = (
    *(f"{prefix}_{status}" for prefix in ("n", "clips") for status in ENDS),
    *("clips_wrong", *(f"clips_{whose}" for whose in measures.SOURCES)),
)
_COLUMN = {measure.name: number for number, measure in enumerate(measures.MEASURES)}
CURVES = ("importance", *(f"motion_{whose}" for whose in measures.SOURCES))


@dataclass
class OfSpecies:
    """What the videos of one species say: a number per video and measure (8 bytes each), and counts over all videos.

    Attributes
    ----------
    videos : ids, in the order in which they came
    said : how many videos say which word of ``uses``
    all_ok : whether the video has no approximate or failed window, and no such clip
    counted : sums over the videos of `COUNTED`
    """

    videos: list[str] = field(default_factory=list)
    said: Counter[str] = field(default_factory=Counter)
    all_ok: dict[str, list[bool]] = field(default_factory=lambda: {"n": [], "clips": []})
    counted: Counter[str] = field(default_factory=Counter)
    _values: array[float] = field(default_factory=lambda: array("d"))

    def add(self, row: Mapping[str, Any]) -> None:
        """Take in a row of ``VIDEO_SPECIES``."""
        self.videos.append(row["video"])
        self._values.extend(np.nan if row[name] is None else row[name] for name in _COLUMN)
        self.said[row["uses"]] += 1
        for prefix, ok in self.all_ok.items():
            ok.append(not row[f"{prefix}_approximate"] and not row[f"{prefix}_failed"])
        self.counted.update({name: row[name] or 0 for name in COUNTED})

    def of(self, measure: str, ok_only: str = "") -> dict[str, float]:
        """Return video -> value, sorted; videos without one are left out.

        `ok_only` "n" or "clips" leaves out videos with a window, or a clip, that is not ok.
        """
        values = np.frombuffer(self._values).reshape(-1, len(_COLUMN))[:, _COLUMN[measure]]
        kept = self.all_ok[ok_only] if ok_only else [True] * len(self.videos)
        triples = zip(self.videos, values.tolist(), kept, strict=True)
        return dict(sorted((video, value) for video, value, keep in triples if keep and not math.isnan(value)))


@dataclass
class Curves:
    """The curves of one species: 32 bytes per video and offset."""

    numbers: dict[str, int] = field(default_factory=dict)
    _video: array[int] = field(default_factory=lambda: array("i"))
    _offset: array[int] = field(default_factory=lambda: array("i"))
    _values: dict[str, array[float]] = field(default_factory=lambda: {name: array("d") for name in CURVES})

    def add(self, row: Mapping[str, Any]) -> None:
        """Take in a row of ``VIDEOCURVES``."""
        self._video.append(self.numbers.setdefault(row["video"], len(self.numbers)))
        self._offset.append(row["offset"])
        for name, values in self._values.items():
            values.append(np.nan if row[name] is None else row[name])

    def whole(self, measure: str, first: int) -> tuple[list[int], Values]:
        """Return the offsets from `first` on, and the curves (videos, offsets) of the videos that have them all."""
        video, offset = (np.frombuffer(column, np.intc) for column in (self._video, self._offset))
        values = np.frombuffer(self._values[measure])
        offsets = np.unique(offset[offset >= first])
        matrix = np.full((len(self.numbers), offsets.size), np.nan)
        inside = offset >= first
        matrix[video[inside], np.searchsorted(offsets, offset[inside])] = values[inside]
        matrix = matrix[[number for _, number in sorted(self.numbers.items())]]
        return offsets.tolist(), matrix[~np.isnan(matrix).any(axis=1)]


def collect(rows: Iterable[Mapping[str, Any]]) -> dict[str, OfSpecies]:
    """Fold rows of ``VIDEO_SPECIES`` by species, sorted; no row is held."""
    found: dict[str, OfSpecies] = {}
    for row in rows:
        found.setdefault(row["species"], OfSpecies()).add(row)
    return dict(sorted(found.items()))


def collect_curves(rows: Iterable[Mapping[str, Any]]) -> dict[str, Curves]:
    """Fold rows of ``VIDEOCURVES`` by species, sorted; no row is held."""
    found: dict[str, Curves] = {}
    for row in rows:
        found.setdefault(row["species"], Curves()).add(row)
    return dict(sorted(found.items()))


def in_order(folders: Sequence[Path]) -> list[Path]:
    """Sort the folders that ``video_statistics`` wrote by their video; those of videos that show nothing are left out.

    A video without a species has no object and no curve either.
    """
    found: list[tuple[str, int, Path]] = []
    for folder in folders:
        for batch in scan_batches(folder / "species.parquet", tables.VIDEO_SPECIES, columns=("video",)):
            if batch.num_rows:
                found.append((batch.column("video")[0].as_py(), len(found), folder))
                break
    return [folder for _, _, folder in sorted(found)]


def scan_videos(folders: Iterable[Path], name: str, schema: pa.Schema, key: Sequence[str]) -> Iterator[pa.Table]:
    """Yield the table `name` of each folder, its rows sorted by `key`; memory holds one."""
    for folder in folders:
        yield read_table(folder / f"{name}.parquet", schema).sort_by([(column, "ascending") for column in key])


def rows_of(found: Iterable[pa.Table | pa.RecordBatch]) -> Iterator[dict[str, Any]]:
    """Yield the rows of tables one by one."""
    for table in found:
        yield from table.to_pylist()
