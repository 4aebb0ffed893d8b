"""Temporal importance and motion of one video: clips averaged within each object, and objects within the video.

What the words rest on comes from clips whose class was predicted right, or is not known: the gradient of a wrong answer
says what misled the model. Memory: a few numbers per clip, 24 bytes per frame of a clip, and the curves of one window.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import polars as pl
import pyarrow as pa

from longtake.species.measures import CLIP_COLUMNS, SOURCES
from longtake.species.tracks import UNLABELLED
from longtake.status import ENDS, Status
from longtake.store.schemas import CLIPS, CURVES
from longtake.store.tables import scan_batches, scan_groups
from longtake.streams import pick

USED = (Status.OK, Status.APPROXIMATE)
KEY = ("window", "object", "clip")
SERIES = 4
"""Clips of a video, a species and a source of motion whose series are kept, to be held against other videos' motion."""
SURE = 0.05
_RELATED = ("pearson", "spearman", "detrended_p", "best_lag", "best_lag_p")
_ABOVE_CHANCE = ("mutual_information", "phase_coherence", "peak_alignment")


def clip_means(path: Path, *, wrong_too: bool = False) -> dict[str, dict[str, Any]]:
    """Average a video's clips per species: species -> measures and ``clips_*`` counts.

    Only clips of status ok or approximate have numbers, and only those that were predicted right (`wrong_too` takes the
    others as well); a number that is not finite (the correlation with a motion that never changes) is left out of the
    mean. Correlations are averaged as Fisher's z. Clips are never averaged over two sources of motion.
    """
    columns = ["label", "status", "motion", *KEY, "correct", "target", "predicted", *_RELATED]
    columns += [name for each in _ABOVE_CHANCE for name in (each, f"{each}_chance")]
    clips = species_of(read_columns(path, CLIPS, (*columns, *CLIP_COLUMNS.values())))
    used = pl.col("status").is_in(USED)
    counts = clips.group_by("species", maintain_order=True).agg(
        *((pl.col("status") == s).sum().alias(f"clips_{s}") for s in ENDS),
        (used & wrong()).sum().alias("clips_wrong"),
        *((used & (pl.col("motion") == name)).sum().alias(f"clips_{whose}") for whose, name in SOURCES.items()),
    )
    of_all = _over_objects(clips.filter(used), [finite("correct").mean().alias("correct")])
    judged = clips.filter(used if wrong_too else used & ~wrong())
    means = _over_objects(judged, [finite(column).mean().alias(name) for name, column in CLIP_COLUMNS.items()])
    result = {row.pop("species"): row for row in counts.sort("species").iter_rows(named=True)}
    parts = [of_all, means, *(_relation(judged, whose) for whose in SOURCES)]
    for part in parts:
        for row in part.iter_rows(named=True):
            result[row.pop("species")].update(row)
    return result


def wrong() -> pl.Expr:
    """Whether the gradient of a clip is that of a wrong answer."""
    return ((pl.col("correct") == False) & (pl.col("target") == pl.col("predicted"))).fill_null(False)  # noqa: E712


def _over_objects(clips: pl.DataFrame, means: list[pl.Expr]) -> pl.DataFrame:
    """Means over the clips of each object, and of those over the objects of each species: an object counts once."""
    by_object = clips.group_by("species", "object", maintain_order=True).agg(*means)
    return by_object.group_by("species", maintain_order=True).agg(pl.all().exclude("object").mean()).sort("species")


def _relation(clips: pl.DataFrame, whose: str) -> pl.DataFrame:
    """The measures of one source of motion, in clips that have it."""
    mine = clips.filter(pl.col("motion") == SOURCES[whose])
    sure = pl.when(pl.col("best_lag_p") <= SURE).then(pl.col("best_lag"))
    found = _over_objects(
        mine,
        [
            *(_z(name).mean().alias(f"{name}_{whose}") for name in ("pearson", "spearman")),
            finite("pearson").abs().mean().alias(f"size_{whose}"),
            (finite("detrended_p") <= SURE).cast(pl.Float64).mean().alias(f"related_{whose}"),
            *((finite(n) - finite(f"{n}_chance")).mean().alias(f"{n}_{whose}") for n in _ABOVE_CHANCE),
            sure.mean().alias(f"best_lag_{whose}"),
        ],
    )
    return found.with_columns(pl.col(f"{name}_{whose}").tanh() for name in ("pearson", "spearman"))


def _z(column: str) -> pl.Expr:
    """Fisher's z; a clip whose r is 1 counts like one of .999999."""
    return finite(column).clip(-0.999999, 0.999999).arctanh()


