"""Two models on the same clips: do they look at the same moments, and use motion alike?

Run A and run B asked two models about the same videos. The video is the unit: clips are averaged within each video
first. Curves are compared clip by clip, where both runs have a clip of the same frames of the same object; the other
measures are each run's own means of a video.

- *Divergence of a clip*: Jensen-Shannon divergence of the two importance curves, each divided by its sum: in bits,
  0 for equal curves and 1 for curves that share no frame (Lin 1991, IEEE Trans. Inf. Theory 37, eq. 3.1).
- *Divergence of the mean curves*, over videos, with a permutation test: if the models looked at the same moments, it
  would not matter which curve of a video is called A's. All exchanges within videos are visited, or drawn.
- Every other measure as a difference within videos, by the same exchanges (`inference.compare`), and an interval.

Multiplicity: Holm over the tests of all species together, and once more over those of single species.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl

from longtake.errors import SchemaError
from longtake.species import tables
from longtake.species.perturbed import perturbation_means
from longtake.species.temporal import clip_means, species_of, used_clips
from longtake.statistics import inference
from longtake.status import Status
from longtake.store.schemas import CLIPS, CURVES
from longtake.store.tables import read_table
from longtake.streams import stream

logger = logging.getLogger(__name__)
ALL = "all species"
KEY = ["object", "first_frame", "last_frame", "stride"]
COMPARED = (
    "importance_variation",
    "pearson_animal",
    "pearson_crop",
    "kept_static",
    "kept_shuffle",
    "kept_reverse",
    "agrees_static",
    "agrees_shuffle",
    "correct",
)
"""Measures that are compared; magnitudes are not, since the scores of two models are on different scales."""


@dataclass
class Pairs:
    """What one species' videos say of the two models.

    Attributes
    ----------
    a, b : video -> importance curve (T,), each clip divided by its sum, averaged over the clips of both
    divergence : video -> mean over clips
    same_class : video -> share of clips for which both predict the same class
    means_a, means_b : video -> the measures `COMPARED`, in their order
    """

    a: dict[str, np.ndarray] = field(default_factory=dict)
    b: dict[str, np.ndarray] = field(default_factory=dict)
    divergence: dict[str, float] = field(default_factory=dict)
    same_class: dict[str, float] = field(default_factory=dict)
    means_a: dict[str, Sequence[float | None]] = field(default_factory=dict)
    means_b: dict[str, Sequence[float | None]] = field(default_factory=dict)
    n_clips: int = 0


def compare_models(
    *, run_a: Path, run_b: Path, videos: Sequence[str], out: Path, seed: int, level: float, draws: int
) -> dict[str, Any]:
    """Compare two runs over the same videos: rows of ``MODELS``, as Parquet and CSV.

    Parameters
    ----------
    run_a, run_b
        Output folders, each with ``gradients/{video}.clips.parquet`` and its neighbours.
    out
        Of the Parquet table; the CSV lies beside it.

    Returns
    -------
    dict
        JSON-able: videos and clips that were compared, clips that only one run has.

    Memory: the gradient tables of one video, and a curve for each video and species.

    Raises
    ------
    SchemaError : a table is missing, or the runs have no clip in common.
    """
    pairs: dict[str, Pairs] = {}
    lonely = 0
    for video in sorted(videos):
        lonely += _add_video(pairs, video, run_a / "gradients", run_b / "gradients")
    if not any(pair.n_clips for pair in pairs.values()):
        raise SchemaError(
            f"{run_a} and {run_b} have no clip of the same frames in common, so nothing can be compared. Run both with "
            "the same videos, prompts and clip settings, and another gradients.model."
        )
    options = {"level": level, "draws": draws}
    rows = [row for name in sorted(pairs) for row in _rows(name, pairs[name], seed, options)]
    for family in ([row for row in rows if (row["species"] == ALL) is of_all] for of_all in (True, False)):
        for row, p in zip(
            family, inference.holm([row["p"] if row["status"] == Status.OK else None for row in family]), strict=True
        ):
            row["p_holm"] = p
    tables.write_rows(out, rows, tables.MODELS)
    counted = pairs[ALL]
    logger.info("%d clips of %d videos compared; %d clips in one run only", counted.n_clips, len(counted.a), lonely)
    return {"videos": len(counted.a), "clips": counted.n_clips, "in_one_run_only": lonely}


def jensen_shannon(p: np.ndarray, q: np.ndarray) -> float:
    """Jensen-Shannon divergence in bits of two distributions (T,), each summing to 1: 0 to 1 (Lin 1991)."""
    middle = (p + q) / 2

    def from_middle(x: np.ndarray) -> float:
        held = x > 0
        return float((x[held] * np.log2(x[held] / middle[held])).sum())

    return min(1.0, max(0.0, (from_middle(p) + from_middle(q)) / 2))


def divergence_test(
    a: np.ndarray, b: np.ndarray, generator: np.random.Generator, draws: int = inference.DRAWS
) -> tuple[float, float, str]:
    """Divergence of the mean curves of two models, and p under exchange of the models within videos.

    Parameters
    ----------
    a, b : (videos, T), each row summing to 1

    Returns
    -------
    divergence in bits, p, and how p was found.
    """
    found = jensen_shannon(a.mean(0), b.mean(0))
    n = len(a)
    exact = 2**n <= inference.EXACT_LIMIT
    total = 2**n if exact else draws
    hits = 0
    most = inference.held_rows(n)
    for start in range(0, total, most):
        numbers = np.arange(start, min(start + most, total))
        # The bits of a number say which videos are exchanged: every choice once.
        swap = (numbers[:, None] >> np.arange(n)) & 1 if exact else generator.integers(0, 2, (len(numbers), n))
        first, second = ((swap @ x + (1 - swap) @ y) / n for x, y in ((b, a), (a, b)))
        hits += sum(jensen_shannon(p, q) >= found - 1e-12 for p, q in zip(first, second, strict=True))
    if exact:
        return found, hits / total, f"exact permutation, {total} exchanges"
    return found, (hits + 1) / (total + 1), f"permutation, {total} draws"


def _add_video(pairs: dict[str, Pairs], video: str, folder_a: Path, folder_b: Path) -> int:
    """Add a video's clips to its species and to all; return the number of clips that only one run has."""
    clips_a, clips_b = (_clips(folder / f"{video}.clips.parquet") for folder in (folder_a, folder_b))
    both = clips_a.join(clips_b, on=KEY, suffix="_b").sort(KEY)
    curves = [_curves(folder / f"{video}.curves.parquet") for folder in (folder_a, folder_b)]
    means = [_means(folder, video) for folder in (folder_a, folder_b)]
    found: dict[str, list[tuple[np.ndarray, np.ndarray, bool]]] = {}
    for row in both.iter_rows(named=True):
        p = curves[0].get((row["window"], row["object"], row["clip"]))
        q = curves[1].get((row["window_b"], row["object"], row["clip_b"]))
        if p is not None and q is not None and len(p) == len(q):
            same = row["predicted_name"] == row["predicted_name_b"]
            for name in (row["species"], ALL):
                found.setdefault(name, []).append((p, q, same))
    for name, triples in found.items():
        pair = pairs.setdefault(name, Pairs())
        pair.a[video] = np.mean([p for p, _, _ in triples], axis=0)
        pair.b[video] = np.mean([q for _, q, _ in triples], axis=0)
        pair.divergence[video] = float(np.mean([jensen_shannon(p, q) for p, q, _ in triples]))
        pair.same_class[video] = float(np.mean([same for _, _, same in triples]))
        pair.means_a[video], pair.means_b[video] = (
            [mean.get(name, {}).get(measure) for measure in COMPARED] for mean in means
        )
        pair.n_clips += len(triples)
    return len(clips_a) + len(clips_b) - 2 * len(both)


