"""Temporal importance: how much each frame of a clip moves the score.

g_t = dS/dx_t (3, h, w) is the gradient of the score with respect to frame t of the *whole* clip, for frames in [0, 1].
Below, |.| is taken per channel and pixel, and a mean is over channels and pixels unless it says otherwise.

====================  ==================================================================
gradient map          G_t(h, w) = sqrt(sum_c g_t(c, h, w)^2)
magnitude             mean |g_t|
l2_norm               sqrt(sum g_t^2)
max_pool              max |g_t|
weighted_magnitude    sum_c (mean_hw |g_t(c)|)^2
magnitude_inside      mean |g_t| over the animal's mask; magnitude_outside over the rest
gradient_x_input      mean |g_t x_t|
gradient_change       mean_hw |G_t - G_(t-1)|, from the second frame on
====================  ==================================================================
"""

from collections.abc import Sequence
from dataclasses import dataclass, fields
from itertools import pairwise

import numpy as np
import torch
from torch import Tensor

from longtake.statistics.inference import is_constant


@dataclass(frozen=True)
class FrameImportance:
    """Importance of one frame by each measure; None where it is not defined."""

    magnitude: float
    l2_norm: float
    max_pool: float
    weighted_magnitude: float
    magnitude_inside: float | None
    magnitude_outside: float | None
    gradient_x_input: float


@dataclass(frozen=True)
class Pattern:
    """Shape of a series I_t over a clip; None where it is not defined (a constant series has no skewness)."""

    mean: float
    std: float
    minimum: float
    maximum: float
    range: float
    variation: float | None
    skewness: float | None
    n_peaks: float
    autocorrelation: float | None


def gradient_map(gradient: Tensor) -> Tensor:
    """G (n, h, w) float32: the L2 norm over the channels of gradient (n, 3, h, w)."""
    return gradient.double().square().sum(1).sqrt().float()


def frame_importance(gradient: Tensor, frames: Tensor, inside: Sequence[np.ndarray | None]) -> list[FrameImportance]:
    """Importance of n frames.

    Parameters
    ----------
    gradient : (n, 3, h, w), dS/dframes
    frames : (n, 3, h, w), what the model saw, in [0, 1]
    inside : for each frame the animal's mask (h, w) bool, or None where none is known

    Sums are in float64. Memory: a few copies of `gradient`.
    """
    g = gradient.double()
    size = g.abs()
    by_channel = size.mean((2, 3))
    columns = (
        size.mean((1, 2, 3)).tolist(),
        g.square().sum((1, 2, 3)).sqrt().tolist(),
        size.amax((1, 2, 3)).tolist(),
        by_channel.square().sum(1).tolist(),
        (g * frames.double()).abs().mean((1, 2, 3)).tolist(),
    )
    by_pixel = size.mean(1)
    found = []
    for t, (magnitude, l2_norm, max_pool, weighted, times_input) in enumerate(zip(*columns, strict=True)):
        within, without = _split_by_mask(by_pixel[t], inside[t])
        found.append(FrameImportance(magnitude, l2_norm, max_pool, weighted, within, without, times_input))
    return found


def _split_by_mask(by_pixel: Tensor, inside: np.ndarray | None) -> tuple[float | None, float | None]:
    if inside is None:
        return None, None
    mask = torch.from_numpy(inside).to(by_pixel.device)
    within = by_pixel[mask].mean().item() if mask.any() else None
    without = by_pixel[~mask].mean().item() if not mask.all() else None
    return within, without


def gradient_change(maps: np.ndarray) -> np.ndarray:
    """mean_hw |G_t - G_(t-1)| of maps (T, h, w): (T - 1,) float64."""
    return np.array([np.abs(after.astype(np.float64) - before).mean() for before, after in pairwise(maps)])


def pattern(series: np.ndarray) -> Pattern:
    """Shape of the series (T,).

    The standard deviation is the population's (divided by T). Skewness is the third central moment over std^3. A
    peak is an inner frame (or the middle of a level stretch) higher than both sides and above half the maximum; a rise
    up to the first or last frame is none. Autocorrelation at lag 1 is sum (I_t - mean)(I_(t+1) - mean) /
    sum (I_t - mean)^2.
    """
    values = np.asarray(series, dtype=np.float64)
    mean, low, high = float(values.mean()), float(values.min()), float(values.max())
    centred = values - mean
    power = float((centred**2).sum())
    std = float(np.sqrt(power / len(values)))
    varies = not is_constant(values)
    return Pattern(
        mean=mean,
        std=std,
        minimum=low,
        maximum=high,
        range=high - low,
        variation=std / mean if mean != 0 else None,
        skewness=float((centred**3).mean() / std**3) if varies else None,
        n_peaks=float(len(peaks(values))),
        autocorrelation=float((centred[1:] * centred[:-1]).sum() / power) if varies else None,
    )


def peaks(series: np.ndarray) -> np.ndarray:
    """Places of the local maxima above half the maximum: (k,) int64, ascending. See `pattern`."""
    # Level stretches are one step each; what is left differs from its neighbours.
    starts = np.flatnonzero(np.diff(series, prepend=np.nan) != 0)
    stops = np.append(starts[1:], len(series))
    level = series[starts]
    inner = np.flatnonzero((level[1:-1] > level[:-2]) & (level[1:-1] > level[2:])) + 1
    high = inner[level[inner] > 0.5 * series.max()]
    return (starts[high] + stops[high] - 1) // 2


IMPORTANCE_NAMES = tuple(field.name for field in fields(FrameImportance))
