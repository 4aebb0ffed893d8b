"""What a video's clips keep when they are disturbed: averaged first, folded then, with the scatter beside it."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import polars as pl

from longtake.species.measures import MEASURES
from longtake.species.temporal import KEY, USED, finite, read_columns, species_of, wrong
from longtake.store.schemas import CLIPS, PERTURBATIONS
from longtake.verdicts import LEAST_RATIO, USUAL, Borders, Span, kept, verdict

MOTIONLESS = ("static", "middle")
_MEASURED = {measure.name for measure in MEASURES}


def perturbation_means(
    path: Path, clips: Path, *, wrong_too: bool = False, borders: Borders = USUAL
) -> dict[str, dict[str, Any]]:
    """What a video's clips keep when they are disturbed, per species: species -> measures, and ``uses``.

    - ``ratio``: of each clip over its draws (of motionless clips the mean total, so that no frame stands for another;
      of the others exp of the mean log), then exp of the mean log over the clips of each object, and over objects.
    - ``answer``: a . b / a . a, numerators and denominators summed over the clips of an object: a clip without an
      opinion has no say.
    - ``kept``: the smaller of both, folded after averaging; ``scatter`` is the standard deviation of the logarithms
      over clips and draws, which says how far one of them is from the average.

    Perturbations that failed have no number. Clips as in `clip_means`.
    """
    columns = ("label", "status", *KEY, "perturbation", "ratio", "total", "answer", "answer_power")
    rows = species_of(read_columns(path, PERTURBATIONS, (*columns, "logit_cosine", "agrees", "importance_r")))
    rows = rows.filter(pl.col("status").is_in(USED))
    if not wrong_too:
        told = read_columns(clips, CLIPS, (*KEY, "correct", "target", "predicted")).filter(wrong())
        rows = rows.join(told.select(KEY), on=list(KEY), how="anti")
    found: dict[str, dict[str, Any]] = {}
    for row in _over_objects(rows).iter_rows(named=True):
        species, kind = row.pop("species"), row.pop("perturbation").replace("-", "_")
        row["ratio"] = None if row["log"] is None else math.exp(row["log"])
        row["kept"] = None if row["ratio"] is None and kind != "still" else kept(row["ratio"], row["answer"])
        named = {f"{name}_{kind}": value for name, value in row.items()}
        mine = found.setdefault(species, {})
        mine |= {name: value for name, value in named.items() if name in _MEASURED}
    for mine in found.values():
        frozen, shuffled, still = (_span(mine.get(f"kept_{kind}")) for kind in ("static", "shuffle", "still"))
        mine["uses"] = verdict(frozen, shuffled, still, borders)
    return found


def _span(share: float | None) -> Span:
    return Span(share, share)


def _over_objects(rows: pl.DataFrame) -> pl.DataFrame:
    """A row per species and perturbation, from draws to clips to objects."""
    motionless = pl.col("perturbation").is_in(MOTIONLESS)
    used = pl.when(motionless).then(finite("total")).otherwise(finite("ratio"))
    log = pl.col("used").clip(LEAST_RATIO, 1 / LEAST_RATIO).log()
    shared = ["species", "perturbation"]
    by_clip = (
        rows.with_columns(used=used)
        .with_columns(draw=log)
        .group_by(*shared, *KEY, maintain_order=True)
        .agg(
            pl.when(motionless.first())
            .then(pl.col("used").mean())
            .otherwise(pl.col("draw").mean().exp())
            .alias("used"),
            pl.col("draw"),
            # Of motionless clips against each other there is one share, and nothing to weigh it by.
            (finite("answer") * finite("answer_power").fill_null(1.0)).sum().alias("left"),
            pl.when(finite("answer").is_not_null()).then(finite("answer_power").fill_null(1.0)).sum().alias("power"),
            *(finite(name).mean() for name in ("logit_cosine", "agrees", "importance_r")),
        )
        .with_columns(log=log)
    )
    by_object = by_clip.group_by(*shared, "object", maintain_order=True).agg(
        pl.col("log").mean(),
        pl.when(pl.col("power").sum() > 0).then(pl.col("left").sum() / pl.col("power").sum()).alias("answer"),
        *(pl.col(name).mean() for name in ("logit_cosine", "agrees", "importance_r")),
    )
    scatter = by_clip.group_by(shared, maintain_order=True).agg(
        pl.col("draw").explode().drop_nulls().std().alias("scatter")
    )
    means = (
        by_object.group_by(shared, maintain_order=True)
        .agg(pl.all().exclude("object").mean())
        .rename({"logit_cosine": "cosine"})
    )
    return means.join(scatter, on=shared).sort(shared)
