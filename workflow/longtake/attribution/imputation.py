"""Voxels that were taken away, filled in so that their place is no edge to the model: noisy linear imputation.

Each missing voxel is the mean of its six neighbours, missing ones included, which makes one sparse linear system; a
little noise comes on top (Rong and others 2022, section 4.3, there in two dimensions). The system is symmetric and is
solved by conjugate gradients without writing it down.
"""

from __future__ import annotations

import torch
from torch import Tensor

TOLERANCE = 1e-3
"""At which share of the first residual the solution is near enough, since noise of a hundredth comes on top."""
MOST_STEPS = 500


def imputed(given: Tensor, there: Tensor) -> Tensor:
    """Fill what is missing of a volume by its neighbours.

    Parameters
    ----------
    given : volume (1, C, d0, d1, d2) float32
    there : (1, 1, d0, d1, d2) bool, True where the volume's own values count

    Returns
    -------
    (1, C, d0, d1, d2), `given` where it is there; its mean where nothing is. Memory: the volume six times, besides.
    """
    mean = (given * there).sum(dtype=torch.float64) / (there.sum() * given.shape[1]).clamp(min=1)
    start = torch.where(there, given, mean.to(given.dtype) if there.any() else given.mean())
    missing = ~there
    degree = _around(torch.ones_like(there, dtype=given.dtype))

    def system(values: Tensor) -> Tensor:
        return (degree * values - _around(values)) * missing

    solution = start * missing
    residual = _around(given * there) * missing - system(solution)
    direction = residual.clone()
    size = first = _dot(residual, residual)
    for _ in range(MOST_STEPS):
        if float(size) <= TOLERANCE**2 * float(first) or float(size) == 0:
            break
        applied = system(direction)
        along = _dot(direction, applied)
        if float(along) <= 0:  # nothing is there: every constant solves it
            break
        step = size / along
        solution += step * direction
        residual -= step * applied
        before, size = size, _dot(residual, residual)
        direction = residual + (size / before) * direction
    return torch.where(there, given, solution)


def _around(values: Tensor) -> Tensor:
    """The sum of the face neighbours of each voxel; beyond the edge there are none."""
    total = torch.zeros_like(values)
    for axis in (2, 3, 4):
        length = values.shape[axis] - 1
        total.narrow(axis, 1, length).add_(values.narrow(axis, 0, length))
        total.narrow(axis, 0, length).add_(values.narrow(axis, 1, length))
    return total


def _dot(one: Tensor, other: Tensor) -> Tensor:
    return (one * other).sum(dtype=torch.float64).to(one.dtype)
