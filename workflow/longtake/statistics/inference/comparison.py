"""Tests between groups of subjects: two groups on one measure or on many, many groups at once, one group against zero.

Every test says the least p-value that it can reach (`p_least`). A test that can reach no p-value of alpha decides
nothing however the groups differ: it is ``undecided``, and no family counts it.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace

import numpy as np
from numpy.typing import NDArray

from longtake.statistics.inference import effects
from longtake.statistics.inference.intervals import MINIMUM, too_few
from longtake.statistics.inference.permutation import (
    TIE,
    Design,
    Studentised,
    design_of,
    exact,
    least_p,
    rearrangements,
)
from longtake.status import Status

DRAWS = 10_000
SETTLED = 200
"""So many draws that reach the found statistic settle p of one measure, and no more are made (Besag and Clifford 1991):
most tests of a large family find nothing, and need few of the draws that the few others do."""
FEWEST = 4
"""Fewest subjects of a group for a test: with three, a standard error says too little to keep the level."""
Values = NDArray[np.float64]
Ends = tuple[float | None, float | None]


@dataclass(frozen=True)
class Comparison:
    """Two groups on one measure; numbers are None where the data do not decide.

    Attributes
    ----------
    difference, difference_span : mean of a less mean of b, and its interval (t; pairs as pairs)
    hedges_g, hedges_span, cliffs_delta, cliffs_span : effect sizes, and their intervals
    p : two-sided, of the studentised difference under rearrangement
    p_least : the least p that this design can have
    p_family : adjusted for all measures of the family by max-T step-down, where there is a family
    status : ok, undecided or failed
    """

    n_a: int
    n_b: int
    n_paired: int
    mean_a: float | None = None
    mean_b: float | None = None
    difference: float | None = None
    difference_span: Ends = (None, None)
    hedges_g: float | None = None
    hedges_span: Ends = (None, None)
    cliffs_delta: float | None = None
    cliffs_span: Ends = (None, None)
    p: float | None = None
    p_least: float | None = None
    p_family: float | None = None
    method: str = "none"
    status: str = Status.UNDECIDED
    reason: str = ""


def compare(
    a: Mapping[str, float],
    b: Mapping[str, float],
    generator: np.random.Generator,
    *,
    alpha: float = 0.05,
    draws: int = DRAWS,
    level: float = 0.95,
    what: str = "video",
) -> Comparison:
    """Two-sided permutation test of the difference of means of two groups, studentised.

    A subject in both groups is a matched pair: its two values are swapped, never separated. Subjects of one group are
    relabelled among themselves. All rearrangements are visited where there are at most `permutation.EXACT_LIMIT`, or
    `draws`; otherwise as many are drawn and p = (k + 1) / (draws + 1) (Phipson and Smyth 2010).

    Parameters
    ----------
    a, b
        Subject -> its one number. A NaN makes the comparison ``failed``.
    generator
        The stream keyed by (seed, the groups, the measure).
    """
    return compare_many(
        ["it"], {name: [value] for name, value in a.items()}, {name: [value] for name, value in b.items()}, generator,
        alpha=alpha, draws=draws, level=level, what=what, missing="fail",
    )["it"]  # fmt: skip


def compare_many(
    measures: Sequence[str],
    a: Mapping[str, Sequence[float] | Values],
    b: Mapping[str, Sequence[float] | Values],
    generator: np.random.Generator,
    *,
    alpha: float = 0.05,
    draws: int = DRAWS,
    level: float = 0.95,
    what: str = "video",
    missing: str = "leave out",
) -> dict[str, Comparison]:
    """`compare` on many measures of the same subjects, and `p_family` over them all by max-T step-down.

    The same rearrangements serve all measures, so the family costs one run, and what they share in correlation is no
    loss (Westfall and Young 1993, algorithm 2.8). Where exact p-values are few (12 pairs: .00049 at the least), Holm
    over 100 measures can find nothing, and this can.

    Parameters
    ----------
    a, b
        Subject -> (measures,) numbers, NaN where it has none; subjects in both are pairs.
    missing
        ``leave out`` values that are NaN, or ``fail`` the measure.

    Memory: a few times `permutation.HELD` numbers, and the values.
    """
    of_a, of_b = ({name: np.asarray(row, dtype=np.float64) for name, row in each.items()} for each in (a, b))
    described = []
    for k in range(len(measures)):
        mine_a, mine_b = ({name: float(row[k]) for name, row in each.items()} for each in (of_a, of_b))
        described.append(_described(mine_a, mine_b, level=level, what=what, missing=missing))
    testable = [k for k, each in enumerate(described) if each.status == Status.OK]
    if testable:
        design = design_of(*({name: row[testable] for name, row in each.items()} for each in (of_a, of_b)))
        tested = _Tested(design, generator, draws, alpha, what)
        for place, k in enumerate(testable):
            described[k] = tested.told(described[k], place)
    return dict(zip(measures, described, strict=True))


def against_zero(
    values: Mapping[str, float],
    generator: np.random.Generator,
    *,
    alpha: float = 0.05,
    draws: int = DRAWS,
    level: float = 0.95,
    what: str = "video",
) -> Comparison:
    """Test of one group's mean against zero by flipping signs, studentised: `compare` with a pair of zeros."""
    zeros = dict.fromkeys(values, 0.0)
    found = compare(values, zeros, generator, alpha=alpha, draws=draws, level=level, what=what)
    # Against a constant the pooled spread and the overlap mean nothing.
    return replace(
        found, hedges_g=None, hedges_span=(None, None), cliffs_delta=None, cliffs_span=(None, None), n_b=0, mean_b=None
    )