def _clips(path: Path) -> pl.DataFrame:
    kept = used_clips(species_of(pl.DataFrame(read_table(path, CLIPS))))
    return kept.select([*KEY, "window", "clip", "species", "predicted_name"])


def _curves(path: Path) -> dict[tuple[int, str, int], np.ndarray]:
    """Importance of each clip divided by its sum; a clip without any is left out."""
    rows = pl.DataFrame(read_table(path, CURVES)).sort("window", "object", "clip", "offset")
    found = {}
    for (window, name, clip), group in rows.group_by("window", "object", "clip", maintain_order=True):
        series = group["magnitude"].to_numpy().astype(np.float64)
        if np.isfinite(series).all() and series.sum() > 0:
            found[window, name, clip] = series / series.sum()
    return found


def _means(folder: Path, video: str) -> dict[str, dict[str, Any]]:
    """Measures of a video by species, and over all species: the mean of the species."""
    clips = folder / f"{video}.clips.parquet"
    # What one of the models gets wrong the other may get right: the clips that are compared are the same.
    found = clip_means(clips, wrong_too=True)
    disturbed = perturbation_means(folder / f"{video}.perturbations.parquet", clips, wrong_too=True)
    for name, more in disturbed.items():
        found[name] = found.get(name, {}) | more
    together = {}
    for measure in COMPARED:
        values = [row[measure] for row in found.values() if row.get(measure) is not None]
        together[measure] = float(np.mean(values)) if values else None
    return found | {ALL: together}


