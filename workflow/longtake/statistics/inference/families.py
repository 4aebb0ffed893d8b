"""Many tests at once: which of them can decide, and what their p-values come to."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
from scipy.stats import false_discovery_control

MOST_DRAWS = 200_000


def holm(p_values: Sequence[float | None]) -> list[float | None]:
    """Holm's step-down adjusted p-values (Holm 1979); None stays None and does not count as a test."""
    decided = sorted((p, i) for i, p in enumerate(p_values) if p is not None)
    adjusted: list[float | None] = [None] * len(p_values)
    running = 0.0
    for rank, (p, i) in enumerate(decided):
        running = max(running, min(1.0, p * (len(decided) - rank)))
        adjusted[i] = running
    return adjusted


def benjamini_hochberg(p_values: Sequence[float | None]) -> list[float | None]:
    """Adjusted p-values that hold the rate of false discoveries (Benjamini and Hochberg 1995); None stays None."""
    known = [i for i, p in enumerate(p_values) if p is not None]
    adjusted: list[float | None] = [None] * len(p_values)
    if known:
        found = false_discovery_control(np.array([p_values[i] for i in known], dtype=np.float64))
        for i, p in zip(known, found.tolist(), strict=True):
            adjusted[i] = p
    return adjusted


def deciding(p_least: Sequence[float | None], alpha: float) -> list[bool]:
    """Which tests of a family count (Tarone 1990): those that can become significant with the others that count.

    A test whose least possible p is above alpha / k can never be found among k tests by Bonferroni, so it costs the
    others nothing: k is the smallest number for which at most k tests have a least p of alpha / k or less. The least p
    depends on how many subjects there are and on their pooled values, not on who belongs where, so the level holds.
    """
    least = [math.inf if p is None else p for p in p_least]
    for k in range(1, len(least) + 1):
        within = [p <= alpha / k for p in least]
        if sum(within) <= k:
            return within
    return [False] * len(least)


def draws_for(tests: int, alpha: float, least: int) -> int:
    """How many rearrangements a family of `tests` needs: `least`, and 20 tests / alpha, so that the least p-value of a
    test is a twentieth of what Bonferroni asks; at most `MOST_DRAWS`."""
    return max(least, min(MOST_DRAWS, math.ceil(20 * max(1, tests) / alpha)))
