"""Intervals and tests over subjects, for every analysis: one number per subject, and nothing finer.

A subject is what was sampled independently: a video, a case, a seed pair, a cascade of duplicates. Frames of a video,
objects in it and clips of it are not, so they are averaged before they come here. `benchmarks/level.py` measures what
each interval covers and each test finds where there is nothing.

- one number per subject: `interval` (on the right scale), `wilson` for yes and no, `ratio_interval` for shares of
  many things in groups, `simultaneous_band` for curves
- two groups: `compare`; many measures at once, max-T: `compare_many`; one group against zero: `against_zero`
- more groups: `omnibus` before the pairs
- many tests: `holm`, `benjamini_hochberg`, `deciding`, `draws_for`
- two series of one subject: `relate_series`, which knows autocorrelation; it gives one number per subject

Draws come from a generator that the caller keys by seed, subject and purpose (`longtake.streams`), so a table is the
same whatever was computed before it. Memory is bounded by `HELD` numbers, whatever the number of subjects.
"""

from longtake.statistics.inference.bands import simultaneous_band
from longtake.statistics.inference.comparison import (
    DRAWS,
    FEWEST,
    Comparison,
    against_zero,
    compare,
    compare_many,
)
from longtake.statistics.inference.effects import cliffs_delta, hedges_g
from longtake.statistics.inference.families import benjamini_hochberg, deciding, draws_for, holm
from longtake.statistics.inference.intervals import (
    MINIMUM,
    Interval,
    Scale,
    interval,
    ratio_interval,
    too_few,
    wilson,
)
from longtake.statistics.inference.omnibus import Omnibus, omnibus
from longtake.statistics.inference.permutation import EXACT_LIMIT, HELD, held_rows
from longtake.statistics.inference.series import Related, detrended, effective_n, is_constant, relate_series

__all__ = [
    "DRAWS",
    "EXACT_LIMIT",
    "FEWEST",
    "HELD",
    "MINIMUM",
    "Comparison",
    "Interval",
    "Omnibus",
    "Related",
    "Scale",
    "against_zero",
    "benjamini_hochberg",
    "cliffs_delta",
    "compare",
    "compare_many",
    "deciding",
    "detrended",
    "draws_for",
    "effective_n",
    "hedges_g",
    "held_rows",
    "holm",
    "interval",
    "is_constant",
    "omnibus",
    "ratio_interval",
    "relate_series",
    "simultaneous_band",
    "too_few",
    "wilson",
]
