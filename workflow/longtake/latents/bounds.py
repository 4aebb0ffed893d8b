"""What jobs hold of latents in memory, and how they keep to ``latents.memory_gb``: arithmetic, before any work.

Reading ahead is what a job can do without. Blocks of sums stay as they are, since where sums are cut changes their last
bits; what cannot be held then is refused, before the first latent is read.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from longtake.errors import BudgetError
from longtake.memory.budget import MIB

BLOCK_BYTES = 2**25
"""Of all latents in a block of a sum of products."""
TIMES = 12
"""How often a latent in float64 is held at the peak, of information: the latent, its codes, their pairs."""
ROWS = 24_000
"""Bytes of rows that a latent leaves until its job's tables are written: channels' correlations, spectra, metrics."""

SQUARES = 8
"""How often the products of all videos at a step are held: sums, distances, the map and what its algebra needs."""


@dataclass(frozen=True)
class Held:
    """Of a job: elements of the largest latent, its bytes as it is stored, and how many latents there are."""

    elements: int
    stored: int
    latents: int


def held_by(videos: Iterable[Mapping[str, Any]]) -> Held:
    """What the rows of an index say of those of its videos that will be measured."""
    good = [video for video in videos if video["status"] == "ok"]
    return Held(
        max((math.prod(video["shape"]) for video in good), default=0),
        max((file["nbytes"] for video in good for file in video["held"]), default=0),
        sum(len(video["held"]) for video in good),
    )


def computing(held: Held) -> int:
    """Bytes of the latent that is measured, and of blocks of those that are followed."""
    return TIMES * 8 * held.elements + 3 * BLOCK_BYTES


def reading(held: Held, read_ahead: int) -> int:
    """Bytes of latents as they are read, `read_ahead` of them in advance."""
    return (read_ahead + 2) * held.stored


def keeping(held: Held) -> int:
    """Bytes of rows until tables are written."""
    return ROWS * held.latents


def read_ahead_within(held: Held, asked: int, limit_mb: int, base: int) -> int:
    """How many latents may be read in advance, at most `asked`, by a process that holds `base` bytes already.

    Raises
    ------
    BudgetError
        Not even one latent after the other is within `limit_mb`, where that is a limit and not 0.
    """
    if not limit_mb:
        return asked
    least = base + computing(held) + reading(held, 0) + keeping(held)
    refuse_more(
        least, limit_mb,
        f"measuring {held.latents} latents, the largest of {held.elements} elements ({base // MIB} MiB for libraries, "
        f"{computing(held) // MIB} to compute, {reading(held, 0) // MIB} to read, {keeping(held) // MIB} for rows)",
        "take fewer latents a job by latents.latents_per_job" if keeping(held) > MIB else "",
    )  # fmt: skip
    return min(asked, (limit_mb * MIB - least) // max(1, held.stored))


def refuse_squares(videos: int, limit_mb: int) -> None:
    """Refuse to compare so many videos at a step beyond the limit: `BudgetError`; this process' memory counts, too."""
    # The Snakefile imports this module in every job.
    import psutil

    needed = psutil.Process().memory_info().rss + SQUARES * 8 * videos**2 + 3 * BLOCK_BYTES
    refuse_more(needed, limit_mb, f"comparing {videos} videos at a step", "lower latents.most_compared")


def refuse_more(needed: int, limit_mb: int, work: str, otherwise: str = "") -> None:
    """Raise `BudgetError` if bytes `needed` for `work` are more than `limit_mb`; 0 is no limit."""
    if limit_mb and needed > limit_mb * MIB:
        gb = math.ceil(needed / 2**30 * 100) / 100
        raise BudgetError(
            f"latents.memory_gb is {round(limit_mb / 1024, 2):g}, but {work} takes {gb:.2f} GiB. Set it to {gb:.2f} or "
            f"more, or to 0 for no limit{f'; or {otherwise}' if otherwise else ''}."
        )
