"""One latent on its device, with what several families need of it, made once.

One latent is the unit of arithmetic, never a batch of them: so the numbers of a latent depend on nothing but itself.
Everything is float64 but for the distances of patches: a pass over 1.6 million numbers takes milliseconds, and a mean
of 1e3 would leave float32 with no digits of a correlation.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from longtake.errors import LatentError
from longtake.latents.metrics.plane import FLOOR, plane

# A share of the sum of squares below which a variance may be rounding alone; what is so small is looked at exactly.
SUSPECT = 1e-10


@dataclass(frozen=True)
class Choices:
    """What the settings say of how metrics are computed; see `longtake.latents.options`."""

    edge_threshold: float = 0.93
    bins: int = 32
    span: float = 4.0
    patch_sizes: tuple[int, ...] = (4, 8, 16)
    scale: str = "none"


@dataclass(frozen=True)
class Latent:
    """A latent on its device.

    Attributes
    ----------
    values : [C, F, H, W] float64, finite
    mean : [C, F] float64, of each map (a channel's frame)
    centred : [C, F, H, W] float64, values less their map's mean; exactly 0 in a constant map
    constant : [C, F] bool, whether the least value of a map is its largest
    choices : how metrics are computed
    """

    values: Tensor
    mean: Tensor
    centred: Tensor
    constant: Tensor
    choices: Choices

    @property
    def shape(self) -> tuple[int, int, int, int]:
        """Channels, frames, rows, columns."""
        channels, frames, rows, columns = self.values.shape
        return channels, frames, rows, columns

    @cached_property
    def squares(self) -> Tensor:
        """[C, F] sum of the squares of `centred`."""
        flat = self.centred.flatten(2)
        return torch.linalg.vector_norm(flat, dim=-1).square()

    @cached_property
    def channel_mean(self) -> Tensor:
        """[C] mean over frames and pixels."""
        return self.mean.mean(1)

    @cached_property
    def channel_variance(self) -> Tensor:
        """[C] population variance over frames and pixels; exactly 0 where a channel is constant."""
        _, frames, rows, columns = self.shape
        between = (self.mean - self.channel_mean[:, None]).square().sum(1) / frames
        variance = self.squares.sum(1) / (frames * rows * columns) + between
        return torch.where(self.constant_channel, torch.zeros_like(variance), variance)

    @cached_property
    def constant_channel(self) -> Tensor:
        """[C] bool, whether a channel has one value throughout."""
        first = self.values[:, :, 0, 0]
        return self.constant.all(1) & (first == first[:, :1]).all(1)

    def standardised(self, times: float, plus: float = 0.0) -> Tensor:
        """[C, F, H, W] values less their channel's mean, by its standard deviation, `times` and `plus` what is asked.

        In one pass over the centred maps; `plus` in constant channels.
        """
        sd = torch.where(self.constant_channel, torch.ones_like(self.channel_mean), self.channel_variance.sqrt())
        off = torch.where(
            self.constant_channel[:, None], torch.zeros_like(self.mean), self.mean - self.channel_mean[:, None]
        )
        scale = times / sd[:, None]
        return torch.addcmul((off * scale + plus)[..., None, None], self.centred, scale[..., None, None])

    @cached_property
    def grams_of_frames(self) -> Tensor:
        """[C, F, F] products of the centred maps of a channel."""
        flat = self.centred.flatten(2)
        return flat @ flat.transpose(1, 2)

    @cached_property
    def grams_of_channels(self) -> Tensor:
        """[F, C, C] products of the centred maps of a frame."""
        flat = self.centred.flatten(2).transpose(0, 1)
        return flat @ flat.transpose(1, 2)

    @cached_property
    def power(self) -> Tensor:
        """[C, cells] power of windowed maps on half the plane, mean over frames; 0 for channels of constant maps."""
        _, frames, rows, columns = self.shape
        hann, weights, _ = (part.to(self.values.device) for part in plane(rows, columns))
        spectra = torch.view_as_real(torch.fft.rfft2(self.centred * hann))
        power = spectra.square_().sum(1).sum(-1).flatten(1) / frames
        mean = (power @ weights) / weights.sum()
        return torch.maximum(power, FLOOR * mean[:, None])


def prepare(values: NDArray[np.floating], choices: Choices, device: str = "cpu", name: str = "the latent") -> Latent:
    """Bring a latent [C, F, H, W] to `device`, and compute its maps' means.

    Memory: three times the latent in float64.

    Raises
    ------
    LatentError
        A value is NaN or infinite; `name` and the first such index are said.
    """
    x = torch.from_numpy(values).to(device).double()
    mean = x.mean((2, 3))
    if not bool(torch.isfinite(mean).all()) and not bool(torch.isfinite(x).all()):
        first = torch.nonzero(~torch.isfinite(x))[0].tolist()
        raise LatentError(
            f"{name} holds {x[tuple(first)].item()} at {first} (channel, frame, row, column), first of "
            f"{int((~torch.isfinite(x)).sum())}. Save it in float32 if float16 overflowed, or leave the video out."
        )
    if choices.scale == "rms":
        rms = torch.linalg.vector_norm(x) / x.numel() ** 0.5
        x = x / torch.where(rms > 0, rms, torch.ones_like(rms))
        mean = x.mean((2, 3))
    centred = x - mean[:, :, None, None]
    latent = Latent(x, mean, centred, constant_maps(x, centred), choices)
    if bool(latent.constant.any()):
        centred[latent.constant] = 0.0
        mean[latent.constant] = x[:, :, 0, 0][latent.constant]
    return latent


def constant_maps(values: Tensor, centred: Tensor) -> Tensor:
    """[C, F] bool, whether a map's least value is its largest; looked at only where the variance is as good as 0."""
    norms = torch.linalg.vector_norm(values.flatten(2), dim=-1), torch.linalg.vector_norm(centred.flatten(2), dim=-1)
    constant = norms[1].square() <= SUSPECT * norms[0].square()
    if bool(constant.any()):
        maps = values[constant].flatten(1)
        constant[constant.clone()] = maps.amin(1) == maps.amax(1)
    return constant


def average(values: Tensor, defined: Tensor | None = None) -> Tensor:
    """Mean of the defined `values`, NaN if there is none, and how many were left out: [2] float64."""
    if defined is None:
        defined = torch.ones_like(values, dtype=torch.bool)
    n = defined.sum()
    total = torch.where(defined, values, torch.zeros_like(values)).sum()
    return torch.stack([total / n, (defined.numel() - n).double()])


def undefined(latent: Latent, left_out: int = 0) -> Tensor:
    """What a metric is that the latent's shape does not allow."""
    return torch.tensor([torch.nan, float(left_out)], dtype=torch.float64, device=latent.values.device)


def entropy_bits(shares: Tensor, dim: int = -1) -> Tensor:
    """Entropy in bits of shares that add up to 1 along `dim`."""
    return torch.special.entr(shares).sum(dim) / np.log(2.0)
