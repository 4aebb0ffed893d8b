"""The temporal analysis as one JSON document, for readers that know no Parquet."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from longtake.statistics.tables import MEASURES
from longtake.store.atomic import write_json

FORMAT = "longtake temporal analysis 2"
_NUMBERS = ("mean", "low", "high", "sd", "n_videos", "method", "status", "reason")


def write_results(
    path: Path,
    *,
    rows: Sequence[Mapping[str, Any]],
    species: Sequence[Mapping[str, Any]],
    verdicts: Sequence[Mapping[str, Any]],
    comparisons: Sequence[Mapping[str, Any]],
    curves: Sequence[Mapping[str, Any]],
    seed: int,
    resamples: int,
) -> None:
    """Write the statistics as JSON: species -> measures and curves, pairs of species -> tests, videos ->
    values."""
    document = {
        "format": FORMAT,
        "unit": "video",
        "seed": seed,
        "resamples": resamples,
        "measures": {m.name: {"unit": m.unit, "description": m.words} for m in MEASURES},
        "species": {name: _species(name, rows, species, verdicts, curves) for name in _names(rows)},
        "comparisons": [dict(row) for row in comparisons],
        "multiplicity": "Holm over all comparisons that were decided",
        "videos": _videos(rows),
    }
    write_json(path, document)


def _names(rows: Sequence[Mapping[str, Any]]) -> list[str]:
    return sorted({row["species"] for row in rows})


def _species(
    name: str,
    rows: Sequence[Mapping[str, Any]],
    summary: Sequence[Mapping[str, Any]],
    verdicts: Sequence[Mapping[str, Any]],
    curves: Sequence[Mapping[str, Any]],
) -> dict[str, Any]:
    mine = [row for row in rows if row["species"] == name]
    found: dict[str, Any] = {"n_videos": len(mine), "measures": {}, "dependency": {}, "uses": {}, "curves": {}}
    found["verdict"] = next((_without_species(row) for row in verdicts if row["species"] == name), None)
    for unit, prefix in (("windows", "n"), ("clips", "clips")):
        found[unit] = {s: sum(row[f"{prefix}_{s}"] for row in mine) for s in ("ok", "approximate", "failed")}
    for row in summary:
        if row["species"] == name:
            kind, _, rest = row["measure"].partition(": ")
            target = found[kind] if rest else found["measures"]
            target[rest or kind] = {key: row[key] for key in _NUMBERS}
    for row in curves:
        if row["species"] == name:
            curve = found["curves"].setdefault(row["measure"], {})
            for key in ("offset", "mean", "low", "high"):
                curve.setdefault(key, []).append(row[key])
            curve["n_videos"] = row["n_videos"]
    return found


def _without_species(row: Mapping[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in row.items() if key != "species"}


def _videos(rows: Sequence[Mapping[str, Any]]) -> dict[str, dict[str, Any]]:
    videos: dict[str, dict[str, Any]] = {}
    for row in rows:
        values = {key: value for key, value in row.items() if key not in ("video", "species")}
        videos.setdefault(row["video"], {})[row["species"]] = values
    return videos