def _described(
    of_a: Mapping[str, float], of_b: Mapping[str, float], *, level: float, what: str, missing: str
) -> Comparison:
    """What can be said of two groups before any rearrangement; ok where they can be tested."""
    strange = sum(not math.isfinite(value) for value in (*of_a.values(), *of_b.values()))
    if missing == "fail" and strange:
        return Comparison(len(of_a), len(of_b), 0, status=Status.FAILED, reason=f"{strange} values are not finite")
    of_a, of_b = ({name: value for name, value in each.items() if not math.isnan(value)} for each in (of_a, of_b))
    both = sorted(of_a.keys() & of_b.keys())
    in_a, in_b = (np.array([own[name] for name in (*both, *sorted(own.keys() - set(both)))]) for own in (of_a, of_b))
    groups = effects.Groups(in_a, in_b, len(both))
    n_a, n_b = len(of_a), len(of_b)
    found = Comparison(
        n_a, n_b, len(both), float(groups.a.mean()) if n_a else None, float(groups.b.mean()) if n_b else None
    )
    if not n_a or not n_b:
        return replace(found, reason=too_few(0, what, FEWEST))
    found = replace(
        found,
        difference=float(groups.a.mean() - groups.b.mean()),
        hedges_g=effects.hedges_g(groups.a, groups.b),
        cliffs_delta=effects.cliffs_delta(groups.a, groups.b),
    )
    fewest = min(n_a, n_b)
    if fewest >= MINIMUM:
        found = replace(
            found,
            difference_span=effects.difference(groups, level),
            hedges_span=effects.hedges_interval(groups, level),
            cliffs_span=effects.cliffs_interval(groups, level),
        )
    return (
        replace(found, status=Status.OK) if fewest >= FEWEST else replace(found, reason=too_few(fewest, what, FEWEST))
    )


@dataclass
class _Tested:
    """Counts over all rearrangements of a design: how often each measure's statistic, and the family's, is as large."""

    design: Design
    generator: np.random.Generator
    draws: int
    alpha: float
    what: str
    p: Values = field(init=False)
    p_family: Values = field(init=False)
    p_least: Values = field(init=False)

    def __post_init__(self) -> None:
        statistic = Studentised(self.design)
        observed = np.abs(statistic.observed())
        self.p_least = np.array([least_p(_of(self.design, k), self.draws) for k in range(len(observed))])
        self.p_least[statistic.scale == 0] = 1.0
        self.exact = exact(self.design, self.draws)
        family = np.flatnonzero(self.p_least <= self.alpha)
        order = family[np.argsort(-observed[family], kind="stable")]
        threshold = observed * (1.0 - TIE)
        hits, joint, runs = np.zeros(len(observed)), np.zeros(len(order)), 0
        blocks = rearrangements(self.design, self.draws, None if self.exact else self.generator)
        for swaps, chosen in blocks:
            found = np.abs(statistic(swaps, chosen))
            if len(observed) == 1 and not self.exact:
                above = hits[0] + np.cumsum(found[:, 0] >= threshold[0])
                if above[-1] >= SETTLED:
                    runs += int(np.searchsorted(above, SETTLED)) + 1
                    self._settle(runs)
                    return
            hits += (found >= threshold).sum(0)
            # Step-down: each measure is held against the largest of itself and of those that differ less.
            largest = np.maximum.accumulate(found[:, order[::-1]], axis=1)[:, ::-1]
            joint += (largest >= threshold[order]).sum(0)
            runs += len(swaps)
        one = 0 if self.exact else 1
        self.runs = runs
        self.p = (hits + one) / (runs + one)
        self.p_family = np.full(len(observed), np.nan)
        self.p_family[order] = np.maximum.accumulate((joint + one) / (runs + one))

    def _settle(self, runs: int) -> None:
        """p where `SETTLED` rearrangements have reached the found one: their share of those drawn so far."""
        self.runs = runs
        self.p = np.array([SETTLED / runs])
        self.p_family = self.p.copy()

    def told(self, described: Comparison, place: int) -> Comparison:
        p_least = float(self.p_least[place])
        kind = f"exact permutation, {self.runs} rearrangements" if self.exact else f"permutation, {self.runs} draws"
        found = replace(described, p=float(self.p[place]), p_least=p_least, method=f"studentised {kind}")
        if p_least <= self.alpha:
            return replace(found, p_family=float(self.p_family[place]))
        if p_least == 1.0 and described.difference == 0.0:
            return replace(found, status=Status.UNDECIDED, reason="all values are equal")
        return replace(
            found, status=Status.UNDECIDED, reason=f"p cannot be below {p_least:.2g} with so few {self.what}s"
        )


def _of(design: Design, k: int) -> Design:
    """The design of measure `k` alone: subjects without a value can be put anywhere, and change nothing."""
    pairs = ~(np.isnan(design.a[:, k]) & np.isnan(design.b[:, k]))
    singles = ~np.isnan(design.singles[:, k])
    n_first = int(singles[: design.n_first].sum())
    return Design(design.a[pairs][:, [k]], design.b[pairs][:, [k]], design.singles[singles][:, [k]], n_first)