def curve_means(curves: Path, clips: Path, video: str) -> tuple[list[dict[str, Any]], list[dict[str, Any]]]:
    """Average a video's curves over clips, and keep some clips' series: rows of VIDEO_CURVES and of SERIES.

    Each clip's importance is divided by its own mean first, so that 1 is "as important as the average frame of this
    clip" and clips with large gradients do not drown the others. Motion is in source px per frame step, in a column for
    each source: the animal's if it is known on every frame of the clip, else the crop's.
    """
    known = read_columns(clips, CLIPS, (*KEY, "label", "status", "motion", "correct", "target", "predicted"))
    status = species_of(known).filter(pl.col("status").is_in(USED) & ~wrong()).select(*KEY, "species", "motion")
    kept = _chosen(status, video)
    mean = pl.col("magnitude").mean().over(KEY)
    columns = (*KEY, "offset", "magnitude", "motion_object", "motion_region")
    parts, series = [], []
    for window in scan_groups(curves, CURVES, "window", columns):
        joined = (
            pl.DataFrame(window)
            .join(status, on=KEY)
            .with_columns(importance=pl.when(mean > 0).then(pl.col("magnitude") / mean))
            .with_columns(
                pl.when(pl.col("motion") == name).then(finite(f"motion_{name}")).alias(f"motion_{whose}")
                for whose, name in SOURCES.items()
            )
        )
        named = [f"motion_{whose}" for whose in SOURCES]
        parts.append(joined.select(pl.col("species").cast(pl.Categorical), "offset", "importance", *named))
        series += _series(joined.join(kept, on=KEY, how="semi"), video)
    if not parts:
        return [], []
    shaped = (
        pl.concat(parts)
        .group_by("species", "offset", maintain_order=True)
        .agg(pl.col("importance", *(f"motion_{whose}" for whose in SOURCES)).mean(), pl.len().alias("n_clips"))
        .with_columns(pl.col("species").cast(pl.String))
        .sort("species", "offset")
    )
    return [{"video": video, **row} for row in shaped.iter_rows(named=True)], series


def _chosen(status: pl.DataFrame, video: str) -> pl.DataFrame:
    """`SERIES` clips for each species and source, drawn by their names so that one more clip changes one at most."""
    named = status.with_columns(name=pl.format("{}/{}/{}", *KEY))
    kept = []
    for (species, motion), mine in named.group_by("species", "motion", maintain_order=True):
        names = pick(0, f"{video}/{species}/{motion}", "clips whose series are kept", mine["name"], SERIES)
        kept.append(mine.filter(pl.col("name").is_in(names)).select(KEY))
    return pl.concat(kept) if kept else status.select(KEY)


def _series(curves: pl.DataFrame, video: str) -> list[dict[str, Any]]:
    """Rows of SERIES of the clips of one window, from the second frame on: there is no motion before it."""
    rows = []
    for (window, name, clip), mine in curves.sort(*KEY, "offset").group_by(*KEY, maintain_order=True):
        whose = next(whose for whose, source in SOURCES.items() if source == mine["motion"][0])
        later = mine.filter(pl.col("offset") > 0)
        values = list(later.select("offset", "importance", f"motion_{whose}").iter_rows())
        if any(value is None for row in values for value in row):
            continue
        key = {"video": video, "species": mine["species"][0], "source": whose, "clip": f"{window}/{name}/{clip}"}
        rows += [key | {"offset": at, "importance": i, "motion": m} for at, i, m in values]
    return rows


def read_columns(path: Path, schema: pa.Schema, columns: Sequence[str]) -> pl.DataFrame:
    """Some columns of a table as a whole."""
    kept = pa.schema([schema.field(name) for name in dict.fromkeys(columns)])
    return pl.DataFrame(pa.Table.from_batches(scan_batches(path, schema, columns=tuple(kept.names)), schema=kept))


def species_of(frame: pl.DataFrame) -> pl.DataFrame:
    """Add the column ``species``: the label, or ``unlabelled``."""
    label = pl.col("label").replace("", UNLABELLED).fill_null(UNLABELLED)
    return frame.with_columns(species=label)


def used_clips(clips: pl.DataFrame) -> pl.DataFrame:
    """The rows whose clip has numbers: status ok or approximate."""
    return clips.filter(pl.col("status").is_in(USED))


def finite(column: str) -> pl.Expr:
    value = pl.col(column).cast(pl.Float64)
    return pl.when(value.is_finite()).then(value)