def _rows(species: str, pair: Pairs, seed: int, options: Mapping[str, Any]) -> list[dict[str, Any]]:
    base = {"species": species, "n_clips": pair.n_clips}
    videos = sorted(pair.a)
    rows = [_curve_row(base, pair, seed, options)]
    for place, measure in enumerate(COMPARED):
        a, b = (
            {video: value for video in videos if (value := mean[video][place]) is not None}
            for mean in (pair.means_a, pair.means_b)
        )
        both = sorted(a.keys() & b.keys())
        if not both:
            continue
        test = inference.compare(
            {v: a[v] for v in both}, {v: b[v] for v in both}, stream(seed, species, f"exchange of {measure}"), **options
        )
        low, high = test.difference_span
        rows.append(
            base
            | {"measure": measure, "n_videos": len(both), "value_a": test.mean_a, "value_b": test.mean_b}
            | {"difference": test.difference, "low": low, "high": high, "p": test.p, "p_least": test.p_least}
            | {"method": test.method, "status": test.status, "reason": test.reason}
        )
    return rows


def _curve_row(base: Mapping[str, Any], pair: Pairs, seed: int, options: Mapping[str, Any]) -> dict[str, Any]:
    """Divergence: `difference` and its interval are the mean over videos, p is of the mean curves."""
    videos = sorted(pair.a)
    span = inference.interval([pair.divergence[v] for v in videos], scale="logit", level=options["level"])
    row = {
        **base,
        "measure": tables.DIVERGENCE,
        "n_videos": len(videos),
        "difference": span.mean,
        "low": span.low,
        "high": span.high,
        "p": None,
        "same_class": float(np.mean([pair.same_class[v] for v in videos])),
    }
    if span.status != Status.OK:
        return row | {"method": "none", "status": span.status, "reason": span.reason}
    a, b = (np.array([side[v] for v in videos]) for side in (pair.a, pair.b))
    generator = stream(seed, str(base["species"]), "exchange of the curves")
    _, p, method = divergence_test(a, b, generator, options["draws"])
    least = max(2.0 / 2 ** len(videos), 1.0 / (options["draws"] + 1))
    decides = least <= 1.0 - options["level"]
    told = {"p": p, "p_least": least, "method": method, "status": Status.OK if decides else Status.UNDECIDED}
    return row | told | {"reason": "" if decides else f"p cannot be below {least:.2g} with so few videos"}
