"""How the latents of all videos lie to each other at one step, from the products of each two."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from longtake.latents.grams import centred, squared_distances

Array = NDArray[np.float64]
# Of the distances' ratios, the largest tenth says more of outliers than of dimension (Facco et al. 2017).
_KEPT = 0.9
_FEW = 100


@dataclass(frozen=True)
class Place:
    """A video as comparisons know it: its group, and its seed where that stands for one video of the group."""

    group: str
    seed: int | None


@dataclass(frozen=True)
class Crossing:
    """All of one step. Distances are divided by the root of the number of elements; NaN where undefined.

    Attributes
    ----------
    branch_distance : [N] to the baseline's latent of the same seed
    exit_distance : [N] to the centroid of the video's own group
    places : [N, 2] on the map of classical scaling
    groups : by name, `corridor_width`, `divergence`, `dimension_twonn`, `dimension_levina_bickel`, `n_dimension`
    """

    branch_distance: Array
    exit_distance: Array
    places: Array
    groups: dict[str, dict[str, float]]


def cross(products: Array, elements: int, videos: Sequence[Place], baseline: str) -> Crossing:
    """Distances, corridors, divergences, dimensions and the map, from the products [N, N] of the latents."""
    squared = squared_distances(products) / elements
    members = {name: np.array([v.group == name for v in videos]) for name in sorted({v.group for v in videos})}
    base: dict[int | None, int] = {
        v.seed: n for n, v in enumerate(videos) if v.group == baseline and v.seed is not None
    }
    branch = np.array([_to(squared, n, base.get(v.seed)) for n, v in enumerate(videos)])
    exits = np.full(len(videos), np.nan)
    groups: dict[str, dict[str, float]] = {}
    for name, mine in members.items():
        own = squared[np.ix_(mine, mine)]
        n = int(mine.sum())
        # The squared distance to a centroid is the mean squared distance, less half the mean within.
        exits[mine] = np.sqrt(np.maximum(own.mean(1) - own.mean() / 2.0, 0.0))
        twonn, levina, kept = dimensions(np.sqrt(own))
        groups[name] = {
            "corridor_width": float(np.sqrt(own.sum() / (2.0 * n * (n - 1)))) if n > 1 else np.nan,
            "divergence": divergence(squared, videos, name, baseline),
            "dimension_twonn": twonn,
            "dimension_levina_bickel": levina,
            "n_dimension": kept,
        }
    return Crossing(branch, exits, _map(products / elements), groups)


def _to(squared: Array, n: int, other: int | None) -> float:
    return np.nan if other is None else float(np.sqrt(squared[n, other]))


def divergence(squared: Array, videos: Sequence[Place], group: str, baseline: str) -> float:
    """Distance of two groups' centroids, less what the spread within would make of it; 0 where that is more.

    Where all videos are matched by seed, the differences of pairs are averaged: |mean|^2 - tr S / n, with S their
    covariance. Else both groups' own spread is taken off: tr S_a / n_a + tr S_b / n_b.
    """
    a = [n for n, v in enumerate(videos) if v.group == group]
    b = [n for n, v in enumerate(videos) if v.group == baseline]
    if group == baseline or min(len(a), len(b)) < 2:
        return np.nan
    seeds = {videos[n].seed: n for n in b}
    pairs = [(n, seeds[videos[n].seed]) for n in a if videos[n].seed is not None and videos[n].seed in seeds]
    if len(pairs) == len(a) == len(b):
        first, second = (list(part) for part in zip(*pairs, strict=True))
        own, cross_, other = (squared[np.ix_(p, q)] for p, q in ((first, first), (first, second), (second, second)))
        n = len(pairs)
        mean = cross_.mean() - own.mean() / 2.0 - other.mean() / 2.0
        total = float(np.diag(cross_).mean())
        unbiased = mean - (total - mean) / (n - 1)
    else:
        own, other, cross_ = (squared[np.ix_(p, q)] for p, q in ((a, a), (b, b), (a, b)))
        # Means over distinct pairs estimate twice the variance without bias.
        unbiased = cross_.mean() - sum(part.sum() / (2.0 * len(part) * (len(part) - 1)) for part in (own, other))
    return float(np.sqrt(max(unbiased, 0.0)))


def dimensions(distances: Array) -> tuple[float, float, int]:
    """Intrinsic dimension by TwoNN and by Levina and Bickel, and how many points they rest on.

    TwoNN (Facco et al. 2017): a line through the origin of -log(1 - F) over log(r2 / r1), without the largest tenth.
    Levina and Bickel (2004), the inverses pooled as MacKay and Ghahramani (2005) have it: k from 10 to 20 neighbours,
    from 5 to 10 below a hundred points. Points that lie on another one are dropped.
    """
    n = len(distances)
    away = distances + np.diag(np.full(n, np.inf)) if n else distances
    alone = away.min(1, initial=np.inf) > 0
    near = np.sort(away[np.ix_(alone, alone)], axis=1)
    kept = len(near)
    if kept < 5:
        return np.nan, np.nan, kept
    ratio = np.sort(np.log(near[:, 1] / near[:, 0]))
    share = np.arange(1, kept + 1) / kept
    most = int(np.floor(_KEPT * kept))
    x, y = ratio[:most], -np.log1p(-share[:most])
    twonn = float((x * y).sum() / (x * x).sum()) if (x * x).sum() > 0 else np.nan
    low, high = (10, 20) if kept >= _FEW else (5, 10)
    found = []
    for k in range(low, min(high, kept - 1) + 1):
        logs = np.log(near[:, k - 1 : k] / near[:, : k - 1])
        found.append(1.0 / (logs.sum() / (kept * (k - 2))) if logs.sum() > 0 else np.nan)
    return twonn, float(np.mean(found)) if found else np.nan, kept


def _map(products: Array) -> Array:
    """[N, 2] classical scaling; the sign of an axis is that of its largest place."""
    if len(products) < 3:
        return np.full((len(products), 2), np.nan)
    values, vectors = np.linalg.eigh(centred(products))
    places = vectors[:, -2:][:, ::-1] * np.sqrt(np.maximum(values[-2:][::-1], 0.0))
    largest = np.abs(places).argmax(0)
    return places * np.where(places[largest, [0, 1]] < 0, -1.0, 1.0)


def unique_seeds(rows: Sequence[Mapping[str, object]]) -> list[Place]:
    """Places of videos; a seed that a group has twice matches none of its videos."""
    keys = [(row["group"], row["seed"]) for row in rows]
    return [
        Place(str(group), int(str(seed)) if seed is not None and keys.count((group, seed)) == 1 else None)
        for group, seed in keys
    ]
