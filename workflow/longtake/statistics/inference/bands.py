"""Bands of curves that hold at all points at once."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from longtake.statistics.inference.comparison import DRAWS
from longtake.statistics.inference.intervals import MINIMUM
from longtake.statistics.inference.permutation import held_rows

Values = NDArray[np.float64]


def simultaneous_band(
    curves: Values, generator: np.random.Generator, *, level: float = 0.95, draws: int = DRAWS
) -> tuple[Values, Values, Values]:
    """Mean curve over subjects with a band that holds the whole true curve with probability `level` (sup-t).

    The widest studentised deviation of the mean under random signs of the subjects' residuals, `level` of the time, is
    how many standard errors wide the band is at every point (Montiel Olea and Plagborg-Moller 2019, by signs). A
    pointwise band that says 95 % holds the whole curve in two thirds of studies (20 points, 12 subjects).

    Parameters
    ----------
    curves
        (subjects, points) float64, finite, one curve per subject.

    Returns
    -------
    mean, low, high
        Each (points,); low and high are NaN below `MINIMUM` subjects. A point without spread has no width.
    """
    n = len(curves)
    mean = curves.mean(axis=0)
    if n < MINIMUM:
        unknown = np.full_like(mean, np.nan)
        return mean, unknown, unknown.copy()
    residuals = curves - mean
    error = residuals.std(axis=0, ddof=1) / math.sqrt(n)
    varies = error > 1e-12 * np.maximum(np.abs(mean), np.finfo(np.float64).tiny)
    if not varies.any():
        return mean, mean.copy(), mean.copy()
    widest = _widest(residuals[:, varies] / (error[varies] * math.sqrt(n)), generator, draws)
    half = float(np.quantile(widest, level, method="higher")) * np.where(varies, error, 0.0)
    return mean, mean - half, mean + half


def _widest(residuals: Values, generator: np.random.Generator, draws: int) -> Values:
    """The largest |t| over the points, for each choice of signs: (choices,); all choices where there are few.

    Each choice has its own standard error: with that of the data the band would hold .08 to .85 of curves (5 to 20
    subjects), since residuals know the mean.
    """
    n, points = residuals.shape
    exact = 2**n <= draws
    total = 2**n if exact else draws
    square, most = (residuals**2).sum(0), held_rows(max(n, points))
    found = np.empty(total)
    for start in range(0, total, most):
        numbers = np.arange(start, min(start + most, total))
        if exact:
            signs = ((numbers[:, None] >> np.arange(n)) & 1) * 2.0 - 1.0
        else:
            signs = np.where(generator.random((len(numbers), n)) < 0.5, -1.0, 1.0)
        mean = signs @ residuals / n
        # A choice that turns residuals into a constant has no spread: that is wide, not undefined.
        variance = np.maximum((square - n * mean**2) / (n - 1), 1e-12)
        found[numbers] = np.abs(mean / np.sqrt(variance / n)).max(axis=1)
    return found
