"""Integrated Gradients (Sundararajan, Taly and Yan 2017), one point of the path at a time.

IG = (x - b) * integral over a in [0, 1] of dS/dx at b + a (x - b), by Gauss-Legendre. By their completeness the values
add up to S(x) - S(b); how far they are off is the error of the quadrature, and stored. The weighted sum of gradients is
kept by `longtake.attribution.running`.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from torch import Tensor
from torch.nn import functional

from longtake.attribution.running import accumulated

BLUR = 15
"""Edge of the box, in voxels, whose mean is the baseline `blur`."""


@dataclass(frozen=True)
class Integrated:
    """Integrated Gradients, and how they add up.

    Attributes
    ----------
    values : (d0, d1, d2) float32, summed over channels
    total : their sum, in float64
    difference : S(x) - S(b)
    """

    values: np.ndarray
    total: float
    difference: float

    @property
    def gap(self) -> float:
        """How far the sum is off the difference of scores, as a part of it."""
        return abs(self.total - self.difference) / max(abs(self.difference), 1e-30)


def baseline_of(given: Tensor, kind: str | float) -> Tensor:
    """Where the path begins: of the shape of `given` (1, C, d0, d1, d2), or one number (1, 1, 1, 1, 1)."""
    if kind == "blur":
        return blurred(given)
    if kind == "mean":
        number = given.double().mean().to(given.dtype)
    elif kind == "min":
        number = given.min()
    else:
        number = given.new_tensor(0.0 if kind == "zero" else float(kind))
    return number.reshape(1, 1, 1, 1, 1)


def blurred(given: Tensor, edge: int = BLUR) -> Tensor:
    """Means over boxes of `edge` voxels, axis by axis; at the border over those inside."""
    for axis in (2, 3, 4):
        length = min(edge, (given.shape[axis] - 1) // 2 * 2 + 1)
        size = [length if at == axis else 1 for at in (2, 3, 4)]
        padding = [each // 2 for each in size]
        given = functional.avg_pool3d(given, size, stride=1, padding=padding, count_include_pad=False)
    return given


def integrated(
    gradient: Callable[[Tensor], Tensor],
    given: Tensor,
    baseline: Tensor,
    difference: float,
    *,
    steps: int,
    folder: Path,
    key: str,
    told: Callable[[int, int], None] | None = None,
) -> Integrated:
    """Integrated Gradients of `given` (1, C, d0, d1, d2).

    Parameters
    ----------
    gradient : point of the path -> gradient there
    difference : S(given) - S(baseline)
    folder, key, told : see `accumulated`

    Memory: a point of the path and its gradient; the map.
    """
    points, weights = np.polynomial.legendre.leggauss(steps)

    def at(number: int) -> Tensor:
        share = float((points[number] + 1) / 2)
        return gradient((given * share).add_(baseline * (1 - share)))

    def added(number: int, value: np.ndarray, held: Sequence[np.ndarray] | None) -> Sequence[np.ndarray]:
        part = value * (weights[number - 1] / 2)
        return [part if held is None else held[0] + part]

    sums = accumulated(
        at, added, shape=tuple(given.shape[1:]), arrays=1, count=steps, folder=folder, key=key, told=told
    )
    values, whole = np.empty(tuple(given.shape[2:]), np.float32), 0.0
    for index, (mean,) in enumerate(sums.slices()):
        start = baseline[0, :, index if baseline.shape[2] > 1 else 0]
        part = ((given[0, :, index] - start).double().cpu().numpy() * mean).sum(0)
        whole += float(part.sum())
        values[index] = part
    return Integrated(values, whole, difference)
