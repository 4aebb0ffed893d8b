"""What one fold's fit reads: its clips from the store, by the tables of clips and folds, and a digest of them."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from longtake.errors import TrainingError
from longtake.store.tables import read_table
from longtake.training.loop import ClipOf
from longtake.training.store import get_clip
from longtake.training.tables import CLIPS, FOLDS


@dataclass(frozen=True)
class FoldData:
    """The clips of one fold: augmented and original ones to train on, originals to stop by and to test on."""

    train: list[ClipOf]
    inner: list[ClipOf]
    outer: list[ClipOf]
    test: list[ClipOf]
    class_names: tuple[str, ...]
    approximate: int


def read_clips(paths: Iterable[str | Path], spec: str) -> list[dict[str, Any]]:
    """Return the rows of the tables of clips that are of `spec`."""
    return [row for path in paths for row in read_table(path, CLIPS).to_pylist() if row["spec"] == spec]


def read_folds(path: str | Path) -> list[dict[str, Any]]:
    """Return the rows of the table of folds."""
    rows: list[dict[str, Any]] = read_table(path, FOLDS).to_pylist()
    return rows


def class_names(folds: Sequence[Mapping[str, Any]]) -> tuple[str, ...]:
    """Return the labels in the order of the logits: sorted."""
    return tuple(sorted({row["label"] for row in folds}))


def fold_data(
    clips: Sequence[dict[str, Any]],
    folds: Sequence[dict[str, Any]],
    repeat: int,
    fold: int,
    *,
    store: str | Path,
    permuted: Callable[[str], str] | None = None,
) -> FoldData:
    """Return the clips of `fold` of `repeat`; pixels are read when they are asked for, and checked by their digest.

    Parameters
    ----------
    clips
        Rows of one specification.
    permuted
        Of a control: gives each video another label, to train on.

    Raises
    ------
    TrainingError
        No clip is left to train on, to stop by or to test on.
    """
    names = class_names(folds)
    place = {row["video"]: row for row in folds if row["repeat"] == repeat}
    parts: dict[str, list[ClipOf]] = {"train": [], "inner": [], "outer": [], "test": []}
    approximate = 0
    for row in sorted(clips, key=lambda row: (row["video"], row["clip"])):
        where = place.get(row["video"])
        if where is None or row["status"] == "failed":
            continue
        part = part_of(where, fold)
        if part != "train" and row["clip"] > 0:
            continue
        label = permuted(row["video"]) if permuted and part in ("train", "inner") else where["label"]
        read = partial(get_clip, store, row["key"], row["sha256"])
        parts[part].append(ClipOf(f"{row['video']}#{row['clip']}", names.index(label), read))
        approximate += row["status"] == "approximate"
    for part in ("train", "inner", "outer"):
        if not parts[part]:
            raise TrainingError(f"repeat {repeat}, fold {fold}: no readable clip is left for its {part} part.")
    return FoldData(**parts, class_names=names, approximate=approximate)


def part_of(row: Mapping[str, Any], fold: int) -> str:
    """Return what a video is to `fold`: ``train``, ``inner``, ``outer`` or ``test``."""
    if row["fold"] < 0:
        return "test"
    if row["fold"] == fold:
        return "outer"
    return "inner" if fold in (row["inner"] or []) else "train"


LEARNT, TESTED = ("train", "inner"), ("inner", "outer", "test")


def digest_of(
    clips: Sequence[Mapping[str, Any]],
    folds: Sequence[Mapping[str, Any]],
    repeat: int,
    fold: int,
    parts: Sequence[str] = LEARNT,
) -> str:
    """Return a digest of the clips and labels in `parts` of a fold.

    What a fit learns from is one, and what it predicts is another, so that a video which a fold only tests makes no
    training anew.
    """
    place = {row["video"]: row for row in folds if row["repeat"] == repeat}
    found = sorted(
        (row["video"], row["clip"], row["key"], place[row["video"]]["label"], part_of(place[row["video"]], fold))
        for row in clips
        if row["video"] in place and row["status"] != "failed" and part_of(place[row["video"]], fold) in parts
    )
    text = json.dumps([class_names(folds), found])
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def video_of(clip: ClipOf) -> str:
    """Return the id of the video that a clip is of."""
    return clip.name.rpartition("#")[0]


def middle_frame(pixels: np.ndarray) -> np.ndarray:
    """Return the clip with its middle frame at every place: what a model of single frames would see."""
    return np.repeat(pixels[len(pixels) // 2][None], len(pixels), 0)


def shuffled(pixels: np.ndarray, order: np.ndarray) -> np.ndarray:
    """Return the clip with its frames in another order."""
    return pixels[order]
