"""What is reported of predictions: per fold and out of fold, per class and over classes, with intervals over groups."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from longtake.streams import stream
from longtake.training.calibrate import calibration_error

OVERALL = (
    "accuracy",
    "balanced_accuracy",
    "macro_precision",
    "macro_recall",
    "macro_f1",
    "roc_auc",
    "log_loss",
    "brier",
    "ece",
)
PER_CLASS = ("precision", "recall", "f1", "roc_auc", "pr_auc", "prevalence")


@dataclass(frozen=True, eq=False)
class Scored:
    """Predictions of one model, out of fold.

    Attributes
    ----------
    labels, called : (n,) int64, the class and the predicted one
    probabilities : (n, classes) float64
    groups, folds : (n,) of the group and the fold of each video
    """

    labels: np.ndarray
    called: np.ndarray
    probabilities: np.ndarray
    groups: np.ndarray
    folds: np.ndarray

    def part(self, where: np.ndarray) -> Scored:
        """The predictions at places `where` (indices or flags)."""
        return Scored(
            self.labels[where],
            self.called[where],
            self.probabilities[where],
            self.groups[where],
            self.folds[where],
        )


def overall(scored: Scored, classes: int) -> dict[str, float | None]:
    """Return `OVERALL` of predictions; None where a metric is not defined, never 0.

    ROC-AUC is the mean of the folds' own, weighted by their pairs: scores of models of different folds have scales of
    their own, and pooling would compare them.
    """
    present = sorted(set(scored.labels.tolist()))
    recall = [float((scored.called[scored.labels == each] == each).mean()) for each in present]
    precision, f1 = [], []
    for each in present:
        named = scored.called == each
        right = float((named & (scored.labels == each)).sum())
        precision.append(right / named.sum() if named.any() else 0.0)
        f1.append(2 * right / (named.sum() + (scored.labels == each).sum()))
    chosen = np.clip(scored.probabilities[np.arange(len(scored.labels)), scored.labels], 1e-15, 1)
    onehot = np.eye(classes)[scored.labels]
    aucs = [pair_weighted_auc(scored, each) for each in present]
    defined = [auc for auc in aucs if auc is not None]
    return {
        "accuracy": float((scored.called == scored.labels).mean()),
        "balanced_accuracy": float(np.mean(recall)),
        "macro_precision": float(np.mean(precision)),
        "macro_recall": float(np.mean(recall)),
        "macro_f1": float(np.mean(f1)),
        "roc_auc": float(np.mean(defined)) if defined else None,
        "log_loss": float(-np.log(chosen).mean()),
        "brier": float(((scored.probabilities - onehot) ** 2).sum(1).mean()),
        "ece": calibration_error(scored.probabilities, scored.labels),
    }


def per_class(scored: Scored, number: int) -> dict[str, float | None]:
    """Return `PER_CLASS` of one class; None where it is absent, and precision None where it was never called."""
    is_class, named = scored.labels == number, scored.called == number
    right = float((is_class & named).sum())
    recall = right / is_class.sum() if is_class.any() else None
    return {
        "precision": right / named.sum() if named.any() else None,
        "recall": recall,
        "f1": None if recall is None else 2 * right / (is_class.sum() + named.sum()),
        "roc_auc": pair_weighted_auc(scored, number),
        "pr_auc": _average_precision(scored, number),
        "prevalence": float(is_class.mean()),
    }


def pair_weighted_auc(scored: Scored, number: int) -> float | None:
    """Area under the ROC curve of one class against the rest, within folds, weighted by their pairs; None without."""
    from scipy.stats import rankdata

    total = pairs = 0.0
    for fold in np.unique(scored.folds):
        here = scored.folds == fold
        positive = scored.labels[here] == number
        n, m = int(positive.sum()), int((~positive).sum())
        if n and m:
            ranks = rankdata(scored.probabilities[here, number])
            total += float(ranks[positive].sum()) - n * (n + 1) / 2
            pairs += n * m
    return total / pairs if pairs else None


def _average_precision(scored: Scored, number: int) -> float | None:
    from sklearn.metrics import average_precision_score

    found, weight = 0.0, 0
    for fold in np.unique(scored.folds):
        here = scored.folds == fold
        positive = scored.labels[here] == number
        if positive.any():
            found += float(average_precision_score(positive, scored.probabilities[here, number])) * int(positive.sum())
            weight += int(positive.sum())
    return found / weight if weight else None


def confusion(scored: Scored, classes: int) -> np.ndarray:
    """Counts (classes, classes): row the label, column what was called."""
    found = np.zeros((classes, classes), np.int64)
    np.add.at(found, (scored.labels, scored.called), 1)
    return found


@dataclass(frozen=True)
class Interval:
    """A 95 % interval over groups, or the reason why there is none."""

    low: float | None
    high: float | None
    status: str
    reason: str


FEW_GROUPS = 30
_LEAST_GROUPS = 5


def intervals(
    scored: Scored,
    measures: Callable[[Scored], Mapping[str, float | None]],
    *,
    seed: int,
    unit: str,
    draws: int = 2000,
    level: float = 0.95,
) -> dict[str, Interval]:
    """Return an interval of every measure by drawing groups with replacement.

    Videos of one group are alike, so they are drawn together: by videos, 95 % intervals cover 53 to 66 % where groups
    have ten videos of one mind. Below 30 groups the reason says that they are few; below five there is no interval.
    """
    names = list(measures(scored))
    groups, place = np.unique(scored.groups, return_inverse=True)
    if len(groups) < _LEAST_GROUPS:
        why = f"{len(groups)} groups are too few for an interval"
        return dict.fromkeys(names, Interval(None, None, "undecided", why))
    members = [np.flatnonzero(place == number) for number in range(len(groups))]
    random = stream(seed, unit, "bootstrap over groups")
    found: dict[str, list[float]] = {name: [] for name in names}
    for _ in range(draws):
        drawn = np.concatenate([members[number] for number in random.integers(len(groups), size=len(groups))])
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            for name, value in measures(scored.part(drawn)).items():
                if value is not None:
                    found[name].append(value)
    edges = [100 * (1 - level) / 2, 100 * (1 + level) / 2]
    reason = f"few groups ({len(groups)})" if len(groups) < FEW_GROUPS else ""
    return {name: _interval(values, edges, reason, draws) for name, values in found.items()}


def _interval(values: Sequence[float], edges: Sequence[float], reason: str, draws: int) -> Interval:
    if len(values) < 0.9 * draws:
        return Interval(None, None, "undecided", "undefined in more than a tenth of the draws of groups")
    low, high = np.percentile(values, edges)
    return Interval(float(low), float(high), "ok", reason)


def cluster_t(scored: Scored, level: float = 0.95) -> tuple[float, float] | None:
    """Interval of accuracy by the t distribution over groups, as a ratio estimator (Cochran 1977, eq. 9.27).

    None for fewer than five groups; it stands beside the bootstrap where there are few.
    """
    from scipy.stats import t

    groups, place = np.unique(scored.groups, return_inverse=True)
    n = len(groups)
    if n < _LEAST_GROUPS:
        return None
    right = np.bincount(place, (scored.called == scored.labels).astype(float), n)
    size = np.bincount(place, minlength=n).astype(float)
    share = right.sum() / size.sum()
    variance = n / (n - 1) * ((right - share * size) ** 2).sum() / size.sum() ** 2
    half = float(t.ppf((1 + level) / 2, n - 1) * np.sqrt(variance))
    return max(0.0, share - half), min(1.0, share + half)


def group_sums(one: Scored, other: Scored) -> dict[Any, float]:
    """Of each group: videos that the first model has right and the second has not, less the opposite."""
    apart = (one.called == one.labels).astype(float) - (other.called == other.labels)
    groups, place = np.unique(one.groups, return_inverse=True)
    sums = np.bincount(place, apart, len(groups))
    return dict(zip(groups.tolist(), sums.tolist(), strict=True))


def difference_interval(one: Scored, other: Scored, *, seed: int, unit: str, draws: int = 2000) -> Interval:
    """Return the interval of the difference in accuracy of two models on the same videos, by drawing groups."""
    groups, place = np.unique(one.groups, return_inverse=True)
    n = len(groups)
    if n < _LEAST_GROUPS:
        return Interval(None, None, "undecided", f"{n} groups are too few for an interval")
    apart = (one.called == one.labels).astype(float) - (other.called == other.labels)
    sums, size = np.bincount(place, apart, n), np.bincount(place, minlength=n)
    drawn = stream(seed, unit, "bootstrap over groups").integers(n, size=(draws, n))
    low, high = np.percentile(sums[drawn].sum(1) / size[drawn].sum(1), (2.5, 97.5))
    return Interval(float(low), float(high), "ok", "")
