"""Products of all latents with each other, streamed over blocks of their elements: exact, in memory of a block.

What trajectories and comparisons of videos need of latents of D elements are T x T or N x N products. They add up over
blocks of elements in float64, so no latent is ever held whole and none is projected or sampled.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

import numpy as np
import torch
from numpy.typing import NDArray

from longtake.latents.bounds import BLOCK_BYTES
from longtake.latents.readers import Stored, check_unchanged, read_block
from longtake.latents.threads import one_thread

Array = NDArray[np.float64]


def gram(
    latents: Sequence[Stored], make: Callable[[Array], Array] = lambda block: block, *, device: str = "cpu"
) -> Array:
    """Sum over elements of the products of each two rows, [n, n] float64.

    Parameters
    ----------
    latents
        N latents of D elements each, made ready by `longtake.latents.readers.seekable`.
    make
        What is done to a block [N, elements] before: differences of steps, or nothing.

    Memory: a block and its copy, 64 MiB, and the result.

    Raises
    ------
    LatentError
        A file was changed during the run.
    """
    if not latents:
        return np.zeros((0, 0))
    elements = math.prod(latents[0].header.shape)
    wide = max(1, BLOCK_BYTES // (8 * len(latents)))
    total: torch.Tensor | None = None
    for latent in latents:
        check_unchanged(latent)
    with one_thread(), torch.inference_mode():
        for start in range(0, elements, wide):
            stop = min(start + wide, elements)
            block = np.empty((len(latents), stop - start))
            for row, latent in zip(block, latents, strict=True):
                row[:] = read_block(latent, start, stop)
            rows = torch.from_numpy(make(block)).to(device)
            part = rows @ rows.T
            total = part if total is None else total.add_(part)
    for latent in latents:
        check_unchanged(latent)
    found: Array = np.zeros((0, 0)) if total is None else total.cpu().numpy()
    # Both triangles are the same sums, in an order that a library chooses.
    return np.tril(found) + np.tril(found, -1).T


def squared_distances(products: Array) -> Array:
    """Squared distance of each two rows from their products; what is rounding alone is exactly 0."""
    norms = np.diag(products)
    scale = norms[:, None] + norms[None, :]
    squared = scale - 2.0 * products
    squared[squared <= 1e-13 * scale] = 0.0
    np.fill_diagonal(squared, 0.0)
    return squared


def centred(products: Array) -> Array:
    """Products of the rows less their mean."""
    means = products.mean(0)
    found: Array = products - means[:, None] - means[None, :] + products.mean()
    return found
