"""Time within a latent: how frames follow each other. Frames are those of the latent, not of the video."""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from longtake.latents.metrics.latent import Choices, Latent, average, undefined
from longtake.latents.metrics.plain import Plain, mean_of_defined, pearson

Array = NDArray[np.float64]
# The mean of a map wanders by rounding; what varies less than this share of the channel's RMS does not vary.
STILL = 1e-6
# Of powers that are as good as equal, the lower frequency counts.
TIE = 1e-9
# A variance over frames is a difference of products of maps, whose rounding is below this share of them.
_ROUNDING = 1e-14


def reference(x: Array, _choices: Choices) -> dict[str, Plain]:
    """Plain float64 metrics of a latent [C, F, H, W]."""
    channels, frames = x.shape[:2]
    pairs = [(x[c, f], x[c, f + 1]) for c in range(channels) for f in range(frames - 1)]
    means = x.mean((2, 3))
    found = {
        "frame_correlation": mean_of_defined([pearson(a, b) for a, b in pairs]),
        "temporal_variance": (float(x.var(1).mean()), 0),
        "motion": mean_of_defined([float(np.abs(b - a).mean()) for a, b in pairs]),
        "mean_autocorrelation": _mean_autocorrelation(x, means),
    }
    power = spectrum_reference(x)
    others = power[1:]
    if not others.size or not others.sum() > 0:
        return found | {"dominant_frequency": (None, 0), "dominant_share": (None, 0)}
    k = 1 + int(np.argmax(others >= others.max() * (1.0 - TIE)))
    return found | {"dominant_frequency": (k / frames, 0), "dominant_share": (float(power[k] / others.sum()), 0)}


def _mean_autocorrelation(x: Array, means: Array) -> Plain:
    if x.shape[1] < 4:
        return None, 0
    values: list[float | None] = []
    for s, channel in zip(means, x, strict=True):
        least = STILL * np.sqrt((channel**2).mean())
        still = any(part.std() <= least for part in (s, s[:-1], s[1:]))
        values.append(None if still else pearson(s[:-1], s[1:]))
    return mean_of_defined(values)


def spectrum_reference(x: Array) -> Array:
    """One-sided periodogram of the channels' means over frames, less their mean, averaged over channels."""
    frames = x.shape[1]
    total = np.zeros(frames // 2 + 1)
    for channel in x:
        s = channel.mean((1, 2))
        if s.std() <= STILL * np.sqrt((channel**2).mean()):
            continue
        power = np.abs(np.fft.rfft(s - s.mean())) ** 2 / frames
        power[1 : (frames + 1) // 2] *= 2.0
        total += power
    return total / x.shape[0]


def batched(latent: Latent) -> dict[str, Tensor]:
    """The same of all channels and frames at once."""
    found = {
        "temporal_variance": _temporal_variance(latent),
        "mean_autocorrelation": _batched_mean_autocorrelation(latent),
        **_dominant(latent),
    }
    if latent.shape[1] < 2:
        return found | {"frame_correlation": undefined(latent), "motion": undefined(latent)}
    grams, squares = latent.grams_of_frames, latent.squares
    follows = grams.diagonal(1, 1, 2) / (squares[:, 1:] * squares[:, :-1]).sqrt()
    varies = ~(latent.constant[:, 1:] | latent.constant[:, :-1])
    moved = (latent.values[:, 1:] - latent.values[:, :-1]).abs_().mean((2, 3))
    return found | {"frame_correlation": average(follows, varies), "motion": average(moved)}


def _temporal_variance(latent: Latent) -> Tensor:
    """Variance over frames, averaged over pixels and channels, from the products of frames.

    With G the products of a channel's frames, centred by its mean, the sum over pixels is tr(G) / F - sum(G) / F^2.
    """
    _, frames, rows, columns = latent.shape
    off = latent.mean - latent.channel_mean[:, None]
    grams = latent.grams_of_frames + rows * columns * off[:, :, None] * off[:, None, :]
    all_of_it = grams.diagonal(0, 1, 2).sum(1) / frames
    varies = all_of_it - grams.sum((1, 2)) / frames**2
    varies = torch.where(varies <= _ROUNDING * all_of_it, torch.zeros_like(varies), varies)
    return average(varies / (rows * columns))


def _rms(latent: Latent) -> Tensor:
    """[C] root of the mean square of each channel."""
    _, frames, rows, columns = latent.shape
    return (latent.squares.sum(1) / (frames * rows * columns) + latent.mean.square().mean(1)).sqrt()


def _batched_mean_autocorrelation(latent: Latent) -> Tensor:
    if latent.shape[1] < 4:
        return undefined(latent)
    s, least = latent.mean, STILL * _rms(latent)
    a, b = s[:, :-1], s[:, 1:]
    defined = torch.ones_like(least, dtype=torch.bool)
    for part in (s, a, b):
        defined &= part.std(1, correction=0) > least
    da, db = a - a.mean(1, keepdim=True), b - b.mean(1, keepdim=True)
    return average((da * db).sum(1) / (da.square().sum(1) * db.square().sum(1)).sqrt(), defined)


def spectrum(latent: Latent) -> Tensor:
    """[F // 2 + 1] one-sided periodogram of the channels' means, averaged over channels (`spectrum_reference`)."""
    frames, s = latent.shape[1], latent.mean
    still = s.std(1, correction=0) <= STILL * _rms(latent)
    s = torch.where(still[:, None], torch.zeros_like(s), s - s.mean(1, keepdim=True))
    power = torch.fft.rfft(s, dim=1).abs().square() / frames
    power[:, 1 : (frames + 1) // 2] *= 2.0
    return power.mean(0)


def _dominant(latent: Latent) -> dict[str, Tensor]:
    names = "dominant_frequency", "dominant_share"
    if latent.shape[1] < 2:
        return dict.fromkeys(names, undefined(latent))
    others = spectrum(latent)[1:]
    total, most = others.sum(), others.max()
    k = (others >= most * (1.0 - TIE)).to(torch.uint8).argmax()
    found = torch.stack([(k + 1).double() / latent.shape[1], others[k] / total])
    found = torch.where(total > 0, found, torch.full_like(found, torch.nan))
    none = torch.zeros_like(total)
    return {name: torch.stack([value, none]) for name, value in zip(names, found, strict=True)}
