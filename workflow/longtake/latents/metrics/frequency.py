"""Spatial frequency: the power of windowed maps, averaged over a channel's frames.

Maps less their mean times a periodic Hann window along both axes; cells of the whole plane but the origin, in cycles
per latent pixel; no cell counts as less than 1e-8 of the mean power.
"""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from longtake.latents.metrics.latent import Choices, Latent, average, undefined
from longtake.latents.metrics.plain import Plain, mean_of_defined
from longtake.latents.metrics.plane import FLOOR, plane, ring_frequencies, ring_of, window

Array = NDArray[np.float64]
LEAST_RINGS = 4


def reference(x: Array, _choices: Choices) -> dict[str, Plain]:
    """Plain float64 metrics of a latent [C, F, H, W] from the whole plane of each map."""
    entropies: list[float | None] = []
    flatness: list[float | None] = []
    slopes: list[float | None] = []
    rows, columns = x.shape[2:]
    frequency = np.hypot(np.fft.fftfreq(rows)[:, None], np.fft.fftfreq(columns)[None, :])
    n = min(rows, columns) // 2
    for channel in x:
        cells = _power_reference(channel)
        if cells is None:
            entropies.append(None)
            flatness.append(None)
            slopes.append(None)
            continue
        shares = cells[frequency > 0] / cells[frequency > 0].sum()
        entropies.append(float(-(shares * np.log2(shares)).sum()))
        flatness.append(float(np.exp(np.log(shares).mean()) / shares.mean()))
        rings = [cells[(ring_of(frequency, n) == j) & (frequency > 0)].mean() for j in range(1, n + 1)]
        if n >= LEAST_RINGS:
            slopes.append(float(np.polyfit(np.log(ring_frequencies(n))[1:], np.log(rings[1:]), 1)[0]))
        else:
            slopes.append(None)
    return {
        "spectral_entropy": mean_of_defined(entropies),
        "spectral_flatness": mean_of_defined(flatness),
        "spectral_slope": mean_of_defined(slopes),
    }


def _power_reference(channel: Array) -> Array | None:
    """Power of a channel on the whole plane, no cell less than the floor; None if all its maps are constant."""
    total = np.zeros(channel.shape[1:])
    varies = False
    for m in channel:
        if m.min() < m.max():
            varies = True
            total += np.abs(np.fft.fft2((m - m.mean()) * window(*m.shape))) ** 2
    total /= len(channel)
    if not varies or total.size < 2:
        return None
    return np.maximum(total, FLOOR * total.ravel()[1:].mean())


def batched(latent: Latent) -> dict[str, Tensor]:
    """The same from half of the plane, with the rings' means by one product."""
    channels, _, rows, columns = latent.shape
    varies = ~latent.constant.all(1)
    if rows * columns < 2:
        return dict.fromkeys(("spectral_entropy", "spectral_flatness", "spectral_slope"), undefined(latent, channels))
    power = latent.power
    weights = plane(rows, columns)[1].to(power.device)
    shares = power / (power @ weights)[:, None]
    logs = torch.where(weights > 0, torch.log(shares), torch.zeros_like(shares))
    n_cells = weights.sum()
    entropies = -((shares * logs) @ weights) / np.log(2.0)
    flatness = torch.exp((logs @ weights) / n_cells) * n_cells
    found = {"spectral_entropy": average(entropies, varies), "spectral_flatness": average(flatness, varies)}
    n = min(rows, columns) // 2
    if n < LEAST_RINGS:
        return found | {"spectral_slope": undefined(latent, channels)}
    at = torch.log(torch.from_numpy(ring_frequencies(n)[1:])).to(power.device)
    at -= at.mean()
    rings = torch.log(_rings(latent)[:, 1:])
    return found | {"spectral_slope": average((rings @ at) / at.square().sum(), varies)}


def _rings(latent: Latent) -> Tensor:
    return latent.power @ plane(*latent.shape[2:])[2].to(latent.power.device)


def radial(latent: Latent) -> Tensor:
    """[n] mean power of the rings, over the channels that vary; NaN if none does."""
    varies = ~latent.constant.all(1)
    rings = _rings(latent)
    total = torch.where(varies[:, None], rings, torch.zeros_like(rings)).sum(0)
    return total / varies.sum()
