"""Residual stages of 3-D networks, under the parameter names of pytorchvideo's published weights."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor, nn

from longtake.models.networks.layers import make_norm


class Stem(nn.Module):
    """Convolution, norm, ReLU, and a maximum pool where `pool` is set."""

    def __init__(self, conv: nn.Module, channels: int, norm: str, *, pool: bool) -> None:
        super().__init__()
        self.conv = conv
        self.norm = make_norm(norm, channels)
        self.pool = nn.MaxPool3d((1, 3, 3), (1, 2, 2), (0, 1, 1)) if pool else nn.Identity()

    def forward(self, x: Tensor) -> Tensor:
        """(B, 3, T, H, W) -> (B, channels, T, h, w)."""
        return self.pool(torch.relu(self.norm(self.conv(x))))


class Bottleneck(nn.Module):
    """1x1x1 (or 3x1x1), 1x3x3, 1x1x1 (He et al. 2016, with time in the first convolution as in SlowFast)."""

    def __init__(self, before: int, inner: int, after: int, stride: int, *, time: int, norm: str) -> None:
        super().__init__()
        self.conv_a = nn.Conv3d(before, inner, (time, 1, 1), padding=(time // 2, 0, 0), bias=False)
        self.norm_a = make_norm(norm, inner)
        self.conv_b = nn.Conv3d(inner, inner, (1, 3, 3), (1, stride, stride), (0, 1, 1), bias=False)
        self.norm_b = make_norm(norm, inner)
        self.conv_c = nn.Conv3d(inner, after, 1, bias=False)
        self.norm_c = make_norm(norm, after)

    def forward(self, x: Tensor) -> Tensor:
        x = torch.relu(self.norm_a(self.conv_a(x)))
        x = torch.relu(self.norm_b(self.conv_b(x)))
        return self.norm_c(self.conv_c(x))


class ResBlock(nn.Module):
    """ReLU(shortcut(x) + branch2(x)); the shortcut is a convolution where size or width change.

    `normed`: whether the shortcut's convolution is followed by a norm; X3D leaves it out where only the size changes.
    """

    def __init__(
        self, branch2: nn.Module, before: int, after: int, stride: int, norm: str, *, normed: bool = True
    ) -> None:
        super().__init__()
        self.branch1_conv: nn.Module | None = None
        self.branch1_norm: nn.Module | None = None
        if before != after or stride > 1:
            self.branch1_conv = nn.Conv3d(before, after, 1, (1, stride, stride), bias=False)
            self.branch1_norm = make_norm(norm, after) if normed else None
        self.branch2 = branch2

    def forward(self, x: Tensor) -> Tensor:
        short = x if self.branch1_conv is None else self.branch1_conv(x)
        short = short if self.branch1_norm is None else self.branch1_norm(short)
        return torch.relu(short + self.branch2(x))


class Stage(nn.Module):
    """Residual blocks one after the other; `make(number)` builds each."""

    def __init__(self, depth: int, make: Callable[[int], nn.Module]) -> None:
        super().__init__()
        self.res_blocks = nn.ModuleList(make(number) for number in range(depth))

    def forward(self, x: Tensor) -> Tensor:
        for block in self.res_blocks:
            x = block(x)
        return x
