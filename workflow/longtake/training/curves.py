"""Curves that figures draw: ROC and precision-recall with bands over groups, and the averages that they are of."""

from __future__ import annotations

import numpy as np

from longtake.streams import stream
from longtake.training.metrics import Scored

GRID = np.linspace(0, 1, 101)
_DRAWS = 200


def roc(positive: np.ndarray, score: np.ndarray) -> np.ndarray:
    """Return the true positive rate (101,) at false positive rates 0, .01 ... 1; NaN where a class is missing."""
    n, m = int(positive.sum()), int((~positive).sum())
    if not n or not m:
        return np.full(len(GRID), np.nan)
    order = np.argsort(-score, kind="stable")
    # Equal scores are one step, or their order would decide the curve.
    last = np.append(np.flatnonzero(np.diff(score[order])), len(order) - 1)
    hit = np.cumsum(positive[order])[last] / n
    miss = np.cumsum(~positive[order])[last] / m
    return np.interp(GRID, np.concatenate([[0], miss]), np.concatenate([[0], hit]))


def precision_recall(positive: np.ndarray, score: np.ndarray) -> np.ndarray:
    """Return the precision (101,) at recalls 0, .01 ... 1, the best at that recall or more; NaN without positives."""
    if not positive.any():
        return np.full(len(GRID), np.nan)
    order = np.argsort(-score, kind="stable")
    last = np.append(np.flatnonzero(np.diff(score[order])), len(order) - 1)
    right = np.cumsum(positive[order])[last]
    precision, recall = right / (last + 1), right / positive.sum()
    best = np.maximum.accumulate(precision[::-1])[::-1]
    found: np.ndarray = best[np.minimum(np.searchsorted(recall, GRID, side="left"), len(best) - 1)]
    return found


def banded(
    scored: Scored, number: int, kind: str, *, seed: int, unit: str
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return a class's curve, the mean of the folds' own, and a pointwise 95 % band by drawing groups: each (101,)."""
    measure = roc if kind == "roc" else precision_recall

    def mean(part: Scored) -> np.ndarray:
        curves = [
            measure(part.labels[here] == number, part.probabilities[here, number])
            for fold in np.unique(part.folds)
            if (here := part.folds == fold).any()
        ]
        defined = [curve for curve in curves if not np.isnan(curve).any()]
        return np.mean(defined, 0) if defined else np.full(len(GRID), np.nan)

    groups, place = np.unique(scored.groups, return_inverse=True)
    members = [np.flatnonzero(place == each) for each in range(len(groups))]
    random = stream(seed, unit, f"{kind} band")
    drawn = []
    for _ in range(_DRAWS):
        curve = mean(
            scored.part(np.concatenate([members[each] for each in random.integers(len(groups), size=len(groups))]))
        )
        if not np.isnan(curve).any():
            drawn.append(curve)
    low, high = np.percentile(drawn, (2.5, 97.5), axis=0) if drawn else (np.full(len(GRID), np.nan),) * 2
    return mean(scored), low, high
