"""Intervals and tests over videos, in plain NumPy.

Every function takes one value per video (the unit) and nothing finer: frames of a video, objects in it and
clips of it are not independent, so they are averaged before they come here. Draws come from a generator
that the caller keys by seed, species and measure, so a table is the same whatever was computed before it.
Memory is bounded by ``HELD`` numbers at a time, whatever the number of videos, and a few per video.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.special import ndtri

MINIMUM_VIDEOS = 3
RESAMPLES = 10_000
EXACT_LIMIT = 20_000
BLOCK = 1_000
HELD = 200_000

Values = NDArray[np.float64]


@dataclass(frozen=True)
class Interval:
    """A mean or share with its interval; ``low`` and ``high`` are None when the data do not decide one."""

    mean: float | None
    low: float | None
    high: float | None
    sd: float | None
    n: int
    status: str
    reason: str


@dataclass(frozen=True)
class Comparison:
    """A permutation test of two species on one measure; numbers are None where the data do not decide."""

    n_a: int
    n_b: int
    n_paired: int
    mean_a: float | None
    mean_b: float | None
    difference: float | None
    hedges_g: float | None
    cliffs_delta: float | None
    p: float | None
    method: str
    status: str
    reason: str


def too_few(n: int, what: str = "video") -> str:
    """Say why nothing can be inferred from ``n`` units."""
    plural = "" if n == 1 else "s"
    return f"{n} {what}{plural}, at least {MINIMUM_VIDEOS} are needed"


def bootstrap_mean(
    values: Sequence[float] | Values,
    generator: np.random.Generator,
    *,
    level: float = 0.95,
    resamples: int = RESAMPLES,
) -> Interval:
    """Mean over videos with a percentile bootstrap interval (Efron and Tibshirani 1993, chapter 13).

    Parameters
    ----------
    values
        (n,) float64, one finite value per video, in an order that does not depend on the run.
    generator
        The stream keyed by (seed, species, measure).

    Returns
    -------
    Interval
        Undecided, with the mean where there is one, below ``MINIMUM_VIDEOS`` videos.
    """
    data = np.asarray(values, dtype=np.float64)
    n = int(data.size)
    if n == 0:
        return Interval(None, None, None, None, 0, "undecided", "no video has a value")
    sd = float(data.std(ddof=1)) if n > 1 else None
    mean = float(data.mean())
    if n < MINIMUM_VIDEOS:
        return Interval(mean, None, None, sd, n, "undecided", too_few(n))
    means = np.concatenate(list(_resampled_means(data[:, None], generator, resamples)))[:, 0]
    tail = (1.0 - level) / 2.0
    low, high = np.quantile(means, [tail, 1.0 - tail])
    return Interval(mean, float(low), float(high), sd, n, "ok", "")


def bootstrap_band(
    curves: Values, generator: np.random.Generator, *, level: float = 0.95, resamples: int = RESAMPLES
) -> tuple[Values, Values, Values]:
    """Pointwise mean and percentile band of curves, resampling whole videos.

    Parameters
    ----------
    curves
        (n_videos, n_points) float64, finite.

    Returns
    -------
    mean, low, high
        Each (n_points,); low and high are NaN below ``MINIMUM_VIDEOS`` videos.
    """
    mean = curves.mean(axis=0)
    if curves.shape[0] < MINIMUM_VIDEOS:
        unknown = np.full_like(mean, np.nan)
        return mean, unknown, unknown.copy()
    means = np.concatenate(list(_resampled_means(curves, generator, resamples)))
    tail = (1.0 - level) / 2.0
    low, high = np.quantile(means, [tail, 1.0 - tail], axis=0)
    return mean, low, high


def _resampled_means(data: Values, generator: np.random.Generator, resamples: int) -> Iterator[Values]:
    """Yield (block, n_points) means of videos drawn with replacement, ``BLOCK`` resamples at a time."""
    n = data.shape[0]
    most = held_rows(n)
    for start in range(0, resamples, most):
        rows = generator.integers(0, n, size=(min(most, resamples - start), n))
        rows += n * np.arange(len(rows))[:, None]
        counts = np.bincount(rows.ravel(), minlength=rows.size).reshape(rows.shape)
        yield counts.astype(np.float64) @ data / n


def held_rows(n: int) -> int:
    """How many rows of `n` numbers are held at a time: `BLOCK`, and less where that is more than `HELD` numbers.

    Draws come one after the other, so that a result does not depend on it.
    """
    return min(BLOCK, max(8, HELD // max(1, n)))


def wilson(successes: int, n: int, *, level: float = 0.95) -> Interval:
    """Share of videos with Wilson's score interval (Wilson 1927; Brown, Cai and DasGupta 2001)."""
    if n == 0:
        return Interval(None, None, None, None, 0, "undecided", "no video has a value")
    share = successes / n
    if n < MINIMUM_VIDEOS:
        return Interval(share, None, None, None, n, "undecided", too_few(n))
    z = float(ndtri(1.0 - (1.0 - level) / 2.0))
    centre = (share + z * z / (2 * n)) / (1 + z * z / n)
    half = z / (1 + z * z / n) * math.sqrt(share * (1 - share) / n + z * z / (4 * n * n))
    # The bound is exactly 0 (or 1) when no (every) video counts; rounding must not leave 1e-17 there.
    low = 0.0 if successes == 0 else centre - half
    high = 1.0 if successes == n else centre + half
    return Interval(share, low, high, None, n, "ok", "")


