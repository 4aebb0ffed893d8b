"""Maps from activations and gradients at one layer. Sums are in float64, channel by channel.

A are the activations (K, d0, d1, d2) and g their gradients; a map is (d0, d1, d2).

gradcam : w_k = mean g_k, M = ReLU(sum_k w_k A_k) (Selvaraju and others 2017, eq. 1 and 2)
gradcam++ : alpha = g^2 / (2 g^2 + (sum A) g^3) = 1 / (2 + (sum A) g), 0 where g is 0; w_k = sum alpha ReLU(g)
    (Chattopadhay and others 2018, arXiv 1710.11063, eq. 19, without any epsilon)
layercam : M = ReLU(sum_k ReLU(g_k) A_k) (Jiang and others 2021)
hirescam : M = ReLU(sum_k g_k A_k) (Draelos and Carin 2020, arXiv 2011.08891)
"""

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional

VANISHED = 1e-6
"""Of the mean size of a channel's gradients: a mean below that is rounding, and so are the weights."""


@dataclass(frozen=True)
class Cam:
    """A map at the layer's size, (d0, d1, d2) float32.

    Attributes
    ----------
    weight_ratio : the largest of the channels' abs(mean g) / mean abs(g); None where means are not used
    negative : gradcam++: share of denominators that are not above 0
    """

    values: Tensor
    weight_ratio: float | None = None
    negative: float | None = None


def cam(method: str, activations: Tensor, gradients: Tensor) -> Cam:
    """The map of `method` from activations and gradients, (K, d0, d1, d2) each.

    Memory: a few maps in float64.
    """
    return _CAMS[method](activations, gradients)


def _gradcam(activations: Tensor, gradients: Tensor) -> Cam:
    total = activations.new_zeros(activations.shape[1:], dtype=torch.float64)
    ratio = 0.0
    for a, g in zip(activations, gradients, strict=True):
        weight, size = g.double().mean(), g.double().abs().mean()
        ratio = max(ratio, float(weight.abs() / size) if size > 0 else 0.0)
        total += weight * a
    return Cam(total.relu().to(torch.float32), weight_ratio=ratio)


def _gradcam_plus_plus(activations: Tensor, gradients: Tensor) -> Cam:
    total = activations.new_zeros(activations.shape[1:], dtype=torch.float64)
    negative = 0
    for a, g in zip(activations, gradients, strict=True):
        slope = g.double()
        denominator = 2 + a.double().sum() * slope
        negative += int(((denominator <= 0) & (slope != 0)).sum())
        usable = (slope != 0) & (denominator != 0)
        alpha = torch.where(usable, 1 / torch.where(usable, denominator, torch.ones_like(denominator)), 0.0)
        total += (alpha * slope.relu()).sum() * a
    return Cam(total.relu().to(torch.float32), negative=negative / gradients.numel())


def _layercam(activations: Tensor, gradients: Tensor) -> Cam:
    return Cam(_products(activations, gradients, torch.relu))


def _hirescam(activations: Tensor, gradients: Tensor) -> Cam:
    return Cam(_products(activations, gradients, lambda g: g))


def _products(activations: Tensor, gradients: Tensor, change: Callable[[Tensor], Tensor]) -> Tensor:
    total = activations.new_zeros(activations.shape[1:], dtype=torch.float64)
    for a, g in zip(activations, gradients, strict=True):
        total += change(g.double()) * a
    return total.relu().to(torch.float32)


_CAMS: dict[str, Callable[[Tensor, Tensor], Cam]] = {
    "gradcam": _gradcam,
    "gradcam++": _gradcam_plus_plus,
    "layercam": _layercam,
    "hirescam": _hirescam,
}


def enlarged(values: Tensor, size: tuple[int, ...]) -> Tensor:
    """A map (d0, d1, d2) at the volume's size, trilinear between the centres of cells."""
    return functional.interpolate(values[None, None], size=size, mode="trilinear", align_corners=False)[0, 0]
