"""How temporal importance and motion go together within one clip.

Both series are autocorrelated, so neighbouring frames are no independent samples, and two series that both rise
correlate: `pearson` and `spearman` are of the series as they are, while p and the interval are of the detrended ones
with as many samples as they are worth (`longtake.statistics.inference.relate_series`). What has no natural zero (mutual
information, coherence, peaks, the best lag) stands beside its chance level, the mean over all circular shifts of the
motion by more than `MAX_LAG` frames. A clip is one observation of its video; tests are made over videos elsewhere.
"""

from collections.abc import Callable
from dataclasses import dataclass, fields

import numpy as np
from scipy.stats import rankdata

from longtake.gradients.importance import peaks
from longtake.statistics.inference import is_constant, relate_series

MIN_PAIRS = 8
"""Fewer pairs than this and no relation is computed."""
MAX_LAG = 5
PEAK_TOLERANCE = 2


@dataclass(frozen=True)
class Relation:
    """Relation of importance and motion; None where it is not defined (a series constant up to rounding).

    `detrended` is Pearson's r without linear trends, with its p, its 95 % interval and the independent samples that the
    two series are worth; `mutual_information` in bits; `best_lag` in frames, positive where importance follows motion,
    `best_lag_p` the share of circular shifts whose best lag has at least its |r|; `peak_alignment` and
    `phase_coherence` in [0, 1]; `*_chance` the mean over the shifts.
    """

    pearson: float | None = None
    spearman: float | None = None
    detrended: float | None = None
    detrended_p: float | None = None
    detrended_low: float | None = None
    detrended_high: float | None = None
    effective_n: float | None = None
    mutual_information: float | None = None
    mutual_information_chance: float | None = None
    best_lag: float | None = None
    best_lag_r: float | None = None
    best_lag_p: float | None = None
    peak_alignment: float | None = None
    peak_alignment_chance: float | None = None
    phase_coherence: float | None = None
    phase_coherence_chance: float | None = None


RELATION_NAMES = tuple(field.name for field in fields(Relation))


def relate(importance: np.ndarray, motion: np.ndarray) -> Relation:
    """Relate two series (n,), frame by frame; all None for fewer than `MIN_PAIRS` frames."""
    x, y = np.asarray(importance, dtype=np.float64), np.asarray(motion, dtype=np.float64)
    if len(x) < MIN_PAIRS or not (np.isfinite(x).all() and np.isfinite(y).all()):
        return Relation()
    found = relate_series(x, y)
    lag, lag_r = best_lag(x, y)
    return Relation(
        pearson=pearson(x, y),
        spearman=pearson(rankdata(x), rankdata(y)) if pearson(x, y) is not None else None,
        detrended=None if found is None else found.r,
        detrended_p=None if found is None else found.p,
        detrended_low=None if found is None else found.low,
        detrended_high=None if found is None else found.high,
        effective_n=None if found is None else found.effective_n,
        mutual_information=mutual_information(x, y),
        mutual_information_chance=chance(mutual_information, x, y),
        best_lag=lag,
        best_lag_r=lag_r,
        best_lag_p=best_lag_p(x, y),
        peak_alignment=peak_alignment(x, y),
        peak_alignment_chance=chance(peak_alignment, x, y),
        phase_coherence=phase_coherence(x, y),
        phase_coherence_chance=chance(phase_coherence, x, y),
    )


def shifts(y: np.ndarray) -> list[np.ndarray]:
    """The series turned by every number of frames that is more than `MAX_LAG` either way."""
    return [np.roll(y, k) for k in range(MAX_LAG + 1, len(y) - MAX_LAG)]


def chance(measure: Callable[[np.ndarray, np.ndarray], float | None], x: np.ndarray, y: np.ndarray) -> float | None:
    """Mean of `measure` over the circular shifts of y; None where it is not defined for the series as they are."""
    if measure(x, y) is None:
        return None
    known = [value for turned in shifts(y) if (value := measure(x, turned)) is not None]
    return float(np.mean(known)) if known else None


def best_lag_p(x: np.ndarray, y: np.ndarray) -> float | None:
    """Share of the circular shifts, the series as they are included, whose best lag has at least the found |r|."""
    found = best_lag(x, y)[1]
    if found is None:
        return None
    others = [best_lag(x, turned)[1] or 0.0 for turned in shifts(y)]
    return float((1 + sum(abs(r) >= abs(found) - 1e-12 for r in others)) / (1 + len(others)))


def pearson(x: np.ndarray, y: np.ndarray) -> float | None:
    """Pearson's r of two series (n,); None if one is constant up to rounding."""
    if is_constant(x) or is_constant(y):
        return None
    a, b = x - x.mean(), y - y.mean()
    return float(np.clip((a @ b) / np.sqrt((a @ a) * (b @ b)), -1.0, 1.0))


def mutual_information(x: np.ndarray, y: np.ndarray) -> float | None:
    """Mutual information in bits from the joint histogram; None if a series is constant.

    floor(sqrt(n)) bins of equal width over each series' own range. Biased upwards for short series, about .38 for 30
    frames that have nothing to do with each other: read it beside its chance level.
    """
    if is_constant(x) or is_constant(y):
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
    """Share of the peaks of x with a peak of y within 2 frames; None if x has no peak or y is constant."""
    if is_constant(x) or is_constant(y):
        return None
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
    if is_constant(x) or is_constant(y):
        return None
    a, b = np.fft.rfft(x - x.mean())[1:], np.fft.rfft(y - y.mean())[1:]
    held = (np.abs(a) > 1e-9 * np.abs(x).max()) & (np.abs(b) > 1e-9 * np.abs(y).max())
    if not held.any():
        return None
    return float(np.abs(np.exp(1j * (np.angle(a[held]) - np.angle(b[held]))).mean()))
