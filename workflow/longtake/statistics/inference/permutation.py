"""Rearrangements of two groups of subjects, and the studentised difference of means under each.

A subject with a value in both groups is a matched pair: its values are swapped, never separated. Subjects of one group
only are relabelled among themselves. The difference is divided by its standard error in the same rearrangement: then
the level holds for unequal spreads and sizes too, asymptotically, and exactly where the groups are exchangeable
(Janssen 1997; Chung and Romano 2013; with pairs and singles: Amro, Pauly and Ramosaj 2021).
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

EXACT_LIMIT = 20_000
"""All rearrangements are visited where there are no more, or no more than draws are asked for."""
HELD = 200_000
"""Numbers of one kind that are held at a time, whatever the number of subjects and measures."""
TIE = 1e-7
"""Statistics this close, relatively, are ties: the sums of a rearrangement are rounded."""
EQUAL = 1e-12
"""Means that differ by less of the range are equal up to rounding."""
ZERO = 1e-13
"""A variance below this share of the squared range is that of a constant."""

Values = NDArray[np.float64]


@dataclass(frozen=True)
class Design:
    """Subjects of two groups and their measures, NaN where a subject has no value.

    Attributes
    ----------
    a, b : (pairs, measures) float64, the two values of each matched subject
    singles : (subjects, measures) float64 of the others, those of the first group in front
    n_first : how many of `singles` belong to the first group
    """

    a: Values
    b: Values
    singles: Values
    n_first: int

    @property
    def total(self) -> int:
        """How many rearrangements there are."""
        return 2 ** len(self.a) * math.comb(len(self.singles), self.n_first)

    @property
    def mirrored(self) -> bool:
        """Whether each rearrangement has one of the opposite difference."""
        return 2 * self.n_first == len(self.singles)


def design_of(a: Mapping[str, Values], b: Mapping[str, Values]) -> Design:
    """Bind two groups, subject -> (measures,) float64: pairs first; the order of the mappings does not matter."""
    both = sorted(a.keys() & b.keys())
    first, second = sorted(a.keys() - b.keys()), sorted(b.keys() - a.keys())
    width = len(next(iter((*a.values(), *b.values()))))

    def stacked(rows: list[Values]) -> Values:
        return np.asarray(rows, dtype=np.float64).reshape(len(rows), width)

    singles = stacked([a[name] for name in first] + [b[name] for name in second])
    return Design(stacked([a[name] for name in both]), stacked([b[name] for name in both]), singles, len(first))


class Studentised:
    """The studentised difference of means of a design, for many rearrangements and measures at a time.

    All sums of a rearrangement are linear in who is swapped and who is chosen, so they are products of matrices.
    """

    def __init__(self, design: Design) -> None:
        self.design = design
        every = np.concatenate([design.a, design.b, design.singles])
        centre = _nanmean(every)
        self.scale = np.nanmax(np.abs(every - centre), axis=0, initial=0.0)
        unit = np.where(self.scale > 0, self.scale, 1.0)
        (self.a, self.in_a), (self.b, self.in_b), (self.pool, self.in_pool) = (
            _filled((part - centre) / unit) for part in (design.a, design.b, design.singles)
        )
        self.both = self.in_a * self.in_b
        self.n_both = self.both.sum(0)
        self.cross = (self.a * self.b).sum(0)

    def observed(self) -> Values:
        """Return the statistic of the groups as they are: (measures,)."""
        chosen = np.zeros((1, len(self.pool)))
        chosen[:, : self.design.n_first] = 1.0
        return self(np.zeros((1, len(self.a))), chosen)[0]

    def __call__(self, swaps: Values, chosen: Values) -> Values:
        """Return the statistic (rows, measures) for `swaps` (rows, pairs) and `chosen` (rows, singles) of 0 and 1.

        0 where neither the means nor the values of a measure differ, infinite where only the means do.
        """
        n_a, n_b = self._sums(swaps, chosen, self.in_a, self.in_b, self.in_pool)
        sum_a, sum_b = self._sums(swaps, chosen, self.a, self.b, self.pool)
        square_a, square_b = self._sums(swaps, chosen, self.a**2, self.b**2, self.pool**2)
        with np.errstate(divide="ignore", invalid="ignore"):
            difference = sum_a / n_a - sum_b / n_b
            difference = np.where(np.abs(difference) <= EQUAL, 0.0, difference)
            of_a = (square_a - sum_a**2 / n_a) / (n_a - 1)
            of_b = (square_b - sum_b**2 / n_b) / (n_b - 1)
            variance = self._variance(swaps, (n_a, n_b), (of_a, of_b))
            constant = variance <= ZERO
            found = difference / np.sqrt(np.where(constant, 1.0, variance))
        found = np.where(constant, np.where(difference == 0.0, 0.0, np.inf), found)
        # Where a rearrangement leaves a group without two values, nothing is known of it: it counts against the found.
        return np.where(np.isnan(found), np.inf, found)

    def _sums(self, swaps: Values, chosen: Values, a: Values, b: Values, pool: Values) -> tuple[Values, Values]:
        first = (1.0 - swaps) @ a + swaps @ b + chosen @ pool
        return first, (a.sum(0) + b.sum(0) + pool.sum(0)) - first

    def _variance(self, swaps: Values, n: tuple[Values, Values], of: tuple[Values, Values]) -> Values:
        """Of the difference: matched pairs by the spread of their own difference, the others by that of their group."""
        (n_a, n_b), (of_a, of_b) = n, of
        apart = of_a / n_a + of_b / n_b
        if not (self.n_both >= 2).any():
            return apart
        nothing = np.zeros((len(swaps), 0)), np.zeros((0, self.a.shape[1]))
        a, b = self.a * self.both, self.b * self.both
        sum_a, sum_b = self._sums(swaps, nothing[0], a, b, nothing[1])
        square_a, square_b = self._sums(swaps, nothing[0], a**2, b**2, nothing[1])
        square = square_a / n_a**2 - 2 * self.cross / (n_a * n_b) + square_b / n_b**2
        k = self.n_both
        of_pairs = np.maximum(square - (sum_a / n_a - sum_b / n_b) ** 2 / k, 0.0) / (k - 1)
        joined = k * of_pairs + (n_a - k) * of_a / n_a**2 + (n_b - k) * of_b / n_b**2
        return np.where(k >= 2, joined, apart)


def rearrangements(
    design: Design, draws: int, generator: np.random.Generator | None
) -> Iterator[tuple[Values, Values]]:
    """Yield blocks of (pairs swapped, singles chosen), each (rows, n) of 0 and 1: all there are, or `draws` of them.

    `generator` None asks for all. Memory: `HELD` numbers and a few times that.
    """
    n_pairs, n_pool = len(design.a), len(design.singles)
    most = held_rows(max(n_pairs + n_pool, design.a.shape[1]))
    if generator is None:
        chosen_all = itertools.combinations(range(n_pool), design.n_first)
        every = itertools.product(chosen_all, range(2**n_pairs))
        while block := list(itertools.islice(every, most)):
            chosen, swaps = np.zeros((len(block), n_pool)), np.array([swap for _, swap in block])
            picked = np.array([picked for picked, _ in block], dtype=np.intp).reshape(len(block), design.n_first)
            np.put_along_axis(chosen, picked, 1.0, axis=1)
            yield ((swaps[:, None] >> np.arange(n_pairs)) & 1).astype(np.float64), chosen
        return
    for start in range(0, draws, most):
        rows = min(most, draws - start)
        swaps = (generator.random((rows, n_pairs)) < 0.5).astype(np.float64)
        rank = np.argsort(generator.random((rows, n_pool)), axis=1)
        chosen = np.zeros((rows, n_pool))
        np.put_along_axis(chosen, rank[:, : design.n_first], 1.0, axis=1)
        yield swaps, chosen


def held_rows(n: int) -> int:
    """How many rows of `n` numbers are held at a time: `HELD` numbers, but at least 8 rows and at most 1,000."""
    return min(1_000, max(8, HELD // max(1, n)))


def least_p(design: Design, draws: int) -> float:
    """The least p-value that a test of this design can have, whatever the values."""
    alike = 2 if design.mirrored else 1
    if exact(design, draws):
        return min(1.0, alike / design.total)
    return (1 + draws * min(1.0, alike / design.total)) / (1 + draws)


def exact(design: Design, draws: int) -> bool:
    """Whether all rearrangements are visited."""
    return design.total <= max(EXACT_LIMIT, draws)


def _nanmean(values: Values) -> Values:
    known = ~np.isnan(values)
    return np.where(known, values, 0.0).sum(0) / np.maximum(known.sum(0), 1)


def _filled(values: Values) -> tuple[Values, Values]:
    """Values with 0 for NaN, and 1 where there was a value."""
    known = ~np.isnan(values)
    return np.where(known, values, 0.0), known.astype(np.float64)
