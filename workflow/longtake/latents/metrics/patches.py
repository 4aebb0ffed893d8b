"""Patches: squares of pixels from the top left, a remainder dropped; how they vary, and how far they lie apart."""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from longtake.latents.metrics.latent import Choices, Latent, average, undefined
from longtake.latents.metrics.plain import Plain, mean_of_defined

Array = NDArray[np.float64]


def reference(x: Array, choices: Choices) -> dict[str, Plain]:
    """Plain float64 metrics of a latent [C, F, H, W], map by map and pair by pair."""
    found: dict[str, Plain] = {}
    for size in choices.patch_sizes:
        variances: list[float | None] = []
        distances: list[float | None] = []
        for m in x.reshape(-1, *x.shape[2:]):
            patches = _cut(m, size)
            variances.append(float(np.mean([patch.var() for patch in patches])) if patches else None)
            stacked = np.array(patches)
            apart = [
                np.sqrt(((stacked[n + 1 :] - patch) ** 2).sum((1, 2))) / size for n, patch in enumerate(stacked[:-1])
            ]
            distances.append(float(np.concatenate(apart).mean()) if apart else None)
        found[f"patch{size}_variance"] = mean_of_defined(variances)
        found[f"patch{size}_distinctiveness"] = mean_of_defined(distances)
    return found


def _cut(m: Array, size: int) -> list[Array]:
    rows, columns = m.shape[0] // size, m.shape[1] // size
    return [m[i * size : i * size + size, j * size : j * size + size] for i in range(rows) for j in range(columns)]


def batched(latent: Latent) -> dict[str, Tensor]:
    """The same of all maps, in float32 of centred maps.

    Distances come from differences (``torch.pdist``), not from products: equal patches lie exactly 0 apart.
    """
    found: dict[str, Tensor] = {}
    single = latent.centred.flatten(0, 1).float()
    for size in latent.choices.patch_sizes:
        names = f"patch{size}_variance", f"patch{size}_distinctiveness"
        if min(single.shape[1:]) < size:
            found |= dict.fromkeys(names, undefined(latent, len(single)))
            continue
        patches = single.unfold(1, size, size).unfold(2, size, size).flatten(1, 2).flatten(2).contiguous()
        found[names[0]] = average(patches.var(2, correction=0).mean(1, dtype=torch.float64))
        pairs = patches.shape[1] * (patches.shape[1] - 1) // 2
        if not pairs:
            found[names[1]] = undefined(latent, len(single))
            continue
        sums = torch.stack([torch.pdist(of_map).sum() for of_map in patches]).double()
        found[names[1]] = average(sums / (pairs * size))
    return found
