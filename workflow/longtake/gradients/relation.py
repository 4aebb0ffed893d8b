"""How temporal importance and motion go together within one clip.

Both series are autocorrelated, so neighbouring frames are no independent samples. Confidence comes from blocks: p by
permuting circular blocks of one series, which breaks the relation and keeps most of the autocorrelation; intervals by
drawing circular blocks of pairs with replacement (Politis and Romano 1992). Blocks are ceil(sqrt(n)) long: 6 for the 30
steps of a 31-frame clip. A clip is one observation of its video; tests between species are made over videos elsewhere.
"""

from dataclasses import dataclass, fields

import numpy as np
from scipy.stats import rankdata

from longtake.gradients.importance import peaks

MIN_PAIRS = 8
"""Fewer pairs than this and no relation is computed."""
MAX_LAG = 5
PEAK_TOLERANCE = 2


@dataclass(frozen=True)
class Relation:
    """Relation of importance and motion; None where it is not defined (a constant series).

    `pearson_low`, `pearson_high` is the 95 % interval; `mutual_information` in bits; `best_lag` in frames, positive
    where importance follows motion; `peak_alignment` and `phase_coherence` in [0, 1].
    """

    pearson: float | None = None
    pearson_p: float | None = None
    pearson_low: float | None = None
    pearson_high: float | None = None
    spearman: float | None = None
    spearman_p: float | None = None
    mutual_information: float | None = None
    best_lag: float | None = None
    best_lag_r: float | None = None
    peak_alignment: float | None = None
    phase_coherence: float | None = None


RELATION_NAMES = tuple(field.name for field in fields(Relation))


def relate(importance: np.ndarray, motion: np.ndarray, rng: np.random.Generator, permutations: int) -> Relation:
    """Relate two series (n,), frame by frame; all None for fewer than `MIN_PAIRS` frames.

    `permutations` is the number of block permutations and of block bootstrap draws. Memory: permutations x n numbers.
    """
    x, y = np.asarray(importance, dtype=np.float64), np.asarray(motion, dtype=np.float64)
    if len(x) < MIN_PAIRS:
        return Relation()
    shuffled = block_permutations(len(x), permutations, rng)
    drawn = block_draws(len(x), permutations, rng)
    ranks_x, ranks_y = rankdata(x), rankdata(y)
    low, high = _interval(x, y, drawn)
    lag, lag_r = best_lag(x, y)
    return Relation(
        pearson=pearson(x, y),
        pearson_p=_p_value(x, y, shuffled),
        pearson_low=low,
        pearson_high=high,
        spearman=pearson(ranks_x, ranks_y),
        spearman_p=_p_value(ranks_x, ranks_y, shuffled),
        mutual_information=mutual_information(x, y),
        best_lag=lag,
        best_lag_r=lag_r,
        peak_alignment=peak_alignment(x, y),
        phase_coherence=phase_coherence(x, y),
    )


def pearson(x: np.ndarray, y: np.ndarray) -> float | None:
    """Pearson's r of two series (n,); None if one is constant."""
    r = float(_row_correlations(x[None], y[None])[0])
    return None if np.isnan(r) else r


def mutual_information(x: np.ndarray, y: np.ndarray) -> float | None:
    """Mutual information in bits from the joint histogram; None if a series is constant.

    floor(sqrt(n)) bins of equal width over each series' own range. Biased upwards for short series: compare clips of
    one length only.
    """
    if np.ptp(x) == 0 or np.ptp(y) == 0:
        return None
    joint, _, _ = np.histogram2d(x, y, bins=max(2, int(np.sqrt(len(x)))))
    joint /= joint.sum()
    expected = joint.sum(1, keepdims=True) * joint.sum(0, keepdims=True)
    held = joint > 0
    return float((joint[held] * np.log2(joint[held] / expected[held])).sum())


