"""Intervals over subjects: Student's t on the scale on which a measure is nearly normal.

At five subjects a percentile bootstrap that says 95 % covers .82, and t .95 (`benchmarks/level.py`). A share is taken
to its logit, a positive number to its logarithm, a correlation to Fisher's z; the interval is of the mean there, taken
back. Below `MINIMUM` subjects a mean stands without an interval.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray
from scipy.stats import binomtest
from scipy.stats import t as student

from longtake.status import Status

Values = NDArray[np.float64]
Scale = Literal["identity", "log", "logit", "fisher"]

MINIMUM = 5
"""Fewest subjects for which an interval is given: t on four subjects is 1.6 standard deviations to each side."""
_IN: dict[str, Callable[[Values], Values]] = {
    "identity": lambda x: x, "log": np.log, "logit": lambda x: np.log(x) - np.log1p(-x), "fisher": np.arctanh,
}  # fmt: skip
_BACK: dict[str, Callable[[Values], Values]] = {
    "identity": lambda x: x, "log": np.exp, "logit": lambda x: 1.0 / (1.0 + np.exp(-x)), "fisher": np.tanh,
}  # fmt: skip
_INSIDE = {"identity": (-math.inf, math.inf), "log": (0.0, math.inf), "logit": (0.0, 1.0), "fisher": (-1.0, 1.0)}
_SAID = {"identity": "", "log": " of logarithms", "logit": " of logits", "fisher": " of Fisher's z"}


@dataclass(frozen=True)
class Interval:
    """A mean or share over subjects with its interval.

    Attributes
    ----------
    mean, sd : over subjects, as they are; None where there are too few
    centre : what `low` and `high` are about: the mean on the scale of the interval, taken back (of logarithms it is the
        geometric mean); the same as `mean` where the scale is ``identity``
    low, high : None where the data do not decide an interval
    status : ok, undecided, or failed (a value was not finite)
    method : how the interval was found, ``none`` where there is none
    """

    mean: float | None
    low: float | None
    high: float | None
    sd: float | None
    n: int
    status: str
    reason: str
    centre: float | None = None
    method: str = "none"


def too_few(n: int, what: str = "video", least: int = MINIMUM) -> str:
    """Say why nothing can be inferred from `n` subjects."""
    return f"{n} {what}{'' if n == 1 else 's'}, at least {least} are needed"


def interval(
    values: Sequence[float] | Values, *, scale: Scale = "identity", level: float = 0.95, what: str = "video"
) -> Interval:
    """Mean over subjects with Student's t interval on `scale`.

    Parameters
    ----------
    values
        (n,) one number per subject, in any order.
    scale
        ``identity`` for any number, ``log`` for positive ones, ``logit`` for shares, ``fisher`` for correlations. Where
        a value lies on the border of the scale (a share of 1), t of the values as they are is cut to the range.
    what
        What a subject is called in `reason`.

    Returns
    -------
    Interval
        ``undecided`` below `MINIMUM` subjects, ``failed`` where a value is not finite or outside of the scale.
        Shares that are all 0, or all 1, have the bound that n such subjects allow: ``(1 - level) / 2`` to the power 1/n
        from the border, since a mean share m makes n ones with a probability of at most m ** n.
    """
    data = np.asarray(values, dtype=np.float64)
    n, (least, most) = int(data.size), _INSIDE[scale]
    if n == 0:
        return Interval(None, None, None, None, 0, Status.UNDECIDED, f"no {what} has a value")
    # A share that rounding put beyond 1 is 1.
    data = np.where(np.abs(data - least) <= 1e-9, least, np.where(np.abs(data - most) <= 1e-9, most, data))
    strange = int(np.count_nonzero(~np.isfinite(data) | (data < least) | (data > most)))
    if strange:
        return Interval(
            None, None, None, None, n, Status.FAILED, f"{strange} of {n} values are not finite or out of range"
        )
    mean, sd = float(data.mean()), float(data.std(ddof=1)) if n > 1 else None
    inside = bool(((data > least) & (data < most)).all())
    used = scale if inside else "identity"
    centre = float(_BACK[used](np.asarray(_IN[used](data).mean())))
    if n < MINIMUM:
        return Interval(mean, None, None, sd, n, Status.UNDECIDED, too_few(n, what), centre)
    if scale == "logit" and np.ptp(data) == 0 and not inside:
        bound = ((1.0 - level) / 2.0) ** (1.0 / n)
        low, high = (bound, 1.0) if mean == 1.0 else (0.0, 1.0 - bound)
        return Interval(mean, low, high, sd, n, Status.OK, "", centre, f"bound of {n} equal shares")
    moved = _IN[used](data)
    half = float(student.ppf(0.5 + level / 2.0, n - 1)) * float(moved.std(ddof=1)) / math.sqrt(n)
    ends = np.clip(_BACK[used](float(moved.mean()) + np.array([-half, half])), least, most)
    return Interval(mean, float(ends[0]), float(ends[1]), sd, n, Status.OK, "", centre, f"t{_SAID[used]} over {what}s")


def ratio_interval(
    parts: Sequence[float] | Values,
    wholes: Sequence[float] | Values,
    *,
    level: float = 0.95,
    what: str = "group",
) -> Interval:
    """A share of many things that come in groups, as accuracy over videos that come in cascades: cluster-robust t.

    The ratio sum(parts) / sum(wholes); its standard error is that of the groups' residuals (Cochran 1977, equation
    6.13), n - 1 degrees of freedom, on the logit scale.

    Parameters
    ----------
    parts, wholes
        (groups,) how many of each group count, and how many it has; 0 <= parts <= wholes.

    Returns
    -------
    Interval
        `n` is the number of groups; `sd` that of the groups' own shares.
    """
    part, whole = np.asarray(parts, dtype=np.float64), np.asarray(wholes, dtype=np.float64)
    held = whole > 0
    part, whole = part[held], whole[held]
    n = int(part.size)
    shares = part / whole
    if n < MINIMUM or not 0.0 < part.sum() < whole.sum():
        alone = interval(shares, scale="logit", level=level, what=what)
        together = float(part.sum() / whole.sum()) if n else None
        return Interval(
            together, alone.low, alone.high, alone.sd, n, alone.status, alone.reason, together, alone.method
        )
    ratio = float(part.sum() / whole.sum())
    error = math.sqrt(n / (n - 1) * float(((part - ratio * whole) ** 2).sum())) / float(whole.sum())
    half = float(student.ppf(0.5 + level / 2.0, n - 1)) * error / (ratio * (1.0 - ratio))
    logit = math.log(ratio / (1.0 - ratio))
    low, high = (1.0 / (1.0 + math.exp(-end)) for end in (logit - half, logit + half))
    sd = float(shares.std(ddof=1))
    return Interval(ratio, low, high, sd, n, Status.OK, "", ratio, f"cluster t of the logit over {what}s")


def wilson(successes: int, n: int, *, level: float = 0.95, what: str = "video") -> Interval:
    """Share of subjects that say yes, with Wilson's score interval (Wilson 1927; Brown, Cai and DasGupta 2001)."""
    if n == 0:
        return Interval(None, None, None, None, 0, Status.UNDECIDED, f"no {what} has a value")
    share = successes / n
    if n < MINIMUM:
        return Interval(share, None, None, None, n, Status.UNDECIDED, too_few(n, what), share)
    found = binomtest(successes, n).proportion_ci(confidence_level=level, method="wilson")
    return Interval(share, float(found.low), float(found.high), None, n, Status.OK, "", share, "Wilson score interval")
