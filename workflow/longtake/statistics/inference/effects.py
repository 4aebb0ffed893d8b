"""Effect sizes of two groups of subjects, with intervals that know which values are pairs."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.stats import t as student

Values = NDArray[np.float64]
_NOTHING = (None, None)
Span = tuple[float | None, float | None]


@dataclass(frozen=True)
class Groups:
    """Two groups of subjects: the first `n_paired` of `a` and of `b` are the same subjects, in the same order."""

    a: Values
    b: Values
    n_paired: int


def standard_error(groups: Groups) -> tuple[float, float] | None:
    """Standard error of mean(a) - mean(b), and its degrees of freedom (Welch 1947, Satterthwaite); None without spread.

    Pairs count by the spread of their own difference, singles by that of their group: so it is that of the paired t
    test where all are pairs, and Welch's where none is.
    """
    a, b, k = groups.a, groups.b, groups.n_paired
    if a.size < 2 or b.size < 2:
        return None
    k = k if k >= 2 else 0
    parts = [((group.size - k) * float(group.var(ddof=1)) / group.size**2, group.size - 1) for group in (a, b)]
    if k:
        parts.append((k * float((a[:k] / a.size - b[:k] / b.size).var(ddof=1)), k - 1))
    total = sum(part for part, _ in parts)
    largest = max(float(np.abs(a).max()), float(np.abs(b).max()))
    if total <= (1e-13 * largest) ** 2:
        return None
    return math.sqrt(total), total**2 / sum(part**2 / freedom for part, freedom in parts)


def difference(groups: Groups, level: float) -> Span:
    """Interval of mean(a) - mean(b) by t; None twice where the values do not vary."""
    found = standard_error(groups)
    if found is None:
        return _NOTHING
    half = float(student.ppf(0.5 + level / 2.0, found[1])) * found[0]
    middle = float(groups.a.mean() - groups.b.mean())
    return middle - half, middle + half


def hedges_g(a: Values, b: Values) -> float | None:
    """Standardised mean difference with the small-sample correction (Hedges 1981); None without spread."""
    spread = _pooled(a, b)
    if spread is None:
        return None
    return float((a.mean() - b.mean()) / spread) * _corrected(a.size + b.size - 2)


def hedges_interval(groups: Groups, level: float) -> Span:
    """Interval of Hedges' g: variance (standard error / spread)^2 + g^2 / (2 freedom), as in Hedges and Olkin (1985,
    chapter 5), where the standard error is that of pairs where values are pairs (Bonett 2008)."""
    spread, g, found = _pooled(groups.a, groups.b), hedges_g(groups.a, groups.b), standard_error(groups)
    if spread is None or g is None or found is None:
        return _NOTHING
    error, freedom = found
    shrunk = _corrected(groups.a.size + groups.b.size - 2)
    half = math.sqrt((shrunk * error / spread) ** 2 + g * g / (2 * (groups.a.size + groups.b.size - 2)))
    half *= float(student.ppf(0.5 + level / 2.0, freedom))
    return g - half, g + half


def cliffs_delta(a: Values, b: Values) -> float:
    """P(a > b) - P(a < b) over all pairs of subjects (Cliff 1993), between -1 and 1."""
    # How many of b are less than each of a, and not more: a table of all pairs would have n_a times n_b entries.
    ranked = np.sort(b)
    less, not_more = (int(np.searchsorted(ranked, a, side).sum()) for side in ("left", "right"))
    return (less + not_more - a.size * b.size) / (a.size * b.size)


def cliffs_interval(groups: Groups, level: float) -> Span:
    """Interval of Cliff's delta on Fisher's z scale (Feng and Cliff 2004), from the spread of each subject's share.

    Subjects of both groups count once, with what both their values contribute. None twice at complete separation, where
    nothing is left to tell how far apart the groups are.
    """
    delta = cliffs_delta(groups.a, groups.b)
    found = standard_error(Groups(_above(groups.a, groups.b), _above(groups.b, groups.a), groups.n_paired))
    if found is None or abs(delta) >= 1.0:
        return _NOTHING
    error, freedom = found
    half = float(student.ppf(0.5 + level / 2.0, freedom)) * error / (1.0 - delta * delta)
    return math.tanh(math.atanh(delta) - half), math.tanh(math.atanh(delta) + half)


def _above(a: Values, b: Values) -> Values:
    """Of each of `a`, how much more often it is above one of `b` than below: (n_a,), -1 to 1."""
    ranked = np.sort(b)
    return (np.searchsorted(ranked, a, "left") + np.searchsorted(ranked, a, "right")) / b.size - 1.0


def _pooled(a: Values, b: Values) -> float | None:
    if a.size < 2 or b.size < 2:
        return None
    pooled = ((a.size - 1) * a.var(ddof=1) + (b.size - 1) * b.var(ddof=1)) / (a.size + b.size - 2)
    largest = max(float(np.abs(a).max()), float(np.abs(b).max()))
    return math.sqrt(pooled) if pooled > (1e-13 * largest) ** 2 else None


def _corrected(freedom: int) -> float:
    return 1.0 - 3.0 / (4.0 * freedom - 1.0)