def hedges_g(a: Values, b: Values) -> float | None:
    """Standardised mean difference with the small-sample correction (Hedges 1981); None without spread."""
    n_a, n_b = a.size, b.size
    if n_a < 2 or n_b < 2:
        return None
    freedom = n_a + n_b - 2
    pooled = ((n_a - 1) * a.var(ddof=1) + (n_b - 1) * b.var(ddof=1)) / freedom
    if not pooled > 0.0:
        return None
    return float((a.mean() - b.mean()) / math.sqrt(pooled) * (1.0 - 3.0 / (4.0 * freedom - 1.0)))


def cliffs_delta(a: Values, b: Values) -> float:
    """P(a > b) - P(a < b) over all pairs of videos (Cliff 1993), between -1 and 1."""
    # How many of b are less than each of a, and not more: a table of all pairs would have n_a times n_b entries.
    ranked = np.sort(b)
    less, not_more = (int(np.searchsorted(ranked, a, side).sum()) for side in ("left", "right"))
    return (less + not_more - a.size * b.size) / (a.size * b.size)


def compare(a: Mapping[str, float], b: Mapping[str, float], generator: np.random.Generator) -> Comparison:
    """Two-sided permutation test of the difference of means of two species.

    A video that shows both species is a matched pair: its two values are swapped, never separated. Videos
    that show one of them only are relabelled among themselves. All rearrangements are visited when there
    are at most ``EXACT_LIMIT``, otherwise ``RESAMPLES`` are drawn and p = (k + 1) / (n + 1) (Phipson and
    Smyth 2010).

    Parameters
    ----------
    a, b
        Video id -> the video's finite value.
    """
    both = sorted(a.keys() & b.keys())
    only_a, only_b = sorted(a.keys() - b.keys()), sorted(b.keys() - a.keys())
    values_a = np.array([a[v] for v in both + only_a], dtype=np.float64)
    values_b = np.array([b[v] for v in both + only_b], dtype=np.float64)
    mean_a = float(values_a.mean()) if values_a.size else None
    mean_b = float(values_b.mean()) if values_b.size else None
    fewest = min(values_a.size, values_b.size)
    counts = (int(values_a.size), int(values_b.size), len(both))
    if mean_a is None or mean_b is None or fewest < MINIMUM_VIDEOS:
        return Comparison(*counts, mean_a, mean_b, None, None, None, None, "none", "undecided", too_few(int(fewest)))
    pool = np.concatenate([values_a[len(both) :], values_b[len(both) :]])
    p, method = _permutation_p(values_a, values_b, len(both), pool, generator)
    return Comparison(
        *counts, mean_a, mean_b, mean_a - mean_b, hedges_g(values_a, values_b),
        cliffs_delta(values_a, values_b), p, method, "ok", "",
    )  # fmt: skip


