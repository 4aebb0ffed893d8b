"""Temporal importance and motion of one video: clips averaged within the video, curve by curve.

Memory: a few numbers per clip, 24 bytes per frame of a clip, and the curves of one window.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import polars as pl
import pyarrow as pa

from longtake.species.measures import CLIP_COLUMNS, MEASURES
from longtake.species.tracks import UNLABELLED
from longtake.status import ENDS, Status
from longtake.store.schemas import CLIPS, CURVES, PERTURBATIONS
from longtake.store.tables import scan_batches, scan_groups
from longtake.verdicts import Span, dependency_class, verdict

USED = (Status.OK, Status.APPROXIMATE)
_MEASURED = {measure.name for measure in MEASURES}
_OF_PERTURBATIONS = {
    "kept": "kept",
    "cosine": "logit_cosine",
    "agrees": "agrees",
    "importance_r": "importance_r",
}


def clip_means(path: Path) -> dict[str, dict[str, Any]]:
    """Average a video's clips per species: species -> measures, ``dependency`` and ``clips_*`` counts.

    Only clips of status ok or approximate have numbers; a number that is not finite (the correlation with a
    motion that never changes) is left out of the mean.
    """
    clips = species_of(_read(path, CLIPS, ("label", "status", *CLIP_COLUMNS.values())))
    used = pl.col("status").is_in(USED)
    means = clips.group_by("species").agg(
        *(_mean(column, used).alias(name) for name, column in CLIP_COLUMNS.items()),
        *((pl.col("status") == s).sum().alias(f"clips_{s}") for s in ENDS),
    )
    result = {}
    for row in means.sort("species").iter_rows(named=True):
        row["dependency"] = dependency_class(row["pearson"], row["spearman"])
        result[row.pop("species")] = row
    return result


def perturbation_means(path: Path) -> dict[str, dict[str, Any]]:
    """What a video's clips keep when they are disturbed, per species: species -> measures, and ``uses``.

    Over the draws and clips of a video, ratios have their median (one frame that hardly counted makes a ratio of any
    size), everything else its mean. Perturbations that failed have no number.
    """
    columns = ("label", "status", "perturbation", "ratio", *_OF_PERTURBATIONS.values())
    rows = used_clips(species_of(_read(path, PERTURBATIONS, columns)))
    found: dict[str, dict[str, Any]] = {}
    grouped = rows.group_by("species", "perturbation").agg(
        _finite("ratio").median().alias("ratio"),
        *(_finite(column).mean().alias(name) for name, column in _OF_PERTURBATIONS.items()),
    )
    for row in grouped.iter_rows(named=True):
        species, kind = row.pop("species"), row.pop("perturbation").replace("-", "_")
        named = {f"{name}_{kind}": value for name, value in row.items()}
        mine = found.setdefault(species, {})
        mine |= {name: value for name, value in named.items() if name in _MEASURED}
    for mine in found.values():
        shares = [Span(share, share) for share in (mine.get("kept_static"), mine.get("kept_shuffle"))]
        mine["uses"] = verdict(*shares)
    return found


def curve_means(curves: Path, clips: Path, video: str) -> list[dict[str, Any]]:
    """Average a video's curves over clips, per species and offset in the clip.

    Each clip's importance is divided by its own mean first, so that 1 is "as important as the average frame
    of this clip" and clips with large gradients do not drown the others. Motion, in source px per frame step, is the
    animal's if it is known on every frame of the clip, else the crop's, else the frame's: one series for one clip,
    since a mix of them would show steps where nothing moved differently.
    """
    key = ["window", "object", "clip"]
    status = _read(clips, CLIPS, (*key, "status")).filter(pl.col("status").is_in(USED))
    mean = pl.col("magnitude").mean().over(key)
    columns = (*key, "label", "offset", "magnitude", "motion_object", "motion_region", "motion_frame")
    parts = [
        species_of(pl.DataFrame(window))
        .join(status, on=key, how="semi")
        .with_columns(importance=pl.when(mean > 0).then(pl.col("magnitude") / mean))
        .with_columns(motion=_motion(key))
        .select(pl.col("species").cast(pl.Categorical), "offset", "importance", "motion")
        for window in scan_groups(curves, CURVES, "window", columns)
    ]
    if not parts:
        return []
    shaped = (
        pl.concat(parts)
        .group_by("species", "offset")
        .agg(pl.col("importance").mean(), pl.col("motion").mean(), pl.len().alias("n_clips"))
        .with_columns(pl.col("species").cast(pl.String))
        .sort("species", "offset")
    )
    return [{"video": video, **row} for row in shaped.iter_rows(named=True)]


def _read(path: Path, schema: pa.Schema, columns: Sequence[str]) -> pl.DataFrame:
    """Some columns of a table as a whole."""
    kept = pa.schema([schema.field(name) for name in columns])
    return pl.DataFrame(pa.Table.from_batches(scan_batches(path, schema, columns=columns), schema=kept))


def species_of(frame: pl.DataFrame) -> pl.DataFrame:
    """Add the column ``species``: the label, or ``unlabelled``."""
    label = pl.col("label").replace("", UNLABELLED).fill_null(UNLABELLED)
    return frame.with_columns(species=label)


def used_clips(clips: pl.DataFrame) -> pl.DataFrame:
    """The rows whose clip has numbers: status ok or approximate."""
    return clips.filter(pl.col("status").is_in(USED))


def _motion(clip: list[str]) -> pl.Expr:
    """Each clip's most specific series of motion that has no gap; offset 0 has no step before it."""

    def whole(column: str) -> pl.Expr:
        return (_finite(column).is_not_null() | (pl.col("offset") == 0)).all().over(clip)

    own, crop = "motion_object", "motion_region"
    return (
        pl.when(whole(own)).then(_finite(own)).when(whole(crop)).then(_finite(crop)).otherwise(_finite("motion_frame"))
    )


def _finite(column: str) -> pl.Expr:
    value = pl.col(column).cast(pl.Float64)
    return pl.when(value.is_finite()).then(value)


def _mean(column: str, used: pl.Expr) -> pl.Expr:
    return _finite(column).filter(used).mean()
