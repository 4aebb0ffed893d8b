"""Information: entropies of values in bins, in bits, with the correction of Miller and Madow (1955).

A value's code is floor((x - mu) / sigma * bins / (2 span) + bins / 2), cut to 0 .. bins - 1, with mean and standard
deviation of its channel; with 32 bins over 4 standard deviations to each side: floor(z * 4 + 16).
"""

from __future__ import annotations

from itertools import combinations

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from longtake.latents.metrics.latent import Choices, Latent, average, undefined
from longtake.latents.metrics.plain import Plain, entropy, mean_of_defined

Array = NDArray[np.float64]
# A value that lies on the edge of a bin but for rounding belongs above it, whoever computed the mean.
_EDGE = 1e-9


def reference(x: Array, choices: Choices) -> dict[str, Plain]:
    """Plain float64 metrics of a latent [C, F, H, W], one histogram at a time."""
    bins = choices.bins
    codes = [codes_reference(channel, choices) for channel in x]
    shared: list[float | None] = []
    for a, b in combinations(codes, 2):
        if a is None or b is None:
            shared.append(None)
            continue
        joint = _joint(a, b, bins)
        shared.append(entropy(joint.sum(1)) + entropy(joint.sum(0)) - entropy(joint))
    dense = [
        None if of_channel is None else entropy(np.bincount(of_channel[f].ravel(), minlength=bins).astype(float))
        for of_channel in codes
        for f in range(x.shape[1])
    ]
    known = [of_channel for of_channel in codes if of_channel is not None]
    given: Plain = (None, len(codes) - len(known))
    if known and x.shape[1] > 1:
        follows = np.zeros((bins, bins))
        for of_channel in known:
            for f in range(x.shape[1] - 1):
                follows += _joint(of_channel[f], of_channel[f + 1], bins)
        given = entropy(follows) - entropy(follows.sum(1)), len(codes) - len(known)
    return {
        "mutual_information": mean_of_defined(shared),
        "conditional_entropy": given,
        "information_density": mean_of_defined(dense),
    }


def codes_reference(channel: Array, choices: Choices) -> NDArray[np.int64] | None:
    """Codes of the values of a channel; None if it is constant."""
    if channel.min() == channel.max():
        return None
    z = (channel - channel.mean()) / channel.std()
    code = np.floor(z * (choices.bins / (2.0 * choices.span)) + choices.bins / 2.0 + _EDGE)
    return np.clip(code, 0, choices.bins - 1).astype(np.int64)


def _joint(a: NDArray[np.int64], b: NDArray[np.int64], bins: int) -> Array:
    """How often each pair of codes stands at the same place."""
    joint = np.zeros((bins, bins))
    np.add.at(joint, (a.ravel(), b.ravel()), 1.0)
    return joint


def codes(latent: Latent) -> Tensor:
    """[C, F, H * W] int16 codes, any two of which make one number of 16 bits; of constant channels without meaning."""
    choices = latent.choices
    z = latent.standardised(choices.bins / (2.0 * choices.span), choices.bins / 2.0 + _EDGE)
    # What becomes an integer is cut to it, which is its floor where none is negative.
    return z.clamp_(0, choices.bins - 1).to(torch.int16).flatten(2)


def batched(latent: Latent) -> dict[str, Tensor]:
    """The same by counting joint codes a * bins + b: narrow integers, since counting is bound by reading them."""
    channels, frames, _, _ = latent.shape
    bins = latent.choices.bins
    code, varies = codes(latent), ~latent.constant_channel
    first = torch.arange(0, channels * frames * bins, bins, dtype=torch.int32, device=code.device)
    of_maps = _count(first[:, None] + code.flatten(0, 1), channels * frames * bins).view(channels, frames, bins)
    found = {"information_density": average(_entropies(of_maps), varies[:, None].expand(channels, frames))}
    scaled = code * bins
    if channels < 2:
        found["mutual_information"] = undefined(latent)
    else:
        flat, other = scaled.flatten(1), code.flatten(1)
        alone = _entropies(of_maps.sum(1))
        a, b = torch.triu_indices(channels, channels, 1).tolist()
        pair = torch.empty_like(flat[0])
        joint = [_count(torch.add(flat[i], other[j], out=pair), bins * bins) for i, j in zip(a, b, strict=True)]
        found["mutual_information"] = average(
            alone[a] + alone[b] - _entropies(torch.stack(joint)), varies[a] & varies[b]
        )
    if frames < 2:
        return found | {"conditional_entropy": undefined(latent, int(latent.constant_channel.sum()))}
    if not bool(varies.all()):
        code, scaled = code[varies], scaled[varies]
    follows = _count(scaled[:, :-1] + code[:, 1:], bins * bins)
    given = _entropies(follows) - _entropies(follows.view(bins, bins).sum(1))
    return found | {"conditional_entropy": torch.stack([given, (~varies).sum().double()])}


def _count(numbers: Tensor, n: int) -> Tensor:
    """[n] int64, how often each number below `n` stands in a tensor."""
    return torch.bincount(numbers.flatten(), minlength=n)


def _entropies(counts: Tensor) -> Tensor:
    """Entropy in bits of histograms along the last axis; NaN for one without an entry."""
    n = counts.sum(-1, dtype=torch.float64)
    bits = torch.special.entr(counts / n[..., None]).sum(-1)
    return (bits + ((counts > 0).sum(-1) - 1) / (2.0 * n)) / np.log(2.0)
