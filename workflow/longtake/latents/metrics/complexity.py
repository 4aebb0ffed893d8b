"""Complexity: directions of the channels' variance, how well a channel compresses, how maps fill the plane."""

from __future__ import annotations

import zlib

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from longtake.latents.metrics.channel import covariance
from longtake.latents.metrics.latent import Choices, Latent, average, undefined
from longtake.latents.metrics.plain import Plain, mean_of_defined

Array = NDArray[np.float64]
ZLIB = zlib.ZLIB_RUNTIME_VERSION
LEVEL = 6
# A share of 0.95 may be missed by rounding.
_ENOUGH = 0.95 - 1e-9


def reference(x: Array, _choices: Choices) -> dict[str, Plain]:
    """Plain float64 metrics of a latent [C, F, H, W]."""
    maps = [x[c, f] for c in range(x.shape[0]) for f in range(x.shape[1])]
    components, ratio = _directions(x.reshape(x.shape[0], -1))
    return {
        "pca_components": components,
        "participation_ratio": ratio,
        "zlib_ratio": mean_of_defined([_compressed(channel) for channel in x]),
        "box_dimension": mean_of_defined([_box_dimension(m) for m in maps]),
    }


def _directions(channels: Array) -> tuple[Plain, Plain]:
    centred = channels - channels.mean(1, keepdims=True)
    if all(channel.min() == channel.max() for channel in channels):
        return (None, 0), (None, 0)
    spread = np.linalg.svd(centred, compute_uv=False) ** 2
    reached = np.cumsum(spread) / spread.sum() >= _ENOUGH
    return (float(np.argmax(reached) + 1), 0), (float(spread.sum() ** 2 / (spread**2).sum()), 0)


def _compressed(channel: Array) -> float | None:
    """Compressed bytes of a channel's standardised values in 8 bits, of uncompressed ones."""
    if channel.min() == channel.max():
        return None
    z = (channel - channel.mean()) / channel.std()
    raw = np.clip(np.rint(z * 32.0) + 128.0, 0.0, 255.0).astype(np.uint8).tobytes()
    return len(zlib.compress(raw, LEVEL)) / len(raw)


def sizes(rows: int, columns: int) -> list[int]:
    """Sides of boxes: 1, 2, 4, ... to the largest power of two that is at most a quarter of the shorter side."""
    found = [1]
    while 8 * found[-1] <= min(rows, columns):
        found.append(2 * found[-1])
    return found


def _box_dimension(m: Array) -> float | None:
    """Minus the slope of log N over log size; N boxes, those at the edges cut, hold a pixel above the map's mean."""
    sides = sizes(*m.shape)
    if len(sides) < 3 or m.min() == m.max():
        return None
    mask, counts = m > m.mean(), []
    for side in sides:
        filled = 0
        for i in range(0, m.shape[0], side):
            for j in range(0, m.shape[1], side):
                filled += bool(mask[i : i + side, j : j + side].any())
        counts.append(filled)
    return -float(np.polyfit(np.log(sides), np.log(counts), 1)[0])


def batched(latent: Latent) -> dict[str, Tensor]:
    """The same from the channels' covariance, and with boxes joined two by two for all maps at once."""
    spread = torch.linalg.eigvalsh(covariance(latent)).flip(0).clamp_min(0.0)
    total = spread.sum()
    reached = (torch.cumsum(spread, 0) / total >= _ENOUGH).to(torch.uint8)
    directions = torch.stack([reached.argmax() + 1.0, total.square() / spread.square().sum()])
    directions = torch.where(latent.constant_channel.all(), torch.full_like(directions, torch.nan), directions)
    none = torch.zeros_like(total)
    return {
        "pca_components": torch.stack([directions[0], none]),
        "participation_ratio": torch.stack([directions[1], none]),
        "zlib_ratio": _zlib_ratio(latent),
        "box_dimension": _box_dimensions(latent),
    }


def _zlib_ratio(latent: Latent) -> Tensor:
    """zlib knows no GPU: the channels' bytes go to the host, a quarter of the latent in float32."""
    raw = latent.standardised(32.0).round_().add_(128.0).clamp_(0.0, 255.0).to(torch.uint8).cpu().numpy()
    ratios = [len(zlib.compress(channel.tobytes(), LEVEL)) / channel.size for channel in raw]
    return average(torch.tensor(ratios, dtype=torch.float64, device=latent.values.device), ~latent.constant_channel)


def _box_dimensions(latent: Latent) -> Tensor:
    _, _, rows, columns = latent.shape
    sides = sizes(rows, columns)
    if len(sides) < 3:
        return undefined(latent, latent.constant.numel())
    mask = (latent.centred > 0).flatten(0, 1)
    counts = [mask.sum((1, 2))]
    for _ in sides[1:]:
        mask = torch.nn.functional.pad(mask, (0, mask.shape[2] % 2, 0, mask.shape[1] % 2))
        mask = mask[:, ::2] | mask[:, 1::2]
        mask = mask[:, :, ::2] | mask[:, :, 1::2]
        counts.append(mask.sum((1, 2)))
    logs = torch.log(torch.stack(counts, 1).double())
    size = torch.log(torch.tensor(sides, dtype=torch.float64, device=logs.device))
    size -= size.mean()
    return average(-(logs @ size) / size.square().sum(), ~latent.constant.flatten())
