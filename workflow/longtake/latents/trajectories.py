"""The way of a video's latents over the denoising steps, from the products of its steps' differences.

With z_0 .. z_(T-1) in order of step and v_t = z_(t+1) - z_t, all lengths and angles are functions of the products of
the v_t. Their sum, the way from first to last, goes with them: were it added up from products, a way that ends where it
began would be 1e-8 long. Lengths are divided by the root of the number of elements: latents of any size compare.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from longtake.latents.grams import centred, gram
from longtake.latents.names import TRAJECTORY
from longtake.latents.readers import Stored, seekable
from longtake.latents.threads import one_thread_of_all

Array = NDArray[np.float64]
# A way that ends where it began has no end to measure by.
_CLOSED = 1e-9


@dataclass(frozen=True)
class Trajectory:
    """What is known of a way; None and NaN where undefined.

    Attributes
    ----------
    scalars : by the names of `longtake.latents.names.TRAJECTORY`
    curves : by name, [T] of motion from each latent to the next, the turn at the next, and the distance to the last
    """

    scalars: dict[str, float | None]
    curves: dict[str, Array]


def follow(
    latents: Sequence[Stored],
    steps: Sequence[int],
    sigmas: Sequence[float | None],
    scratch: Path,
    *,
    device: str = "cpu",
) -> Trajectory:
    """Follow a video's latents, given in order of step. Memory: 64 MiB, whatever their size and number."""
    with seekable(latents, scratch) as ready:
        elements = int(np.prod(ready[0].header.shape))
        products = gram(ready, moves, device=device) / elements
    with one_thread_of_all():
        return describe(products, steps, sigmas)


def moves(latents: Array) -> Array:
    """[T, elements] differences of latents [T, elements] in order, and last what they add up to."""
    return np.concatenate([np.diff(latents, axis=0), latents[-1:] - latents[:1]])


def describe(products: Array, steps: Sequence[int], sigmas: Sequence[float | None] | None = None) -> Trajectory:
    """A way from the products [T, T] of its `moves`, divided by the number of elements."""
    t, whole = len(steps), products
    products = whole[:-1, :-1]
    nothing = np.full(t, np.nan)
    names = ("speed", "speed_sigma", "acceleration", "turning_angle", "curvature", "endpoint_alignment")
    curves = {name: nothing.copy() for name in (*names, "distance_to_final")}
    scalars: dict[str, float | None] = dict.fromkeys(TRAJECTORY)
    curves["distance_to_final"][-1:] = 0.0
    if t < 2:
        return Trajectory(scalars, curves)
    speed = _root(np.diag(products))
    curves["speed"][:-1] = speed
    # The last k differences add up to the distance from the end.
    tails = products[::-1, ::-1].cumsum(0).cumsum(1)[::-1, ::-1]
    left = _root(np.diag(tails))
    left[0] = np.sqrt(whole[-1, -1])
    curves["distance_to_final"][:-1] = left
    per_sigma = speed / _changes(sigmas, t)
    curves["speed_sigma"][:-1] = per_sigma
    scalars |= {"length": float(speed.sum()), "speed_mean": float(speed.mean()), "endpoint_distance": float(left[0])}
    scalars["speed_sigma"] = _mean(per_sigma)
    if t > 2:
        _turns(products, speed, curves)
        if left[0] > _CLOSED * speed.sum():
            with np.errstate(invalid="ignore", divide="ignore"):
                curves["endpoint_alignment"][:-1] = whole[:-1, -1] / (speed * left[0])
        scalars |= {name: _mean(curves[name]) for name in names[2:]}
        scalars |= _shape(products, speed, left, steps)
    return Trajectory(scalars, curves)


def _turns(products: Array, speed: Array, curves: dict[str, Array]) -> None:
    """Fill in what two differences in a row tell, at the first of their three latents."""
    beside = np.diag(products, 1)
    a, b = speed[:-1], speed[1:]
    curves["acceleration"][:-2] = _root(a**2 + b**2 - 2.0 * beside, scale=a**2 + b**2)
    with np.errstate(invalid="ignore", divide="ignore"):
        cosine = np.clip(beside / (a * b), -1.0, 1.0)
        curves["turning_angle"][:-2] = np.arccos(cosine)
        across = _root(a**2 + b**2 + 2.0 * beside, scale=a**2 + b**2)
        curvature = 2.0 * np.sqrt(1.0 - cosine**2) / across
        curves["curvature"][:-2] = np.where(across > 0, curvature, np.nan)


def _shape(products: Array, speed: Array, left: Array, steps: Sequence[int]) -> dict[str, float | None]:
    found: dict[str, float | None] = {}
    if speed.mean() > 0:
        found["speed_cv"] = float(speed.std() / speed.mean())
    if left[0] > _CLOSED * speed.sum():
        found["tortuosity"] = float(speed.sum() / left[0])
        half = _half_life(np.append(left, 0.0), np.asarray(steps, dtype=np.float64))
        found |= {"half_life": half, "half_life_fraction": half / (steps[-1] - steps[0])}
    # Latent t is the sum of the first t differences, from the first latent on.
    places = np.tri(len(steps), len(steps) - 1, -1)
    spread = np.clip(np.linalg.eigvalsh(centred(places @ products @ places.T))[::-1], 0.0, None)
    if spread.sum() > 0:
        shares = spread / spread.sum()
        found |= {"pc1_share": float(shares[0]), "pc3_share": float(shares[:3].sum())}
        found["participation_ratio"] = float(1.0 / (shares**2).sum())
    return found


def _half_life(left: Array, steps: Array) -> float:
    """Steps until the distance to the end is first half of what it was, between two latents by a straight line."""
    after = int(np.argmax(left <= left[0] / 2.0))
    share = (left[after - 1] - left[0] / 2.0) / (left[after - 1] - left[after])
    return float(steps[after - 1] + share * (steps[after] - steps[after - 1]) - steps[0])


def _changes(sigmas: Sequence[float | None] | None, t: int) -> Array:
    """[T - 1] size of the change of sigma; NaN where it is not known, or does not change."""
    known = np.array([np.nan if sigma is None else sigma for sigma in sigmas or [None] * t], dtype=np.float64)
    change = np.abs(np.diff(known))
    return np.where(change > 0, change, np.nan)


def _root(squared: Array, scale: Array | float = 0.0) -> Array:
    """Root of what is a square but for rounding."""
    found: Array = np.sqrt(np.where(squared <= 1e-14 * np.asarray(scale), 0.0, np.maximum(squared, 0.0)))
    return found


def _mean(values: Array) -> float | None:
    known = values[~np.isnan(values)]
    return float(known.mean()) if known.size else None
