"""A small 3-D convolutional network, for few videos and for machines without a GPU."""

from __future__ import annotations

from itertools import pairwise

import torch
from torch import Tensor, nn
from torch.nn import functional

from longtake.models.networks.layers import KeyedDropout, channels_first, make_norm

_WIDTHS = (16, 32, 64, 96)


class SmallCnn(nn.Module):
    """Four factorised convolutions (space, then time; Tran et al. 2018), pooled over space and time.

    About 0.15 M parameters. Strides are in space only until the last block, so short clips keep their frames.
    """

    def __init__(self, classes: int, norm: str = "group", dropout: float = 0.3) -> None:
        super().__init__()
        # Six channels: the frame, and what changed since the frame before, which few videos could not teach it to see.
        widths = (6, *_WIDTHS)
        self.blocks = nn.ModuleList(
            _Block(before, after, 1 if number < len(_WIDTHS) - 1 else 2, norm)
            for number, (before, after) in enumerate(pairwise(widths))
        )
        self.dropout = KeyedDropout(dropout)
        # Mean and mean square over space and time: how much of a thing there is, and whether it is anywhere strong. A
        # maximum would say the latter too, but rounding picks it, and gradients would jump with the micro-batch.
        self.proj = nn.Linear(2 * _WIDTHS[-1], classes)

    def forward(self, clips: Tensor) -> Tensor:
        """Clips (B, T, 3, H, W), normalised -> logits (B, classes)."""
        x = channels_first(clips)
        x = torch.cat([x, torch.diff(x, dim=2, prepend=x[:, :, :1])], 1)
        for block in self.blocks:
            x = block(x)
        pooled = torch.cat([x.mean((2, 3, 4)), x.square().mean((2, 3, 4))], 1)
        return self.proj(self.dropout(pooled))


class _Block(nn.Module):
    def __init__(self, before: int, after: int, time_stride: int, norm: str) -> None:
        super().__init__()
        self.space = nn.Conv3d(before, after, (1, 3, 3), (1, 2, 2), (0, 1, 1), bias=False)
        self.time = nn.Conv3d(after, after, (3, 1, 1), (time_stride, 1, 1), (1, 0, 0), bias=False)
        self.norm_space, self.norm_time = make_norm(norm, after), make_norm(norm, after)

    def forward(self, x: Tensor) -> Tensor:
        # Smooth, so that another micro-batch moves gradients by rounding and flips no gate (1e-6 and not 6e-4).
        x = functional.gelu(self.norm_space(self.space(x)))
        return functional.gelu(self.norm_time(self.time(x)))
