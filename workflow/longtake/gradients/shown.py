"""Which clips a figure shows, and their rows: read one video at a time, of many clips a fair draw."""

from __future__ import annotations

import math
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from longtake.gradients.figures import CURVE_COLUMNS, ClipKey, clip_key, order_of_clips
from longtake.status import Status
from longtake.store.schemas import CLIPS, CURVES
from longtake.store.tables import scan_batches
from longtake.streams import stream

MOST_CLIPS = 3000
Rows: TypeAlias = list[dict[str, Any]]
_BATCH_ROWS = 8192
_KEY = ("window", "object", "clip")
_CLIP_COLUMNS = ("video", "window", "object", "label", "clip", "status", "pearson")


@dataclass
class StudyClips:
    """The clips of a study that are drawn.

    Attributes
    ----------
    clips : their rows of CLIPS, in part
    total : how many there are
    means : label -> mean Pearson's r of each video, over all of its clips
    """

    clips: Rows = field(default_factory=list)
    total: int = 0
    means: dict[str, list[float]] = field(default_factory=dict)
    _places: dict[Path, set[tuple[Any, ...]]] = field(default_factory=dict)

    def curves(self, paths: Sequence[Path]) -> Iterator[dict[str, Any]]:
        """Yield the rows of CURVES of the clips drawn, clip by clip; `paths` in the order of the clips' files."""
        for path, wanted in zip(paths, self._places.values(), strict=True):
            yield from _rows_of(path, wanted)


def study_clips(paths: Sequence[Path], seed: int) -> StudyClips:
    """Draw `MOST_CLIPS` clips of all videos without replacement, or take all where there are no more.

    Each set of as many clips is equally likely; the draw is named by `seed`. Memory: one video's clips in seven
    columns, what is drawn, and a number per video and label.
    """
    found = StudyClips()
    sizes = [pq.read_metadata(path).num_rows for path in paths]
    found.total = left = sum(sizes)
    wanted = min(left, MOST_CLIPS)
    draws = stream(seed, "the study", "clips that are drawn")
    for path, size in zip(paths, sizes, strict=True):
        # How many of a fair draw of all that is left fall into this video, and then which.
        mine = wanted if size == left else int(draws.hypergeometric(size, left - size, wanted)) if wanted else 0
        picked = set(draws.choice(size, mine, replace=False).tolist()) if mine < size else set(range(size))
        wanted, left = wanted - mine, left - size
        rows = _clips(path)
        _add_means(found.means, rows)
        kept = [row for place, row in enumerate(rows) if place in picked]
        found.clips += kept
        found._places[path] = {tuple(row[name] for name in _KEY) for row in kept}
    return found


def video_curves(path: Path, most: int) -> tuple[Rows, int]:
    """Return the rows of CURVES of at most `most` clips, evenly over all in the order of the heatmap, and how many
    there are. Memory: a key per clip, and what is returned."""
    first: dict[ClipKey, float] = {}
    for batch in scan_batches(path, CURVES, _BATCH_ROWS, columns=("video", *_KEY, "label", "offset", "time_s")):
        for row in batch.to_pylist():
            key = clip_key(row)
            if row["offset"] == 0 or key not in first:
                first[key] = row["time_s"]
    keys = order_of_clips(first, most)
    wanted = {(window, name, clip) for _, name, _, window, clip in keys}
    return list(_rows_of(path, wanted)), len(first)


def _clips(path: Path) -> Rows:
    return [row for batch in scan_batches(path, CLIPS, columns=_CLIP_COLUMNS) for row in batch.to_pylist()]


def _add_means(means: dict[str, list[float]], rows: Rows) -> None:
    known: dict[str, list[float]] = {}
    for row in rows:
        if row["status"] != Status.FAILED and row["pearson"] is not None and math.isfinite(row["pearson"]):
            known.setdefault(row["label"], []).append(row["pearson"])
    for label, values in known.items():
        means.setdefault(label, []).append(float(np.mean(values)))


def _rows_of(path: Path, wanted: Collection[tuple[Any, ...]]) -> Iterator[dict[str, Any]]:
    if not wanted:
        return
    for batch in scan_batches(path, CURVES, _BATCH_ROWS, columns=CURVE_COLUMNS):
        keys = zip(*(batch.column(name).to_pylist() for name in _KEY), strict=True)
        places = [place for place, key in enumerate(keys) if key in wanted]
        yield from batch.take(pa.array(places, pa.int64())).to_pylist()
