"""Statistics of species over videos, from the small tables that ``video_statistics`` writes."""

from __future__ import annotations

import itertools
import logging
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np

from longtake.statistics import inference, tables
from longtake.statistics.judgement import judge
from longtake.statistics.results import write_results
from longtake.store.tables import read_table
from longtake.streams import stream
from longtake.verdicts import CLASSES, DECIDED

logger = logging.getLogger(__name__)

Row = dict[str, Any]


def species_statistics(
    *,
    videos: Sequence[Path],
    out: Path,
    results: Path,
    seed: int,
    level: float = 0.95,
    resamples: int = inference.RESAMPLES,
) -> None:
    """Compare species over videos; the video is the unit of every number.

    A video counts for a species when the species was annotated or classified in it; absence elsewhere is
    not a measured zero, since prompts decide what is looked for.

    Writes ``videos`` (one row per video and species), ``objects``, ``species``, ``verdicts``, ``comparisons``
    and ``curves`` to the folder `out`, each as Parquet and CSV, and `results`, the same numbers as JSON. Memory
    follows the number of videos and species.

    Parameters
    ----------
    videos
        The folders written by ``video_statistics``; their order does not matter.
    level
        Coverage of the intervals.
    resamples
        Bootstrap resamples.
    """
    rows = _gather(videos, "species", tables.VIDEO_SPECIES, ("video", "species"))
    curves = _gather(videos, "curves", tables.VIDEO_CURVES, ("video", "species", "offset"))
    summary = summarise(rows, seed=seed, level=level, resamples=resamples)
    verdicts = judge(summary)
    comparisons = compare_species(rows, seed=seed)
    bands = curve_bands(curves, seed=seed, level=level, resamples=resamples)
    objects = _gather(videos, "objects", tables.OBJECTS, ("video", "species", "object"))
    tables.write_rows(out / "videos.parquet", rows, tables.VIDEO_SPECIES)
    tables.write_rows(out / "objects.parquet", objects, tables.OBJECTS)
    tables.write_rows(out / "species.parquet", summary, tables.SPECIES)
    tables.write_rows(out / "verdicts.parquet", verdicts, tables.VERDICTS)
    tables.write_rows(out / "comparisons.parquet", comparisons, tables.COMPARISONS)
    tables.write_rows(out / "curves.parquet", bands, tables.SPECIES_CURVES)
    write_results(
        results, rows=rows, species=summary, verdicts=verdicts, comparisons=comparisons, curves=bands, seed=seed,
        resamples=resamples,
    )  # fmt: skip
    logger.info("%d species over %d videos", len({row["species"] for row in rows}), len(videos))


def _gather(videos: Sequence[Path], name: str, schema: Any, key: tuple[str, ...]) -> list[Row]:
    rows = [row for folder in videos for row in read_table(folder / f"{name}.parquet", schema).to_pylist()]
    return sorted(rows, key=lambda row: tuple(row[column] for column in key))


def _by_species(rows: Sequence[Row]) -> dict[str, list[Row]]:
    ordered = sorted(rows, key=lambda row: (row["species"], row["video"]))
    return {name: list(group) for name, group in itertools.groupby(ordered, key=lambda row: row["species"])}


def summarise(rows: Sequence[Row], *, seed: int, level: float, resamples: int) -> list[Row]:
    """Mean over videos, interval and unit counts for every species and measure: rows of ``SPECIES``.

    Dependency classes are shares of videos with Wilson's interval, everything else has a percentile
    bootstrap.
    """
    summary: list[Row] = []
    for species, mine in _by_species(rows).items():
        for measure in tables.MEASURES:
            draws = stream(seed, species, f"bootstrap of {measure.name}")
            values = list(_values(mine, measure.name).values())
            interval = inference.bootstrap_mean(values, draws, level=level, resamples=resamples)
            method = f"percentile bootstrap over videos, {resamples} resamples"
            summary.append(_summary_row(measure, interval, method, level, mine))
        for column, classes in (("dependency", CLASSES), ("uses", DECIDED)):
            said = [row[column] for row in mine if row[column] in classes]
            for name in classes:
                share = inference.wilson(said.count(name), len(said), level=level)
                measure = tables.Measure(f"{column}: {name}", "share of videos", name, "gradients")
                summary.append(_summary_row(measure, share, "Wilson score interval", level, mine))
    return summary