def _permutation_p(
    a: Values, b: Values, n_paired: int, pool: Values, generator: np.random.Generator
) -> tuple[float, str]:
    """p of |mean difference| when pairs are swapped and the ``pool`` of single videos is relabelled."""
    pairs_a, pairs_b = a[:n_paired], b[:n_paired]
    n_single = a.size - n_paired
    observed = abs(a.mean() - b.mean())
    # Rearrangements that tie with the observed one must count as ties despite rounding.
    threshold = observed - 1e-12 * max(1.0, float(np.abs(np.concatenate([a, b])).max()))
    total = 2**n_paired * math.comb(pool.size, n_single)
    exact = total <= EXACT_LIMIT
    hits = 0
    for swaps, chosen in _rearrangements(n_paired, pool.size, n_single, None if exact else generator):
        gained = swaps @ (pairs_b - pairs_a) + chosen @ pool
        sums_a, sums_b = pairs_a.sum() + gained, pairs_b.sum() + pool.sum() - gained
        hits += int(np.count_nonzero(np.abs(sums_a / a.size - sums_b / b.size) >= threshold))
    if exact:
        return hits / total, f"exact permutation, {total} rearrangements"
    return (hits + 1) / (RESAMPLES + 1), f"permutation, {RESAMPLES} draws"


def _rearrangements(
    n_paired: int, n_pool: int, n_chosen: int, generator: np.random.Generator | None
) -> Iterator[tuple[Values, Values]]:
    """Yield blocks of (pairs swapped, singles chosen), each (rows, n) of 0 and 1: all there are, or draws."""
    most = held_rows(n_paired + n_pool)
    if generator is None:
        every = _all_rearrangements(n_paired, n_pool, n_chosen)
        while block := list(itertools.islice(every, most)):
            swaps, chosen = (np.array(part, dtype=np.float64) for part in zip(*block, strict=True))
            yield swaps.reshape(len(block), n_paired), chosen.reshape(len(block), n_pool)
        return
    for start in range(0, RESAMPLES, most):
        rows = min(most, RESAMPLES - start)
        if not n_pool:
            yield (generator.random((rows, n_paired)) < 0.5).astype(np.float64), np.zeros((rows, 0))
            continue
        swaps, chosen = np.zeros((rows, n_paired)), np.zeros((rows, n_pool))
        for row in range(rows):
            chosen[row, generator.permutation(n_pool)[:n_chosen]] = 1.0
            swaps[row] = generator.random(n_paired) < 0.5
        yield swaps, chosen


def _all_rearrangements(n_paired: int, n_pool: int, n_chosen: int) -> Iterator[tuple[Sequence[bool], Values]]:
    for swap in itertools.product((False, True), repeat=n_paired):
        for picked in itertools.combinations(range(n_pool), n_chosen):
            chosen = np.zeros(n_pool)
            chosen[list(picked)] = 1.0
            yield swap, chosen


def holm(p_values: Sequence[float | None]) -> list[float | None]:
    """Holm's step-down adjusted p-values (Holm 1979); None stays None and does not count as a test."""
    decided = sorted((p, i) for i, p in enumerate(p_values) if p is not None)
    adjusted: list[float | None] = [None] * len(p_values)
    running = 0.0
    for rank, (p, i) in enumerate(decided):
        running = max(running, min(1.0, p * (len(decided) - rank)))
        adjusted[i] = running
    return adjusted
