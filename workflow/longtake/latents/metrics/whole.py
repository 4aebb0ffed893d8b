"""The latent as a whole: its variance, its mirror images, how its variance is spread over maps."""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from longtake.latents.metrics.latent import SUSPECT, Choices, Latent, entropy_bits, undefined
from longtake.latents.metrics.plain import Plain, pearson, variance

Array = NDArray[np.float64]


def reference(x: Array, _choices: Choices) -> dict[str, Plain]:
    """Plain float64 metrics of a latent [C, F, H, W]."""
    rows, columns = x.shape[2] // 2, x.shape[3] // 2
    variances = np.array([variance(m) for m in x.reshape(-1, *x.shape[2:])])
    found = {
        "total_variance": (variance(x), 0),
        "mirror_left_right": (pearson(x[..., :columns], x[..., x.shape[3] - columns :][..., ::-1]), 0),
        "mirror_top_bottom": (pearson(x[..., :rows, :], x[..., x.shape[2] - rows :, :][..., ::-1, :]), 0),
        "structural_entropy": (None, 0),
    }
    if variances.size > 1 and variances.sum() > 0:
        shares = variances[variances > 0] / variances.sum()
        found["structural_entropy"] = float(-(shares * np.log2(shares)).sum() / np.log2(variances.size)), 0
    return found


def batched(latent: Latent) -> dict[str, Tensor]:
    """The same with sums that other metrics have made already."""
    channels, frames, rows, columns = latent.shape
    mean = latent.mean.mean()
    maps = latent.squares / (rows * columns)
    total = maps.mean() + (latent.mean - mean).square().mean()
    one_value = latent.constant_channel.all() & (latent.mean[:, 0] == latent.mean[0, 0]).all()
    total = torch.where(one_value, torch.zeros_like(total), total)
    none = torch.zeros_like(total)
    shares = maps.flatten() / maps.sum()
    spread = entropy_bits(shares) / np.log2(channels * frames) if channels * frames > 1 else shares.sum() * torch.nan
    return {
        "total_variance": torch.stack([total, none]),
        "mirror_left_right": _mirror(latent, -1),
        "mirror_top_bottom": _mirror(latent, -2),
        "structural_entropy": torch.stack([spread, none]),
    }


def _mirror(latent: Latent, dim: int) -> Tensor:
    """Pearson of one half with the other turned over; a middle line belongs to neither.

    Sums are those of centred maps, to which each map's distance from the mean of all is then added.
    """
    c, size = latent.centred, latent.centred.shape[dim]
    half = size // 2
    if not half:
        return undefined(latent)
    a, b = c.narrow(dim, 0, half), c.narrow(dim, size - half, half).flip(dim)
    shift = latent.mean - latent.mean.mean()
    n, n_map = a.numel(), a[0, 0].numel()
    sums = [side.sum((2, 3)) for side in (a, b)]
    means = [(total + n_map * shift).sum() / n for total in sums]
    a, b = a.flatten(), b.flatten()
    products = [torch.dot(left, right) for left, right in ((a, a), (b, b), (a, b))]
    pairs = ((sums[0], sums[0]), (sums[1], sums[1]), (sums[0], sums[1]))
    aa, bb, ab = (
        product + (shift * (left + right)).sum() + n_map * shift.square().sum()
        for product, (left, right) in zip(products, pairs, strict=True)
    )
    variances = aa - n * means[0].square(), bb - n * means[1].square()
    r = (ab - n * means[0] * means[1]) / (variances[0] * variances[1]).clamp_min(0.0).sqrt()
    if bool((variances[0] <= SUSPECT * aa) | (variances[1] <= SUSPECT * bb)):
        sides = [latent.values.narrow(dim, start, half) for start in (0, size - half)]
        varies = [bool(side.amax() > side.amin()) for side in sides]
        r = r if all(varies) else torch.full_like(r, torch.nan)
    return torch.stack([r, torch.zeros_like(r)])
