"""From numbers to words: whether a model uses motion, by correlation and by what it does with disturbed clips.

The thresholds stand here and nowhere else. A word is given only where what is known decides it; None means undefined.
"""

from __future__ import annotations

from dataclasses import dataclass

MOTION_DEPENDENT, MODERATE, STATIC = "motion-dependent", "moderate", "static"
CLASSES = (MOTION_DEPENDENT, MODERATE, STATIC)


@dataclass(frozen=True)
class Span:
    """What is known of a number: its interval, or a single value with `low` == `high`; None where undecided."""

    low: float | None
    high: float | None


APPEARANCE, MOSTLY_APPEARANCE, MIXED, MOSTLY_MOTION, MOTION = (
    "appearance",
    "mostly appearance",
    "mixed",
    "mostly motion",
    "motion",
)
BANDS = (APPEARANCE, MOSTLY_APPEARANCE, MIXED, MOSTLY_MOTION, MOTION)
ORDER, UNDECIDED = "order", "undecided"
DECIDED = (APPEARANCE, MOTION, ORDER, MIXED)


def dependency_class(pearson: float | None, spearman: float | None) -> str | None:
    """Class of a relation of importance and motion, from its two correlations.

    Both |r| > 0.7: motion-dependent; else either > 0.3: moderate; else static. Where one is undefined (a constant
    series), the class is given only if it would be the same whatever the other were: 0.3 < |r| <= 0.7 is moderate;
    with a larger or a smaller one it is None, as no evidence is no evidence of absence.
    """
    known = [abs(r) for r in (pearson, spearman) if r is not None]
    if len(known) == 2:
        if min(known) > 0.7:
            return MOTION_DEPENDENT
        return MODERATE if max(known) > 0.3 else STATIC
    return MODERATE if known and 0.3 < known[0] <= 0.7 else None


def dependency_of(pearson: Span, spearman: Span) -> str:
    """The class that all correlations of both intervals fall into, or undecided."""
    sizes = [_size(span) for span in (pearson, spearman)]
    least, most = (dependency_class(*(size and size[side] for size in sizes)) for side in (0, 1))
    return least if least is not None and least == most else UNDECIDED


def _size(span: Span) -> tuple[float, float] | None:
    """Smallest and largest |r| of an interval."""
    if span.low is None or span.high is None:
        return None
    ends = sorted((abs(span.low), abs(span.high)))
    return (0.0 if span.low <= 0.0 <= span.high else ends[0]), ends[1]


def kept(ratio: float | None, answer: float | None = None) -> float | None:
    """How much of what a model does is left when a clip is disturbed: 1 all, 0 nothing.

    The smaller of the ratio of gradients, turned over where it is above 1 (a gradient that doubled has changed as much
    as one that halved), and the share of the answer that is left, where it is given, taken between 0 and 1. A linear
    model of motion has one gradient for all clips, and only its answer tells; a model that is sure has one answer, and
    only its gradient tells: so both must hold.
    """
    if ratio is None:
        return None
    folded = 1.0 / ratio if ratio > 1.0 else ratio
    return folded if answer is None else min(folded, max(answer, 0.0))


def band(share: float | None) -> str | None:
    """What the share that was kept speaks for: > 0.9 and > 0.7 appearance, < 0.5 and < 0.3 motion, else mixed."""
    if share is None:
        return None
    if share > 0.7:
        return APPEARANCE if share > 0.9 else MOSTLY_APPEARANCE
    if share < 0.5:
        return MOTION if share < 0.3 else MOSTLY_MOTION
    return MIXED


def verdict(frozen: Span, shuffled: Span) -> str:
    """What a model uses, from what it keeps of frozen clips (one frame throughout) and of shuffled ones.

    ===========  ===================================================================
    motion       less than half is kept where nothing moves
    appearance   more than 0.7 is kept where nothing moves, and where order is lost
    order        nothing need move, but the places of the frames matter
    mixed        decided, but in between
    undecided    an interval is not known or reaches over the border of a band
    ===========  ===================================================================

    Borders are 0.5 and 0.7; an interval must lie whole on one side.
    """
    still, order = _side(frozen), _side(shuffled)
    if still == MOTION:
        return MOTION
    if still is None or (still == APPEARANCE and order is None):
        return UNDECIDED
    if still == APPEARANCE:
        return {APPEARANCE: APPEARANCE, MOTION: ORDER}.get(str(order), MIXED)
    return MIXED


def _side(span: Span) -> str | None:
    if span.low is None or span.high is None:
        return None
    sides = {_third(span.low), _third(span.high)}
    return sides.pop() if len(sides) == 1 else None


def _third(share: float) -> str:
    return APPEARANCE if share > 0.7 else MOTION if share < 0.5 else MIXED
