"""The plane of spatial frequencies of a map: its window, its rings, and the half that a real transform gives."""

from __future__ import annotations

from functools import cache

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

Array = NDArray[np.float64]
FLOOR = 1e-8
"""No cell of a spectrum counts as less than this share of the mean power."""


def window(rows: int, columns: int) -> Array:
    """Periodic Hann window of a map."""
    down, across = (0.5 - 0.5 * np.cos(2.0 * np.pi * np.arange(n) / n) for n in (rows, columns))
    found: Array = np.outer(down, across)
    return found


def ring_frequencies(n: int) -> Array:
    """Middle of ring j, (j - 1) / 2n < f <= j / 2n."""
    return np.arange(0.5, n, dtype=np.float64) / (2.0 * n)


def ring_of(frequency: Array, n: int) -> NDArray[np.int64]:
    """Ring of each frequency, from 1; what lies on a ring's outer edge but for rounding is in it."""
    return np.ceil(frequency * 2.0 * n - 1e-9).astype(np.int64)


@cache
def plane(rows: int, columns: int) -> tuple[Tensor, Tensor, Tensor]:
    """Window; weights [cells], how often a cell of the half plane stands on the whole one; rings [cells, n], means."""
    half = columns // 2 + 1
    weights = np.full((rows, half), 2.0)
    weights[:, 0] = 1.0
    if columns % 2 == 0:
        weights[:, -1] = 1.0
    weights[0, 0] = 0.0
    frequency = np.hypot(np.fft.fftfreq(rows)[:, None], np.fft.rfftfreq(columns)[None, :])
    n = min(rows, columns) // 2
    rings = (ring_of(frequency, n)[..., None] == np.arange(1, n + 1)) * weights[..., None]
    rings = rings.reshape(-1, n) / np.maximum(rings.sum((0, 1)), 1.0)
    return torch.from_numpy(window(rows, columns)), torch.from_numpy(weights.ravel()), torch.from_numpy(rings)
