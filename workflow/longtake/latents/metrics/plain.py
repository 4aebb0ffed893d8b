"""What the references are made of: one pair of arrays, one histogram, one mean at a time, in float64."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

Plain = tuple[float | None, int]
"""A metric, None where undefined, and how many parts were left out of its mean."""


def mean_of_defined(values: Sequence[float | None]) -> Plain:
    """Mean of what is not None, and how many are."""
    known = [value for value in values if value is not None]
    return (float(np.mean(known)) if known else None), len(values) - len(known)


def variance(values: NDArray[np.float64]) -> float:
    """Population variance; exactly 0 of one value throughout, where rounding would leave 1e-33."""
    return float(values.var()) if values.min() < values.max() else 0.0


def pearson(a: NDArray[np.float64], b: NDArray[np.float64]) -> float | None:
    """Correlation of two arrays of one shape; None if one of them is constant or empty."""
    if a.size == 0 or a.min() == a.max() or b.min() == b.max():
        return None
    da, db = a - a.mean(), b - b.mean()
    return float((da * db).sum() / math.sqrt((da * da).sum() * (db * db).sum()))


def entropy(counts: NDArray[np.float64]) -> float:
    """Entropy in bits of a histogram, with the correction of Miller and Madow (1955): (K - 1) / 2N nats more."""
    seen = counts[counts > 0]
    n = seen.sum()
    shares = seen / n
    return float(-(shares * np.log2(shares)).sum() + (seen.size - 1) / (2.0 * n * math.log(2.0)))
