"""Whether a map says what the model looks at: deletion and insertion beside controls, and drawn weights.

Deletion replaces the voxels that a map ranks highest and asks the model again; insertion puts them back into a filled
volume (Petsiuk and others 2018). A map that is no better than a random order, or than an edge map, explains nothing.
Thresholds come from histograms, so nothing is sorted; voxels of one bin are taken in a seeded order. Maps at a layer's
size are ranked by cells, as they say nothing finer.
"""

from __future__ import annotations

import copy
import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from longtake.attribution.imputation import imputed
from longtake.attribution.measures import BINS, binned, histogram
from longtake.attribution.path import blurred
from longtake.models import VolumeModel
from longtake.streams import stream

STAGES = 6
"""Into how many parts the layers are put that are drawn anew one after the other, at most."""
Ask = Callable[[Tensor], Tensor]


def curves(
    ask: Ask,
    given: Tensor,
    ranks: np.ndarray,
    *,
    target: Callable[[Tensor], Tensor],
    index: int,
    steps: int,
    fill: str,
    seed: int,
    volume: str,
) -> Iterator[dict[str, Any]]:
    """Rows of a deletion and an insertion curve: the share of voxels, the target's score and its probability.

    Parameters
    ----------
    ask : volume (1, C, d0, d1, d2) -> scores (classes,)
    ranks : map (n0, n1, n2), at the layer's or the volume's size; the largest values go first
    target : scores -> the target's score
    index : of the target's class

    Memory: the volume three times; nine times where it is filled by noisy linear imputation.
    """
    counts = histogram(ranks)
    order = _Order(ranks, (counts.inside + counts.outside)[::-1].cumsum()[::-1], counts.low, counts.high, seed, volume)
    filled = None if fill == "noisy-linear" else filling(given, fill)
    for kind in ("deletion", "insertion"):
        for step in range(steps + 1):
            share = step / steps
            chosen = order.chosen(share, tuple(given.shape[2:]))
            base = filled if filled is not None else _interpolated(given, chosen, kind, seed, volume)
            asked = _mixed(given, base, chosen, kind)
            scores = ask(asked)
            del asked, base
            probability = probabilities(scores)[index]
            yield {
                "kind": kind,
                "step": step,
                "at": share,
                "value": float(target(scores)),
                "probability": probability,
            }


def probabilities(scores: Tensor) -> list[float]:
    """Softmax of class scores; the logistic of one score alone."""
    double = scores.detach().double()
    found = double.sigmoid() if len(double) == 1 else double.softmax(0)
    return [float(value) for value in found]


def area(rows: Sequence[dict[str, Any]], kind: str) -> float:
    """Area under a curve of probabilities, by trapezes."""
    found = [(row["at"], row["probability"]) for row in rows if row["kind"] == kind]
    return float(np.trapezoid([value for _, value in found], [at for at, _ in found]))


