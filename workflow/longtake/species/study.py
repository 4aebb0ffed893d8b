"""Statistics of species over videos, from the small tables that ``video_statistics`` writes."""

from __future__ import annotations

import logging
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

import numpy as np

from longtake.kinds import Row
from longtake.species import measures, tables
from longtake.species.comparisons import compare_species
from longtake.species.gather import CURVES, Curves, OfSpecies, collect, collect_curves, in_order, rows_of, scan_videos
from longtake.species.judgement import judge
from longtake.species.relations import collect_series, relate_species
from longtake.species.results import write_results
from longtake.species.tracks import UNLABELLED
from longtake.statistics import inference
from longtake.status import ENDS
from longtake.store.tables import scan_batches
from longtake.streams import stream
from longtake.verdicts import DECIDED, USUAL, Borders

logger = logging.getLogger(__name__)


def species_statistics(
    *,
    videos: Sequence[Path],
    out: Path,
    results: Path,
    seed: int,
    level: float = 0.95,
    draws: int = inference.DRAWS,
    borders: Borders = USUAL,
) -> None:
    """Compare species over videos; the video is the unit of every number.

    A video counts for a species when the species was annotated or classified in it; absence elsewhere is
    not a measured zero, since prompts decide what is looked for.

    Writes ``videos`` (one row per video and species), ``objects``, ``species``, ``verdicts``, ``relations``,
    ``comparisons`` and ``curves`` to the folder `out`, each as Parquet and CSV, and `results`, the same numbers as
    JSON.

    Memory: the tables of one video, 8 bytes per video, species and measure, 36 per video, species and offset of a
    curve, a few clips' series of each video, and `inference.HELD` numbers for tests and intervals.

    Parameters
    ----------
    videos
        The folders written by ``video_statistics``; their order does not matter.
    level
        Coverage of the intervals.
    draws
        Random rearrangements of a test at least; a large family of tests takes more.
    borders
        Where the words of the verdicts begin.
    """
    folders = in_order(videos)
    out.mkdir(parents=True, exist_ok=True)
    for name, source, schema in (("videos", "species", tables.VIDEO_SPECIES), ("objects", "objects", tables.OBJECTS)):
        key = ("species",) if source == "species" else ("species", "object")
        tables.write_tables(out / f"{name}.parquet", scan_videos(folders, source, schema, key), schema)
    found = collect(_written(out))
    summary = summarise(found, level=level)
    series = collect_series(
        rows_of(scan_videos(folders, "series", tables.SERIES, ("species", "source", "clip", "offset")))
    )
    relations = relate_species(found, series, seed=seed, level=level, draws=draws, borders=borders)
    verdicts = judge([row for row in summary if row["species"] != UNLABELLED], relations, borders)
    comparisons = compare_species(found, seed=seed, level=level, draws=draws)
    shapes = collect_curves(rows_of(scan_videos(folders, "curves", tables.VIDEO_CURVES, ("species", "offset"))))
    bands = curve_bands(shapes, seed=seed, level=level, draws=draws)
    tables.write_rows(out / "species.parquet", summary, tables.SPECIES)
    tables.write_rows(out / "verdicts.parquet", verdicts, tables.VERDICTS)
    tables.write_rows(out / "relations.parquet", relations, tables.RELATIONS)
    tables.write_rows(out / "comparisons.parquet", comparisons, tables.COMPARISONS)
    tables.write_rows(out / "curves.parquet", bands, tables.SPECIES_CURVES)
    write_results(
        results, found=found, rows=_written(out), species=summary, verdicts=verdicts, relations=relations,
        comparisons=comparisons, curves=bands, seed=seed, draws=draws,
    )  # fmt: skip
    logger.info("%d species over %d videos", len(found), len(videos))


def _written(out: Path) -> Iterator[Row]:
    """The rows of ``videos``, read again a few at a time: seventy columns make dictionaries large."""
    return rows_of(scan_batches(out / "videos.parquet", tables.VIDEO_SPECIES, rows=256))


def summarise(found: Mapping[str, OfSpecies], *, level: float) -> list[Row]:
    """Mean over videos, interval and unit counts for every species and measure: rows of ``SPECIES``.

    Words of videos are shares with Wilson's interval, everything else has t on the scale of its measure.
    """
    summary: list[Row] = []
    for species, mine in found.items():
        for measure in measures.MEASURES:
            values = list(mine.of(measure.name).values())
            interval = inference.interval(values, scale=measure.scale, level=level)
            ok = list(mine.of(measure.name, _prefix(measure)).values())
            row = _summary_row(measure, interval, level, (species, mine))
            summary.append(row | _ok_only(inference.interval(ok, scale=measure.scale, level=level)))
        for name in DECIDED:
            share = inference.wilson(mine.said[name], sum(mine.said[each] for each in DECIDED), level=level)
            measure = measures.Measure(f"uses: {name}", "share of videos", name, measures.FROM_MODEL)
            summary.append(_summary_row(measure, share, level, (species, mine)))
    return summary


def _prefix(measure: measures.Measure) -> str:
    """How the counts of the units begin that a measure rests on: windows or clips."""
    return "clips" if measure.family == measures.FROM_MODEL else "n"


def _ok_only(interval: inference.Interval) -> Row:
    return {"n_videos_ok": interval.n, "mean_ok": interval.mean, "low_ok": interval.low, "high_ok": interval.high}


def _summary_row(
    measure: measures.Measure, interval: inference.Interval, level: float, of: tuple[str, OfSpecies]
) -> Row:
    species, mine = of
    prefix = _prefix(measure)
    return {
        "species": species,
        "measure": measure.name,
        "unit": measure.unit,
        "family": measure.family,
        "n_videos": interval.n,
        "mean": interval.mean,
        "sd": interval.sd,
        "centre": interval.centre,
        "low": interval.low,
        "high": interval.high,
        "level": level,
        "method": interval.method,
        "status": interval.status,
        "reason": interval.reason,
        **{f"n_{status}": mine.counted[f"{prefix}_{status}"] for status in ENDS},
        "n_wrong": mine.counted["clips_wrong"] if prefix == "clips" else None,
    }


def curve_bands(found: Mapping[str, Curves], *, seed: int, level: float, draws: int) -> list[Row]:
    """Mean curve of a species over videos, with its band: rows of ``SPECIES_CURVES``.

    Videos that lack an offset (clips of another length) or a value are left out of that species' curve.
    """
    bands: list[Row] = []
    for species, mine in found.items():
        for measure in CURVES:
            first = 0 if measure == "importance" else 1  # motion is a step between frames: none at offset 0
            offsets, matrix = mine.whole(measure, first)
            if not len(matrix):
                continue
            generator = stream(seed, species, f"band of {measure}")
            mean, low, high = inference.simultaneous_band(matrix, generator, level=level, draws=draws)
            bands += [
                {
                    "species": species,
                    "offset": offset,
                    "measure": measure,
                    "mean": float(mean[i]),
                    "low": None if np.isnan(low[i]) else float(low[i]),
                    "high": None if np.isnan(high[i]) else float(high[i]),
                    "n_videos": len(matrix),
                }
                for i, offset in enumerate(offsets)
            ]
    return bands
