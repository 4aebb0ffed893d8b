"""X3D-M (Feichtenhofer 2020), with the parameter names of pytorchvideo's published weights.

3.794 M parameters and 563 state entries with 400 classes and stored batch statistics. Pooling is adaptive.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional

from longtake.models.networks.layers import KeyedDropout, channels_first, make_norm
from longtake.models.networks.resnet3d import ResBlock, Stage, Stem

_DEPTHS = (3, 5, 11, 7)
_STEM, _WIDENING, _HEAD, _FEATURES = 24, 2.25, 432, 2048
_SE_RATIO, _DIVISOR = 0.0625, 8


class X3d(nn.Module):
    """Depthwise 3-D bottlenecks with squeeze-excite in every other block."""

    def __init__(self, classes: int, norm: str = "group", dropout: float = 0.5) -> None:
        super().__init__()
        blocks: list[nn.Module] = [Stem(_StemConv(), _STEM, norm, pool=False)]
        before = _STEM
        for number, depth in enumerate(_DEPTHS):
            after = _STEM * 2**number
            blocks.append(_stage(depth, before, after, norm))
            before = after
        self.blocks = nn.ModuleList([*blocks, _Head(before, classes, norm, dropout)])

    def forward(self, clips: Tensor) -> Tensor:
        """Clips (B, T, 3, H, W), normalised -> logits (B, classes)."""
        x = channels_first(clips)
        for block in self.blocks:
            x = block(x)
        return x


class _StemConv(nn.Module):
    """Space, then time; published weights call the first `conv_t` and the second `conv_xy`."""

    def __init__(self) -> None:
        super().__init__()
        self.conv_t = nn.Conv3d(3, _STEM, (1, 3, 3), (1, 2, 2), (0, 1, 1), bias=False)
        self.conv_xy = nn.Conv3d(_STEM, _STEM, (5, 1, 1), 1, (2, 0, 0), bias=False, groups=_STEM)

    def forward(self, x: Tensor) -> Tensor:
        return self.conv_xy(self.conv_t(x))


class _Bottleneck(nn.Module):
    def __init__(self, before: int, inner: int, after: int, stride: int, norm: str, *, excite: bool) -> None:
        super().__init__()
        self.conv_a = nn.Conv3d(before, inner, 1, bias=False)
        self.norm_a = make_norm(norm, inner)
        self.conv_b = nn.Conv3d(inner, inner, 3, (1, stride, stride), 1, bias=False, groups=inner)
        self.norm_b = nn.Sequential(make_norm(norm, inner), _SqueezeExcite(inner) if excite else nn.Identity())
        self.conv_c = nn.Conv3d(inner, after, 1, bias=False)
        self.norm_c = make_norm(norm, after)

    def forward(self, x: Tensor) -> Tensor:
        x = torch.relu(self.norm_a(self.conv_a(x)))
        x = functional.silu(self.norm_b(self.conv_b(x)))
        return self.norm_c(self.conv_c(x))


class _SqueezeExcite(nn.Module):
    """Channels weighted by what the whole clip holds of them (Hu et al. 2018)."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        reduced = _round_width(channels * _SE_RATIO)
        self.block = nn.Sequential(
            nn.Conv3d(channels, reduced, 1), nn.ReLU(), nn.Conv3d(reduced, channels, 1), nn.Sigmoid()
        )

    def forward(self, x: Tensor) -> Tensor:
        return x * self.block(x.mean((2, 3, 4), keepdim=True))


class _Pool(nn.Module):
    def __init__(self, before: int, norm: str) -> None:
        super().__init__()
        self.pre_conv = nn.Conv3d(before, _HEAD, 1, bias=False)
        self.pre_norm = make_norm(norm, _HEAD)
        self.post_conv = nn.Conv3d(_HEAD, _FEATURES, 1, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        x = torch.relu(self.pre_norm(self.pre_conv(x)))
        return torch.relu(self.post_conv(x.mean((2, 3, 4), keepdim=True)))


class _Head(nn.Module):
    def __init__(self, before: int, classes: int, norm: str, dropout: float) -> None:
        super().__init__()
        self.pool = _Pool(before, norm)
        self.dropout = KeyedDropout(dropout)
        self.proj = nn.Linear(_FEATURES, classes)

    def forward(self, x: Tensor) -> Tensor:
        return self.proj(self.dropout(self.pool(x).flatten(1)))


def _stage(depth: int, before: int, after: int, norm: str) -> Stage:
    inner = int(after * _WIDENING)

    def make(place: int) -> nn.Module:
        first, stride = (before, 2) if place == 0 else (after, 1)
        branch2 = _Bottleneck(first, inner, after, stride, norm, excite=place % 2 == 0)
        return ResBlock(branch2, first, after, stride, norm, normed=first != after)

    return Stage(depth, make)


def _round_width(width: float) -> int:
    """The nearest multiple of eight, at least eight, and never a tenth less than asked (the published rule)."""
    rounded = max(_DIVISOR, int(width + _DIVISOR / 2) // _DIVISOR * _DIVISOR)
    return rounded + _DIVISOR if rounded < 0.9 * width else rounded
