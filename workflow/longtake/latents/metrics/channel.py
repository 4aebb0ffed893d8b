"""Channels: how much each varies, how they go together, how the energy is spread over them."""

from __future__ import annotations

from itertools import combinations

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from longtake.latents.metrics.latent import Choices, Latent, average, entropy_bits, undefined
from longtake.latents.metrics.plain import Plain, mean_of_defined, pearson

Array = NDArray[np.float64]


def reference(x: Array, _choices: Choices) -> dict[str, Plain]:
    """Plain float64 metrics of a latent [C, F, H, W], pair by pair."""
    channels, frames = x.shape[:2]
    pairs = list(combinations(range(channels), 2))
    together = [pearson(x[a], x[b]) for a, b in pairs]
    within = [pearson(x[a, f], x[b, f]) for f in range(frames) for a, b in pairs]
    found = {
        "channel_variance": mean_of_defined([float(channel.var()) for channel in x]),
        "channel_correlation": mean_of_defined(together),
        "channel_correlation_abs": mean_of_defined([None if r is None else abs(r) for r in together]),
        "frame_channel_correlation": mean_of_defined(within),
    }
    energy = np.array([(channel**2).sum() for channel in x])
    if not energy.sum() > 0:
        return found | dict.fromkeys(("entropy", "evenness", "dominance"), (None, 0))
    shares = energy / energy.sum()
    seen = shares[shares > 0]
    bits = float(-(seen * np.log2(seen)).sum())
    evenness = bits / float(np.log2(channels)) if channels > 1 else None
    return found | {"entropy": (bits, 0), "evenness": (evenness, 0), "dominance": (float(shares.max()), 0)}


def batched(latent: Latent) -> dict[str, Tensor]:
    """The same from the products of all channels at once, frame by frame."""
    channels = latent.shape[0]
    found = {"channel_variance": average(latent.channel_variance), **_energy(latent)}
    if channels < 2:
        names = ("channel_correlation", "channel_correlation_abs", "frame_channel_correlation")
        return found | dict.fromkeys(names, undefined(latent))
    a, b = torch.triu_indices(channels, channels, 1, device=latent.values.device)
    r = correlation(latent)[a, b]
    known = ~torch.isnan(r)
    norms = latent.squares.T.sqrt()
    within = latent.grams_of_channels[:, a, b] / (norms[:, a] * norms[:, b])
    varies = ~(latent.constant[a] | latent.constant[b]).T
    return found | {
        "channel_correlation": average(r, known),
        "channel_correlation_abs": average(r.abs(), known),
        "frame_channel_correlation": average(within, varies),
    }


def covariance(latent: Latent) -> Tensor:
    """[C, C] population covariance of channels over frames and pixels: within frames, and of the frames' means."""
    _, frames, rows, columns = latent.shape
    off = latent.mean - latent.channel_mean[:, None]
    return latent.grams_of_channels.sum(0) / (frames * rows * columns) + off @ off.T / frames


def correlation(latent: Latent) -> Tensor:
    """[C, C] Pearson of channels over frames and pixels; NaN where one is constant."""
    sd = latent.channel_variance.sqrt()
    return covariance(latent) / (sd[:, None] * sd[None, :])


def energy_share(latent: Latent) -> Tensor:
    """[C] sum of squares of each channel, of that of the latent; NaN if all is 0."""
    _, _, rows, columns = latent.shape
    energy = latent.squares.sum(1) + rows * columns * latent.mean.square().sum(1)
    return energy / energy.sum()


def _energy(latent: Latent) -> dict[str, Tensor]:
    shares = energy_share(latent)
    bits, channels = entropy_bits(shares), latent.shape[0]
    none = torch.zeros_like(bits)
    return {
        "entropy": torch.stack([bits, none]),
        "evenness": torch.stack([bits / np.log2(channels), none]) if channels > 1 else undefined(latent),
        "dominance": torch.stack([shares.max(), none]),
    }
