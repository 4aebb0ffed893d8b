"""SmoothGrad and VarGrad from one set of draws, one draw at a time.

Noise is drawn on the CPU in float32, slice by slice, from streams keyed by seed, volume, draw and slice: it is the same
on any device, for any slab and in any order. The running mean and sum of squared deviations (Welford 1962) are kept by
`longtake.attribution.running`.

smoothgrad : absolute value of the mean gradient, summed over channels (Smilkov and others 2017)
vargrad : unbiased variance of the gradients, summed over channels (Adebayo and others 2018)
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from longtake.attribution.running import Running, accumulated
from longtake.streams import stream

PURPOSE = "attribution noise"


def noisy(given: Tensor, sigma: float, *, seed: int, volume: str, draw: int) -> Tensor:
    """`given` (1, C, d0, d1, d2) plus normal noise of standard deviation `sigma`; memory: one more such tensor."""
    made = given.clone()
    _, channels, depth, height, width = given.shape
    for at in range(depth):
        numbers = stream(seed, f"{volume}/{draw}/{at}", PURPOSE).standard_normal((channels, height, width), np.float32)
        made[0, :, at] += torch.from_numpy(numbers).mul_(sigma).to(given.device, given.dtype)
    return made


def drawn_moments(
    gradient: Callable[[int], Tensor],
    *,
    shape: tuple[int, ...],
    draws: int,
    folder: Path,
    key: str,
    told: Callable[[int, int], None] | None = None,
) -> Running:
    """Mean and sum of squared deviations of the gradients of `draws` noisy copies, on disk; see `accumulated`."""
    return accumulated(gradient, _welford, shape=shape, arrays=2, count=draws, folder=folder, key=key, told=told)


def _welford(number: int, value: np.ndarray, held: Sequence[np.ndarray] | None) -> Sequence[np.ndarray]:
    if held is None:
        return value, np.zeros_like(value)
    mean, squares = held
    delta = value - mean
    mean = mean + delta / number
    return mean, squares + delta * (value - mean)


def smoothgrad(moments: Running) -> np.ndarray:
    """The map (d0, d1, d2) float32."""
    return np.stack([np.abs(mean).sum(0).astype(np.float32) for mean, _ in moments.slices()])


def vargrad(moments: Running) -> np.ndarray:
    """The map (d0, d1, d2) float32; of two draws at least."""
    return np.stack([(squares.sum(0) / (moments.done - 1)).astype(np.float32) for _, squares in moments.slices()])


def standard_error(moments: Running) -> float | None:
    """Of the mean gradient, root mean square over voxels, as a part of that of the mean; None for fewer than two."""
    if moments.done < 2:
        return None
    size = spread = 0.0
    for mean, squares in moments.slices():
        size += float(np.square(mean).sum())
        spread += float(squares.sum()) / (moments.done - 1) / moments.done
    return float(np.sqrt(spread / size)) if size else None
