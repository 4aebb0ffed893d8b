"""SlowFast R50 8x8 (Feichtenhofer et al. 2019), with the parameter names of pytorchvideo's published weights.

34.566 M parameters and 662 state entries with 400 classes and stored batch statistics. Pooling is adaptive, so any size
and any multiple of four frames will do.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from longtake.models.networks.layers import KeyedDropout, channels_first, make_norm
from longtake.models.networks.resnet3d import Bottleneck, ResBlock, Stage, Stem

ALPHA, BETA_INVERSE, FUSION = 4, 8, 2
"""The fast pathway sees four times the frames with an eighth of the channels; fusion doubles what it hands over."""
_DEPTHS = (3, 4, 6, 3)
_SLOW_TIME = (1, 1, 3, 3)


class SlowFast(nn.Module):
    """Two pathways over one clip, joined from fast to slow after the stem and the first three stages."""

    def __init__(self, classes: int, norm: str = "group", dropout: float = 0.5) -> None:
        super().__init__()
        slow_stem = nn.Conv3d(3, 64, (1, 7, 7), (1, 2, 2), (0, 3, 3), bias=False)
        fast_stem = nn.Conv3d(3, 8, (5, 7, 7), (1, 2, 2), (2, 3, 3), bias=False)
        stems: list[nn.Module] = [Stem(slow_stem, 64, norm, pool=True), Stem(fast_stem, 8, norm, pool=True)]
        blocks: list[nn.Module] = [_Pathways(stems, _Fusion(8, norm))]
        slow, fast = 64, 8
        for number, depth in enumerate(_DEPTHS):
            wide = 256 * 2**number
            stage: list[nn.Module] = [
                _stage(depth, slow + fast * FUSION, wide, number, time=_SLOW_TIME[number], norm=norm),
                _stage(depth, fast, wide // BETA_INVERSE, number, time=3, norm=norm),
            ]
            slow, fast = wide, wide // BETA_INVERSE
            blocks.append(_Pathways(stage, _Fusion(fast, norm) if number < len(_DEPTHS) - 1 else None))
        self.blocks = nn.ModuleList([*blocks, nn.Identity(), _Head(slow + fast, classes, dropout)])

    def forward(self, clips: Tensor) -> Tensor:
        """Clips (B, T, 3, H, W), normalised, T a multiple of 4 -> logits (B, classes)."""
        fast = channels_first(clips)
        # Every fourth frame, evenly over the clip from its first to its last, as the published model was trained.
        places = torch.linspace(0, fast.shape[2] - 1, fast.shape[2] // ALPHA, device=fast.device).long()
        paths = [fast.index_select(2, places), fast]
        for block in self.blocks[:-2]:
            paths = block(paths)
        return self.blocks[-1](torch.cat([path.mean((2, 3, 4)) for path in paths], 1))


class _Pathways(nn.Module):
    def __init__(self, blocks: list[nn.Module], fusion: nn.Module | None) -> None:
        super().__init__()
        self.multipathway_blocks = nn.ModuleList(blocks)
        self.multipathway_fusion = fusion

    def forward(self, paths: list[Tensor]) -> list[Tensor]:
        slow, fast = (block(path) for block, path in zip(self.multipathway_blocks, paths, strict=True))
        if self.multipathway_fusion is not None:
            slow = torch.cat([slow, self.multipathway_fusion(fast)], 1)
        return [slow, fast]


class _Fusion(nn.Module):
    """The fast pathway at the slow one's rate: a convolution over seven frames with stride `ALPHA`."""

    def __init__(self, channels: int, norm: str) -> None:
        super().__init__()
        self.conv_fast_to_slow = nn.Conv3d(channels, channels * FUSION, (7, 1, 1), (ALPHA, 1, 1), (3, 0, 0), bias=False)
        self.norm = make_norm(norm, channels * FUSION)

    def forward(self, x: Tensor) -> Tensor:
        return torch.relu(self.norm(self.conv_fast_to_slow(x)))


class _Head(nn.Module):
    def __init__(self, features: int, classes: int, dropout: float) -> None:
        super().__init__()
        self.dropout = KeyedDropout(dropout)
        self.proj = nn.Linear(features, classes)

    def forward(self, x: Tensor) -> Tensor:
        return self.proj(self.dropout(x))


def _stage(depth: int, before: int, after: int, number: int, *, time: int, norm: str) -> Stage:
    def make(place: int) -> nn.Module:
        stride = 2 if place == 0 and number > 0 else 1
        first = before if place == 0 else after
        return ResBlock(Bottleneck(first, after // 4, after, stride, time=time, norm=norm), first, after, stride, norm)

    return Stage(depth, make)
