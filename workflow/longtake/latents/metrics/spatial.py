"""Space: variance of maps, correlation of neighbours, edges. A map is one channel's frame, [H, W]."""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from longtake.latents.metrics.latent import SUSPECT, Choices, Latent, average, undefined
from longtake.latents.metrics.plain import Plain, mean_of_defined, pearson, variance

Array = NDArray[np.float64]


def reference(x: Array, choices: Choices) -> dict[str, Plain]:
    """Plain float64 metrics of a latent [C, F, H, W], map by map."""
    maps = [x[c, f] for c in range(x.shape[0]) for f in range(x.shape[1])]
    return {
        "spatial_variance": mean_of_defined([variance(m) for m in maps]),
        "autocorrelation_row": mean_of_defined([pearson(m[:-1], m[1:]) for m in maps]),
        "autocorrelation_column": mean_of_defined([pearson(m[:, :-1], m[:, 1:]) for m in maps]),
        "edge_density": mean_of_defined([_edges(m, choices.edge_threshold) for m in maps]),
    }


def _edges(m: Array, threshold: float) -> float | None:
    """Share of the inner pixels whose gradient, by Sobel's kernel / 8, is above the threshold."""
    if min(m.shape) < 3:
        return None
    across, down = m[:, 2:] - m[:, :-2], m[2:] - m[:-2]
    gx = (across[:-2] + 2.0 * across[1:-1] + across[2:]) / 8.0
    gy = (down[:, :-2] + 2.0 * down[:, 1:-1] + down[:, 2:]) / 8.0
    return float(np.mean(np.hypot(gx, gy) > threshold))


def batched(latent: Latent) -> dict[str, Tensor]:
    """The same of all maps at once."""
    _, _, rows, columns = latent.shape
    return {
        "spatial_variance": average(latent.squares / (rows * columns)),
        "autocorrelation_row": _lag(latent, down=True),
        "autocorrelation_column": _lag(latent, down=False),
        "edge_density": _edge_density(latent),
    }


def _lag(latent: Latent, *, down: bool) -> Tensor:
    """Pearson of every map with itself moved by one row or column, without wrapping around.

    Products of a map and its moved self are one product of vectors each, since a row is as long as the distance of two
    rows; along columns, what the last column does with the first of the next row is taken off.
    """
    _, _, rows, columns = latent.shape
    if (rows if down else columns) < 2:
        return undefined(latent, latent.mean.numel())
    c = latent.centred.flatten(0, 1)
    flat, n = c.flatten(1), (rows - 1) * columns if down else rows * (columns - 1)
    last, first = (c[:, -1], c[:, 0]) if down else (c[..., -1], c[..., 0])
    lag = columns if down else 1
    ab = _dot(flat[:, :-lag], flat[:, lag:])
    if not down:
        ab = ab - _dot(last[:, :-1], first[:, 1:])
    squares, total = latent.squares.flatten(), flat.sum(1)
    sum_a, sum_b = total - last.sum(1), total - first.sum(1)
    var_a = squares - _dot(last, last) - sum_a.square() / n
    var_b = squares - _dot(first, first) - sum_b.square() / n
    r = (ab - sum_a * sum_b / n) / (var_a * var_b).clamp_min(0.0).sqrt()
    suspect = torch.minimum(var_a, var_b) <= SUSPECT * squares
    if bool(suspect.any()):
        x = latent.values.flatten(0, 1)[suspect]
        r[suspect] = _pearson(*((x[:, :-1], x[:, 1:]) if down else (x[..., :-1], x[..., 1:])))
    return average(r, ~torch.isnan(r))


def _pearson(a: Tensor, b: Tensor) -> Tensor:
    """[M] correlation of maps [M, rows, columns], pair by pair; NaN where one is constant."""
    a, b = a.flatten(1), b.flatten(1)
    varies = (a.amax(1) > a.amin(1)) & (b.amax(1) > b.amin(1))
    da, db = a - a.mean(1, keepdim=True), b - b.mean(1, keepdim=True)
    r = (da * db).sum(1) / (da.square().sum(1) * db.square().sum(1)).sqrt()
    return torch.where(varies, r, torch.full_like(r, torch.nan))


def _dot(a: Tensor, b: Tensor) -> Tensor:
    """Products of the vectors [M, n] of each map: [M], without a table of the products."""
    return torch.bmm(a[:, None, :], b[:, :, None]).flatten()


def _edge_density(latent: Latent) -> Tensor:
    _, _, rows, columns = latent.shape
    if min(rows, columns) < 3:
        return undefined(latent, latent.mean.numel())
    threshold = (8.0 * latent.choices.edge_threshold) ** 2
    # Channel by channel: what is made on the way then stays in a processor's cache.
    return average(torch.stack([_edges_of_maps(maps, threshold) for maps in latent.values]))


def _edges_of_maps(x: Tensor, threshold: float) -> Tensor:
    """[F] share of the inner pixels of maps [F, H, W] whose squared gradient, times 64, is above `threshold`."""
    # Differences first: of neighbours with a common mean they lose no digits.
    across, down = x[..., 2:] - x[..., :-2], x[..., 2:, :] - x[..., :-2, :]
    gx = across[..., 1:-1, :].mul(2.0).add_(across[..., :-2, :]).add_(across[..., 2:, :])
    gy = down[..., 1:-1].mul(2.0).add_(down[..., :-2]).add_(down[..., 2:])
    above = gx.square_().addcmul_(gy, gy) > threshold
    return above.sum((1, 2)).double() / above[0].numel()