def best_lag(x: np.ndarray, y: np.ndarray) -> tuple[float | None, float | None]:
    """The lag in -5..5 frames with the largest |r|, and that r; positive where x follows y. The shortest of equals."""
    best: tuple[float | None, float | None] = (None, None)
    for lag in sorted(range(-MAX_LAG, MAX_LAG + 1), key=abs):
        late, early = (x[lag:], y[: len(y) - lag]) if lag >= 0 else (x[:lag], y[-lag:])
        r = pearson(late, early) if len(late) >= 3 else None
        if r is not None and (best[1] is None or abs(r) > abs(best[1]) + 1e-12):
            best = (float(lag), r)
    return best


def peak_alignment(x: np.ndarray, y: np.ndarray) -> float | None:
    """Share of the peaks of x with a peak of y within 2 frames; None if x has no peak."""
    of_x, of_y = peaks(x), peaks(y)
    if not len(of_x):
        return None
    if not len(of_y):
        return 0.0
    nearest = np.abs(of_x[:, None] - of_y[None, :]).min(axis=1)
    return float((nearest <= PEAK_TOLERANCE).mean())


def phase_coherence(x: np.ndarray, y: np.ndarray) -> float | None:
    """|mean_k exp(i (phase of x at k - phase of y at k))| over the frequencies k > 0 that both series hold.

    1 if the phases differ alike at all frequencies; about 1 / sqrt(frequencies) by chance, 0.26 for 30 frames.
    """
    a, b = np.fft.rfft(x - x.mean())[1:], np.fft.rfft(y - y.mean())[1:]
    held = (np.abs(a) > 1e-9 * np.abs(x).max()) & (np.abs(b) > 1e-9 * np.abs(y).max())
    if not held.any():
        return None
    return float(np.abs(np.exp(1j * (np.angle(a[held]) - np.angle(b[held]))).mean()))


def block_length(n: int) -> int:
    """ceil(sqrt(n))."""
    return int(np.ceil(np.sqrt(n)))


def block_permutations(n: int, times: int, rng: np.random.Generator) -> np.ndarray:
    """Index rows (times, n): the series turned by a random offset, cut into blocks, the blocks in random order."""
    block = np.arange(n) // block_length(n)
    rank = rng.random((times, block[-1] + 1))
    order = np.argsort(rank[:, block], axis=1, kind="stable")
    return (order + rng.integers(0, n, (times, 1))) % n


def block_draws(n: int, times: int, rng: np.random.Generator) -> np.ndarray:
    """Index rows (times, n): circular blocks drawn with replacement, cut to n."""
    length = block_length(n)
    starts = rng.integers(0, n, (times, -(-n // length), 1))
    return ((starts + np.arange(length)) % n).reshape(times, -1)[:, :n]


def _row_correlations(x: np.ndarray, y: np.ndarray) -> np.ndarray:
    """Pearson's r of each row of x with the same row of y: (rows,), NaN where one is constant."""
    constant = (np.ptp(x, axis=1) == 0) | (np.ptp(y, axis=1) == 0)
    x, y = x - x.mean(1, keepdims=True), y - y.mean(1, keepdims=True)
    scale = np.sqrt((x**2).sum(1) * (y**2).sum(1))
    undefined = constant | (scale == 0)
    r = (x * y).sum(1) / np.where(undefined, 1.0, scale)
    return np.where(undefined, np.nan, np.clip(r, -1.0, 1.0))


def _p_value(x: np.ndarray, y: np.ndarray, shuffled: np.ndarray) -> float | None:
    """Two-sided p: the share of arrangements, the found one included, with at least its |r|."""
    found = pearson(x, y)
    if found is None:
        return None
    others = _row_correlations(np.broadcast_to(x, shuffled.shape), y[shuffled])
    # Rounding must not make an arrangement that repeats the found one look smaller.
    return float((1 + np.count_nonzero(np.abs(others) >= abs(found) - 1e-12)) / (1 + len(others)))


def _interval(x: np.ndarray, y: np.ndarray, drawn: np.ndarray) -> tuple[float | None, float | None]:
    """The 2.5th and 97.5th percentile of r over the draws in which it is defined."""
    if pearson(x, y) is None:
        return None, None
    r = _row_correlations(x[drawn], y[drawn])
    r = r[~np.isnan(r)]
    if not len(r):
        return None, None
    low, high = np.percentile(r, [2.5, 97.5])
    return float(low), float(high)
