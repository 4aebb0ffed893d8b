"""From numbers to words: what a model uses, and how importance and motion go together.

A word is given only where what is known decides it; None means undefined. The words say what was found, not what caused
it: a model that keeps its answer without motion need not have looked away from it.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

STRONG, MODERATE, WEAK = "strong", "moderate", "weak"
CLASSES = (STRONG, MODERATE, WEAK)


@dataclass(frozen=True)
class Span:
    """What is known of a number: its interval, or a single value with `low` == `high`; None where undecided."""

    low: float | None
    high: float | None


@dataclass(frozen=True)
class Borders:
    """Where words begin; settings of section `statistics`.

    Attributes
    ----------
    appearance, motion : shares kept; the borders of the bands of the analysis that this one replaces
    no_relation : |r| above chance that is called none: Cohen's (1988) small correlation
    """

    appearance: float = 0.7
    motion: float = 0.5
    no_relation: float = 0.1


USUAL = Borders()
APPEARANCE, MOSTLY_APPEARANCE, MIXED, MOSTLY_MOTION, MOTION = (
    "appearance",
    "mostly appearance",
    "mixed",
    "mostly motion",
    "motion",
)
BANDS = (APPEARANCE, MOSTLY_APPEARANCE, MIXED, MOSTLY_MOTION, MOTION)
ORDER, SEVERAL, UNDECIDED = "order", "several frames", "undecided"
DECIDED = (APPEARANCE, SEVERAL, MOTION, ORDER, MIXED)
LEAST_RATIO = 0.01
"""Ratios below it, and above its inverse, are taken for it: a gradient that vanished has no logarithm."""


def relation_class(pearson: float | None, spearman: float | None) -> str | None:
    """How strongly the importance and the motion of one clip go together, from two correlations.

    Both |r| > 0.7: strong; else either > 0.3: moderate; else weak. Where one is undefined (a constant series), the
    class is given only if it would be the same whatever the other were: 0.3 < |r| <= 0.7 is moderate; with a larger or
    a smaller one it is None, as no evidence is no evidence of absence.
    """
    known = [abs(r) for r in (pearson, spearman) if r is not None]
    if len(known) == 2:
        if min(known) > 0.7:
            return STRONG
        return MODERATE if max(known) > 0.3 else WEAK
    return MODERATE if known and 0.3 < known[0] <= 0.7 else None


def folded(ratio: float) -> float:
    """A ratio turned over where it is above 1: what doubled has changed as much as what halved; 0 where negative."""
    return 1.0 / ratio if ratio > 1.0 else max(ratio, 0.0)


def log_ratio(ratio: float) -> float:
    """Logarithm of a ratio of gradients, at least that of `LEAST_RATIO` and at most its opposite."""
    return math.log(min(max(ratio, LEAST_RATIO), 1.0 / LEAST_RATIO))


def kept(ratio: float | None, answer: float | None = None) -> float | None:
    """How much of what a model does is left when a clip is disturbed: 1 all, 0 nothing.

    The smaller of the ratio of gradients and the share of the answer that is left, where it is given, both `folded`.
    A linear model of motion has one gradient for all clips, and only its answer tells; a model that is sure has one
    answer, and only its gradient tells: so both must hold. Of several clips or draws, average first and fold then:
    folding each makes scatter look like loss.
    """
    if ratio is None:
        return None
    return folded(ratio) if answer is None else min(folded(ratio), folded(answer))


def band(share: float | None) -> str | None:
    """What the share that was kept speaks for: > 0.9 and > 0.7 appearance, < 0.5 and < 0.3 motion, else mixed."""
    if share is None:
        return None
    if share > 0.7:
        return APPEARANCE if share > 0.9 else MOSTLY_APPEARANCE
    if share < 0.5:
        return MOTION if share < 0.3 else MOSTLY_MOTION
    return MIXED


def verdict(frozen: Span, shuffled: Span, still: Span | None = None, borders: Borders = USUAL) -> str:
    """What a model uses, from what it keeps of frozen clips (one frame throughout) and of shuffled ones.

    ==============  ================================================================================================
    appearance      more than 0.7 is kept where nothing moves, and where order is lost
    several frames  less than half is kept of one frame, but order may be lost: it takes more than one frame, in any
                    order, and nothing need move (frames judged one by one, and their maximum, say)
    motion          less than half is kept where nothing moves, order matters too, and motionless clips keep more of
                    each other than of the clip
    order           nothing need move, but the places of the frames matter
    mixed           decided, but in between
    undecided       an interval is not known or reaches over the border of a band
    ==============  ================================================================================================

    Borders are 0.5 and 0.7; an interval must lie whole on one side.

    Parameters
    ----------
    still
        What two motionless clips keep of each other; left out where it is not known.
    """
    frozen_side, order = _side(frozen, borders), _side(shuffled, borders)
    if frozen_side is None or (frozen_side != MIXED and order is None):
        return UNDECIDED
    if frozen_side == MIXED:
        return MIXED
    if frozen_side == APPEARANCE:
        return {APPEARANCE: APPEARANCE, MOTION: ORDER}.get(str(order), MIXED)
    if order == APPEARANCE:
        return SEVERAL
    if still is not None and still.low is not None and frozen.high is not None and still.low <= frozen.high:
        return MIXED
    return MOTION


def _side(span: Span, borders: Borders) -> str | None:
    if span.low is None or span.high is None:
        return None
    sides = {_third(span.low, borders), _third(span.high, borders)}
    return sides.pop() if len(sides) == 1 else None


def _third(share: float, borders: Borders) -> str:
    return APPEARANCE if share > borders.appearance else MOTION if share < borders.motion else MIXED


WITH, AGAINST, BOTH_WAYS, NONE = "with motion", "against motion", "both ways", "no more than chance"
RELATIONS = (WITH, AGAINST, BOTH_WAYS, NONE)


@dataclass(frozen=True)
class Tested:
    """A mean over videos above its chance level, with its interval and p; None where undecided."""

    mean: float | None
    low: float | None
    high: float | None
    p: float | None


def relation(signed: Tested, size: Tested, alpha: float, borders: Borders = USUAL) -> str:
    """How importance and motion go together over videos: words of relation, not of cause.

    Both numbers are of importance and motion of the same clip, less those of importance beside the motion of other
    videos, where nothing can be related; the two p are Holm's.

    ====================  ==========================================================================================
    with motion           Fisher's z is above chance
    against motion        Fisher's z is below chance
    both ways             |r| is above chance, but z is not told from it: some clips go with motion, others against
    no more than chance   the interval of |r| above chance ends below 0.1
    undecided             anything else
    ====================  ==========================================================================================

    Parameters
    ----------
    signed : mean Fisher z less its chance level
    size : mean |r| less its chance level
    """
    if signed.p is not None and signed.mean is not None and signed.p <= alpha:
        return WITH if signed.mean > 0 else AGAINST
    if size.p is not None and size.mean is not None and size.p <= alpha and size.mean > 0:
        return BOTH_WAYS
    if size.high is not None and size.high < borders.no_relation:
        return NONE
    return UNDECIDED
