"""What the statistics did before: the peer that `level.py` measures beside what they do now."""

from __future__ import annotations

import math

import numpy as np

Values = np.ndarray


def bootstrap_mean(values: Values, rng: np.random.Generator, draws: int = 1000) -> tuple[float, float]:
    """Percentile bootstrap of the mean."""
    means = values[rng.integers(0, len(values), (draws, len(values)))].mean(axis=1)
    low, high = np.quantile(means, [0.025, 0.975])
    return float(low), float(high)


def bootstrap_band(curves: Values, rng: np.random.Generator, draws: int = 400) -> tuple[Values, Values]:
    """Pointwise percentile band, whole subjects resampled."""
    means = curves[rng.integers(0, len(curves), (draws, len(curves)))].mean(axis=1)
    low, high = np.quantile(means, [0.025, 0.975], axis=0)
    return low, high


def permutation_p(a: Values, b: Values, rng: np.random.Generator, draws: int = 400) -> float:
    """Permutation of the raw difference of means of two groups without pairs."""
    pool, n = np.concatenate([a, b]), len(a)
    order = np.argsort(rng.random((draws, len(pool))), axis=1)
    shuffled = pool[order]
    found = np.abs(shuffled[:, :n].mean(axis=1) - shuffled[:, n:].mean(axis=1))
    return float((1 + np.count_nonzero(found >= abs(a.mean() - b.mean()) - 1e-12)) / (1 + draws))


def block_p(x: Values, y: Values, rng: np.random.Generator, draws: int = 300) -> float:
    """Circular blocks of ceil(sqrt(n)) of one series in random order."""
    n = len(x)
    block = np.arange(n) // math.ceil(math.sqrt(n))
    order = np.argsort(rng.random((draws, block[-1] + 1))[:, block], axis=1, kind="stable")
    turned = y[(order + rng.integers(0, n, (draws, 1))) % n]
    return float((1 + np.count_nonzero(np.abs(_r(x, turned)) >= abs(_r(x, y[None])[0]) - 1e-12)) / (1 + draws))


def _r(x: Values, rows: Values) -> Values:
    a, b = x - x.mean(), rows - rows.mean(axis=1, keepdims=True)
    return b @ a / np.sqrt((a @ a) * (b**2).sum(axis=1))


def kept(ratio: float | None, answer: float | None) -> float | None:
    """The ratio turned over where above 1, and at most the answer: of one clip and draw, before any average."""
    if ratio is None:
        return None
    folded = 1.0 / ratio if ratio > 1.0 else ratio
    return folded if answer is None else min(folded, max(answer, 0.0))


def verdict(frozen: Values, shuffled: Values, rng: np.random.Generator) -> str:
    """The word over videos (n,) each: by percentile bootstraps, and by most of the videos."""
    if len(frozen) < 3:
        return "undecided"
    sides = [_side(*bootstrap_mean(values, rng)) for values in (frozen, shuffled)]
    word = _word(*sides)
    own = [_word(_side(a, a), _side(b, b)) for a, b in zip(frozen, shuffled, strict=True)]
    n, k = len(own), sum(each == word for each in own)
    z = 1.959964
    low = ((k + z * z / 2) - z * math.sqrt(k * (n - k) / n + z * z / 4)) / (n + z * z)
    return word if low > 0.5 else "undecided"


def _word(still: str | None, order: str | None) -> str:
    if still == "motion":
        return "motion"
    if still is None or (still == "appearance" and order is None):
        return "undecided"
    return (
        {"appearance": "appearance", "motion": "order"}.get(str(order), "mixed") if still == "appearance" else "mixed"
    )


def _side(low: float, high: float) -> str | None:
    sides = {"appearance" if share > 0.7 else "motion" if share < 0.5 else "mixed" for share in (low, high)}
    return sides.pop() if len(sides) == 1 else None


def dependency(r: Values, rng: np.random.Generator) -> str:
    """The class of a species by the interval of its mean r over videos."""
    low, high = bootstrap_mean(r, rng)
    sizes = (0.0 if low <= 0 <= high else min(abs(low), abs(high)), max(abs(low), abs(high)))
    words = ["motion-dependent" if size > 0.7 else "moderate" if size > 0.3 else "static" for size in sizes]
    return words[0] if words[0] == words[1] else "undecided"