def _values(rows: Sequence[Row], measure: str) -> dict[str, float]:
    return {row["video"]: row[measure] for row in rows if row[measure] is not None}


def _summary_row(
    measure: tables.Measure, interval: inference.Interval, method: str, level: float, rows: Sequence[Row]
) -> Row:
    prefix = "clips" if measure.family == "gradients" else "n"
    return {
        "species": rows[0]["species"],
        "measure": measure.name,
        "unit": measure.unit,
        "family": measure.family,
        "n_videos": interval.n,
        "mean": interval.mean,
        "low": interval.low,
        "high": interval.high,
        "sd": interval.sd,
        "level": level,
        "method": method if interval.status == "ok" else "none",
        "status": interval.status,
        "reason": interval.reason,
        **{f"n_{status}": sum(row[f"{prefix}_{status}"] for row in rows) for status in ("ok", "approximate", "failed")},
    }


def compare_species(rows: Sequence[Row], *, seed: int) -> list[Row]:
    """Test every pair of species on every tested measure: rows of ``COMPARISONS``, Holm over the whole table."""
    found: list[Row] = []
    for measure in (measure for measure in tables.MEASURES if measure.tested):
        for (name_a, rows_a), (name_b, rows_b) in itertools.combinations(_by_species(rows).items(), 2):
            a, b = _values(rows_a, measure.name), _values(rows_b, measure.name)
            if not a and not b:
                continue
            draws = stream(seed, f"{name_a} | {name_b}", f"permutation of {measure.name}")
            result = asdict(inference.compare(a, b, draws))
            found.append({"measure": measure.name, "species_a": name_a, "species_b": name_b, **result})
    for row, p in zip(found, inference.holm([row["p"] for row in found]), strict=True):
        row["p_holm"] = p
    return found


def curve_bands(rows: Sequence[Row], *, seed: int, level: float, resamples: int) -> list[Row]:
    """Mean curve of a species over videos, with its band: rows of ``SPECIES_CURVES``.

    Videos that lack an offset (clips of another length) or a value are left out of that species' curve.
    """
    bands: list[Row] = []
    for species, mine in _by_species(rows).items():
        for measure in ("importance", "motion"):
            first = 0 if measure == "importance" else 1  # motion is a step between frames: none at offset 0
            offsets = sorted({row["offset"] for row in mine if row["offset"] >= first})
            matrix, n = _matrix(mine, measure, offsets)
            if not n:
                continue
            draws = stream(seed, species, f"band of {measure}")
            mean, low, high = inference.bootstrap_band(matrix, draws, level=level, resamples=resamples)
            bands += [
                {
                    "species": species,
                    "offset": offset,
                    "measure": measure,
                    "mean": float(mean[i]),
                    "low": None if np.isnan(low[i]) else float(low[i]),
                    "high": None if np.isnan(high[i]) else float(high[i]),
                    "n_videos": n,
                }
                for i, offset in enumerate(offsets)
            ]
    return bands


def _matrix(rows: Sequence[Row], measure: str, offsets: Sequence[int]) -> tuple[inference.Values, int]:
    """Curves of the videos that have every offset, as (n_videos, n_offsets)."""
    videos: dict[str, dict[int, float]] = {}
    for row in rows:
        if row[measure] is not None:
            videos.setdefault(row["video"], {})[row["offset"]] = row[measure]
    full = [curve for _, curve in sorted(videos.items()) if all(offset in curve for offset in offsets)]
    return np.array([[curve[offset] for offset in offsets] for curve in full], dtype=np.float64), len(full)