@dataclass(frozen=True)
class _Order:
    """Voxels in the order of a map; `above` counts those of each bin and all higher ones."""

    ranks: np.ndarray
    above: np.ndarray
    low: float
    high: float
    seed: int
    volume: str

    def chosen(self, share: float, size: tuple[int, ...]) -> Callable[[int], np.ndarray]:
        """Slice of the volume -> which voxels of it are among the `share` that the map ranks highest."""
        wanted = round(share * self.ranks.size)
        bin_ = int(np.searchsorted(-self.above, -wanted, side="right")) - 1
        bin_ = min(max(bin_, 0), BINS - 1)
        higher = int(self.above[bin_ + 1]) if bin_ + 1 < BINS else 0
        inside = int(self.above[bin_]) - higher
        part = (wanted - higher) / inside if inside else 0.0
        cells = [np.arange(length) * count // length for length, count in zip(size, self.ranks.shape, strict=True)]
        keep: dict[int, np.ndarray] = {}

        def plane(at: int) -> np.ndarray:
            cell = int(cells[0][at])
            if cell not in keep:
                keep.clear()
                found = binned(self.ranks[cell], self.low, self.high)
                ties = stream(self.seed, f"{self.volume}/{cell}", "order of ties").random(found.shape)
                keep[cell] = (found > bin_) | ((found == bin_) & (ties < part))
            return keep[cell][np.ix_(cells[1], cells[2])]

        return plane


def _mixed(given: Tensor, base: Tensor, chosen: Callable[[int], np.ndarray], kind: str) -> Tensor:
    """The volume with the chosen voxels filled (deletion), or the filling with them put back (insertion)."""
    start, other = (given, base) if kind == "deletion" else (base, given)
    made = start.expand_as(given).clone()
    source = other.expand_as(given)
    for at in range(given.shape[2]):
        where = torch.from_numpy(chosen(at)).to(given.device)
        made[0, :, at][:, where] = source[0, :, at][:, where]
    return made


def filling(given: Tensor, kind: str) -> Tensor:
    """What voxels are filled with: means over boxes around them, or one mean."""
    return blurred(given) if kind == "blur" else given.double().mean().to(given.dtype).reshape(1, 1, 1, 1, 1)


def _interpolated(given: Tensor, chosen: Callable[[int], np.ndarray], kind: str, seed: int, volume: str) -> Tensor:
    """The chosen voxels (deletion), or all others, imputed from those around them, with noise of a hundredth."""
    there = torch.empty((1, 1, *given.shape[2:]), dtype=torch.bool, device=given.device)
    for at in range(given.shape[2]):
        gone = torch.from_numpy(chosen(at)).to(given.device)
        there[0, 0, at] = ~gone if kind == "deletion" else gone
    made = imputed(given, there)
    spread = 0.01 * float(given.max() - given.min())
    for at in range(given.shape[2]):
        noise = stream(seed, f"{volume}/{at}", "filling").standard_normal(tuple(given.shape[3:]), np.float32)
        made[0, :, at] += torch.from_numpy(noise).to(given.device, given.dtype) * spread
    return made


def edges(given: Tensor) -> np.ndarray:
    """The size of the gradient of the intensities themselves, (d0, d1, d2) float32: a control that knows no model."""
    planes = given[0].float().mean(0).cpu().numpy()
    total = np.zeros(planes.shape, np.float32)
    for axis in range(3):
        if planes.shape[axis] > 1:
            total += np.square(np.gradient(planes, axis=axis))
    return np.sqrt(total, out=total)


def randomly(size: tuple[int, ...], seed: int, volume: str) -> np.ndarray:
    """A map of drawn numbers, the control that knows nothing."""
    made = np.empty(size, np.float32)
    for at in range(size[0]):
        made[at] = stream(seed, f"{volume}/{at}", "random order").random(size[1:], np.float32)
    return made


def cascade(model: VolumeModel, seed: int) -> Iterator[tuple[str, float, VolumeModel]]:
    """Models whose weights are drawn anew from the output on, more and more layers of them (Adebayo and others 2018).

    Yields the name of the first layer that was drawn, the share of layers, and the model; the original is not changed.
    Each weight is shuffled within itself, so that sizes stay what they were.
    """
    drawn = copy.deepcopy(model)
    layers = [name for name, part in drawn.module.named_modules() if any(True for _ in part.parameters(recurse=False))]
    layers.reverse()
    stops = sorted({math.ceil(len(layers) * (at + 1) / STAGES) for at in range(STAGES)})
    done = 0
    for stop in stops:
        for name in layers[done:stop]:
            _shuffle(drawn.module.get_submodule(name), seed, name)
        done = stop
        yield layers[stop - 1], stop / len(layers), drawn


def _shuffle(part: nn.Module, seed: int, name: str) -> None:
    with torch.no_grad():
        for key, weight in part.named_parameters(recurse=False):
            order = stream(seed, f"{name}.{key}", "drawn weights").permutation(weight.numel())
            weight.copy_(weight.flatten()[torch.from_numpy(order).to(weight.device)].view_as(weight))


def rank_correlation(one: np.ndarray, other: np.ndarray) -> float | None:
    """Spearman's of two maps of one size; None where one is constant."""
    from scipy.stats import rankdata

    if one.min() == one.max() or other.min() == other.max():
        return None
    a, b = (rankdata(values.ravel()).astype(np.float64) for values in (one, other))
    return float(np.corrcoef(a, b)[0, 1])
