"""One test of many groups before any pair of them is asked about."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from longtake.statistics.inference.comparison import DRAWS, FEWEST
from longtake.statistics.inference.permutation import TIE, held_rows
from longtake.status import Status

Values = NDArray[np.float64]


@dataclass(frozen=True)
class Omnibus:
    """Whether any of several groups differs; numbers are None where the data do not decide."""

    n_groups: int
    n_subjects: int
    statistic: float | None
    p: float | None
    p_least: float | None
    method: str
    status: str
    reason: str


def omnibus(
    groups: Mapping[str, Mapping[str, float]],
    generator: np.random.Generator,
    *,
    alpha: float = 0.05,
    draws: int = DRAWS,
    what: str = "video",
) -> Omnibus:
    """Permutation test that all groups have one mean; groups of fewer than `FEWEST` subjects are left out.

    The statistic is Welch's, which weighs each group by n / variance, so that unequal spreads nearly keep the level
    (Pauly, Brunner and Konietschke 2015). A subject of several groups keeps its
    values, in another order; subjects of one group are relabelled among themselves. p = (k + 1) / (draws + 1).

    Parameters
    ----------
    groups
        Group -> subject -> its finite value.
    """
    kept = {name: values for name, values in sorted(groups.items()) if len(values) >= FEWEST}
    subjects = Counter(subject for values in kept.values() for subject in values)
    nothing = (len(kept), len(subjects), None, None, None, "none", Status.UNDECIDED)
    if len(kept) < 2:
        return Omnibus(*nothing, f"{len(kept)} groups have {FEWEST} {what}s or more, two are needed")
    entries = [
        (place, subject, values[subject]) for place, values in enumerate(kept.values()) for subject in sorted(values)
    ]
    found = np.array([value for *_, value in entries])
    if not np.isfinite(found).all():
        return Omnibus(*nothing[:-1], Status.FAILED, "a value is not finite")
    if np.ptp(found) <= 1e-12 * float(np.abs(found).max()):
        return Omnibus(*nothing, "all values are equal")
    group = np.array([place for place, *_ in entries])
    # Those of one group share block 0; each subject of several groups is a block of its own.
    shared = {
        subject: number for number, subject in enumerate(sorted(s for s, k in subjects.items() if k > 1), start=1)
    }
    block = np.array([shared.get(subject, 0) for _, subject, _ in entries])
    p_least = _least(group, block, draws)
    observed, hits = _counted(found, group, block, generator, draws)
    p = (hits + 1) / (draws + 1)
    method = f"Welch's F, permutation, {draws} draws"
    decides = p_least <= alpha
    status, reason = (Status.OK, "") if decides else (Status.UNDECIDED, f"p cannot be below {p_least:.2g}")
    return Omnibus(len(kept), len(subjects), observed, p, p_least, method, status, reason)


def _counted(
    values: Values, group: NDArray[np.intp], block: NDArray[np.intp], generator: np.random.Generator, draws: int
) -> tuple[float, int]:
    """The statistic, and how many of `draws` rearrangements within blocks reach it."""
    scaled = (values - values.mean()) / np.ptp(values)
    member = (group[:, None] == np.arange(group.max() + 1)).astype(np.float64)
    by_block = np.argsort(block, kind="stable")
    observed = float(_welch(scaled[None], member)[0])
    hits, most = 0, held_rows(len(values))
    for start in range(0, draws, most):
        keys = generator.random((min(most, draws - start), len(values))) + block
        shuffled = np.empty_like(keys)
        shuffled[:, by_block] = scaled[np.argsort(keys, axis=1)]
        hits += int(np.count_nonzero(_welch(shuffled, member) >= observed * (1.0 - TIE)))
    return observed, hits


def _welch(values: Values, member: Values) -> Values:
    """Welch's F (1951, equation 3) of the groups of each row (rows, n): (rows,)."""
    n = member.sum(0)
    k = len(n)
    mean = values @ member / n
    variance = np.maximum(values**2 @ member - n * mean**2, 1e-13) / (n - 1)
    weight = n / variance
    total = weight.sum(1, keepdims=True)
    centre = (weight * mean).sum(1, keepdims=True) / total
    between = (weight * (mean - centre) ** 2).sum(1) / (k - 1)
    return between / (1 + 2 * (k - 2) / (k * k - 1) * ((1 - weight / total) ** 2 / (n - 1)).sum(1))


def _least(group: NDArray[np.intp], block: NDArray[np.intp], draws: int) -> float:
    """The least p of this design: 1 + the draws that are expected to repeat the found groups under other names."""
    alone = np.bincount(group[block == 0], minlength=int(group.max()) + 1)
    logs = math.lgamma(alone.sum() + 1) - sum(math.lgamma(k + 1) for k in alone.tolist())
    logs += sum(math.lgamma(k + 1) for k in np.bincount(block)[1:].tolist())
    whole = alone.tolist() if not (block > 0).any() else []
    names = math.prod(math.factorial(k) for k in Counter(whole).values()) if whole else math.factorial(len(alone))
    return (1 + draws * min(1.0, names * math.exp(-min(logs, 700.0)))) / (1 + draws)
