"""The temporal analysis as one JSON document, for readers that know no Parquet."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from itertools import groupby
from operator import itemgetter
from pathlib import Path
from typing import Any

from longtake.species.comparisons import MULTIPLICITY
from longtake.species.gather import OfSpecies
from longtake.species.measures import MEASURES
from longtake.status import ENDS
from longtake.store.atomic import atomic_path

FORMAT = "longtake temporal analysis 3"
_NUMBERS = ("mean", "sd", "centre", "low", "high", "n_videos", "method", "status", "reason")


def write_results(
    path: Path,
    *,
    found: Mapping[str, OfSpecies],
    rows: Iterable[Mapping[str, Any]],
    species: Sequence[Mapping[str, Any]],
    verdicts: Sequence[Mapping[str, Any]],
    relations: Sequence[Mapping[str, Any]],
    comparisons: Sequence[Mapping[str, Any]],
    curves: Sequence[Mapping[str, Any]],
    seed: int,
    draws: int,
) -> None:
    """Write the statistics as JSON: species -> measures and curves, pairs of species -> tests, videos ->
    values. `rows` of ``VIDEO_SPECIES``, sorted by video, are written as they come; one video is held."""
    document = {
        "format": FORMAT,
        "unit": "video",
        "seed": seed,
        "draws": draws,
        "measures": {m.name: {"unit": m.unit, "description": m.words} for m in MEASURES},
        "species": {name: _species(name, mine, species, verdicts, curves) for name, mine in found.items()},
        "relations": [dict(row) for row in relations],
        "comparisons": [dict(row) for row in comparisons],
        "multiplicity": MULTIPLICITY,
    }
    with atomic_path(path) as temporary, temporary.open("w", encoding="utf-8") as file:
        # "videos" sorts behind all other keys, so it can follow them.
        file.write(_json(document).removesuffix("\n}") + ',\n  "videos": {')
        between = ""
        for video, mine in groupby(rows, key=itemgetter("video")):
            entry = _json({video: {row["species"]: _without(row, "video", "species") for row in mine}})
            file.write(between + entry.removeprefix("{").removesuffix("\n}").replace("\n", "\n  "))
            between = ","
        file.write("\n  }\n}\n" if between else "}\n}\n")


def _json(value: Mapping[str, Any]) -> str:
    return json.dumps(value, indent=2, sort_keys=True, ensure_ascii=False, allow_nan=False)


def _species(
    name: str,
    mine: OfSpecies,
    summary: Sequence[Mapping[str, Any]],
    verdicts: Sequence[Mapping[str, Any]],
    curves: Sequence[Mapping[str, Any]],
) -> dict[str, Any]:
    found: dict[str, Any] = {"n_videos": len(mine.videos), "measures": {}, "uses": {}, "curves": {}}
    found["verdict"] = next((_without(row, "species") for row in verdicts if row["species"] == name), None)
    for unit, prefix in (("windows", "n"), ("clips", "clips")):
        found[unit] = {s: mine.counted[f"{prefix}_{s}"] for s in ENDS}
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


def _without(row: Mapping[str, Any], *names: str) -> dict[str, Any]:
    return {key: value for key, value in row.items() if key not in names}
