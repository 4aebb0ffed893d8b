"""One number per video and measure: of its last step, of the mean over its steps, of its way over them.

Steps of a video are not independent of each other, so none of them is ever a sample of its own.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from longtake.latents import tables
from longtake.latents.names import TRAJECTORY
from longtake.store.tables import read_table

Array = NDArray[np.float64]
CROSSED = ("branch_distance", "exit_distance")


@dataclass(frozen=True)
class Values:
    """The compared videos of a study.

    Attributes
    ----------
    videos : rows of ``VIDEOS``, in order
    subjects : [N] what a video is matched by: its seed where one video of its group has it, else itself
    measures : (metric, summary) of each column
    numbers : [N, measures] float64, NaN where undefined
    steps : all steps of the study
    curves : [N, steps, metrics] float64 of the metrics by step, NaN where there is none
    metrics : their names
    """

    videos: list[dict[str, Any]]
    subjects: list[str]
    measures: list[tuple[str, str]]
    numbers: Array
    steps: list[int]
    curves: Array
    metrics: list[str]

    def members(self, group: str) -> list[int]:
        """Places of the videos of a group."""
        return [n for n, video in enumerate(self.videos) if video["group"] == group]

    @property
    def groups(self) -> list[str]:
        """Names of the groups that have a compared video."""
        return sorted({video["group"] for video in self.videos})


def few_groups(groups: Sequence[str]) -> str:
    """Why nothing can be compared; empty where there are two groups."""
    if len(groups) > 1:
        return ""
    return "one group" if groups else "no video can be compared"


def read_values(
    videos: str | Path,
    metrics: str | Path,
    trajectories: str | Path,
    crossed: Sequence[str | Path],
    names: Sequence[str],
    *,
    pair_by_seed: str,
) -> Values:
    """Read the study's tables. Memory: 8 bytes for each video, step and metric, and as much again."""
    rows = [row for row in read_table(videos, tables.VIDEOS).to_pylist() if row["compared"]]
    at = {row["video"]: n for n, row in enumerate(rows)}
    wanted = [*names, *CROSSED]
    known = read_table(metrics, tables.metrics_table(names))
    steps = sorted({int(step) for step in known["step"].unique().to_pylist()})
    curves = np.full((len(rows), len(steps), len(wanted)), np.nan)
    _fill(curves[:, :, : len(names)], known, names, at, steps)
    for path in crossed:
        _fill(curves[:, :, len(names) :], read_table(path, tables.STEP_VIDEOS), CROSSED, at, steps)
    ways = np.full((len(rows), len(TRAJECTORY)), np.nan)
    for row in read_table(trajectories, tables.TRAJECTORIES).to_pylist():
        if row["video"] in at:
            ways[at[row["video"]]] = [np.nan if row[name] is None else row[name] for name in TRAJECTORY]
    last, mean = _summaries(curves)
    measures = [(name, summary) for summary in ("last", "mean") for name in wanted]
    measures += [(name, "trajectory") for name in TRAJECTORY]
    return Values(
        rows, _subjects(rows, pair_by_seed), measures, np.concatenate([last, mean, ways], 1), steps, curves, wanted
    )


def _fill(curves: Array, table: Any, names: Sequence[str], at: dict[str, int], steps: Sequence[int]) -> None:
    place = {step: n for n, step in enumerate(steps)}
    rows = np.array([at.get(video, -1) for video in table["video"].to_pylist()], dtype=np.int64)
    columns = np.array([place.get(step, -1) for step in table["step"].to_pylist()], dtype=np.int64)
    kept = (rows >= 0) & (columns >= 0)
    for n, name in enumerate(names):
        curves[rows[kept], columns[kept], n] = table[name].to_numpy()[kept]


def _summaries(curves: Array) -> tuple[Array, Array]:
    """[N, metrics] of each video's last step, and the mean over the steps where a metric is defined."""
    held: NDArray[np.bool_] = np.logical_not(np.isnan(curves).all(axis=2))
    final = np.where(held.any(1), held.shape[1] - 1 - held[:, ::-1].argmax(1), 0) if held.shape[1] else 0
    last = curves[np.arange(len(curves)), final] if curves.shape[1] else np.full(curves.shape[::2], np.nan)
    known = ~np.isnan(curves)
    count = known.sum(1)
    total = np.where(known, curves, 0.0).sum(1)
    mean = np.where(count > 0, total / np.maximum(count, 1), np.nan)
    return last, mean


def _subjects(rows: Sequence[dict[str, Any]], pair_by_seed: str) -> list[str]:
    keys = [(row["group"], row["seed"]) for row in rows]
    once = {key for key in keys if keys.count(key) == 1 and key[1] is not None}
    matched = pair_by_seed == "auto"
    return [f"seed {key[1]}" if matched and key in once else row["video"] for row, key in zip(rows, keys, strict=True)]
