"""What the networks share: norms that do not depend on the batch, and dropout that does not depend on it either."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn

from longtake.errors import ConfigError

NORMS = ("group", "frozen")
_GROUP_CHANNELS = 8


class FrozenBatchNorm3d(nn.BatchNorm3d):
    """Batch norm that always uses its stored statistics, also in training; weight and bias are trained.

    With statistics of the batch, a clip's gradient depends on its company: the gradient of an effective batch by
    micro-batches is then another one (measured: 44 to 99 % off), and checkpointing counts every batch twice.
    """

    def train(self, mode: bool = True) -> FrozenBatchNorm3d:  # noqa: ARG002 (nothing of it is switched)
        """Stay in evaluation mode."""
        return super().train(False)


def make_norm(kind: str, channels: int) -> nn.Module:
    """Return a norm over `channels` of activations (B, C, T, H, W).

    Parameters
    ----------
    kind
        ``group``: groups of eight channels (Wu & He 2018), for networks that begin at random weights. ``frozen``: batch
        norm with stored statistics, under the parameter names of published weights.
    """
    if kind == "frozen":
        return FrozenBatchNorm3d(channels)
    if kind != "group":
        raise ConfigError(
            f"training.norm is {kind!r}. Give one of {', '.join(NORMS)}; batch norm in training mode makes "
            "a clip's gradient depend on the other clips of its micro-batch."
        )
    groups = max(1, channels // _GROUP_CHANNELS)
    return nn.GroupNorm(groups if channels % groups == 0 else 1, channels)


class KeyedDropout(nn.Module):
    """Dropout whose mask belongs to the clip: drawn by the clip's seed and the layer's place, not by execution order.

    So micro-batches, checkpointing and resuming leave the masks alone. In training the seeds must be given by `keyed`.
    """

    def __init__(self, p: float) -> None:
        super().__init__()
        self.p = p
        self.place = 0
        self.seeds: tuple[int, ...] | None = None

    def forward(self, x: Tensor) -> Tensor:
        """Scale what is kept of x (B, ...) by 1 / (1 - p); the identity in evaluation."""
        if not self.training or self.p == 0:
            return x
        if self.seeds is None or len(self.seeds) != len(x):
            raise ConfigError(
                "dropout in training needs one seed a clip; call the network inside `keyed(network, seeds)`."
            )
        rows = []
        for seed in self.seeds:
            generator = torch.Generator().manual_seed((seed + 0x9E3779B9 * self.place) % 2**63)
            rows.append(torch.rand(x.shape[1:], generator=generator) >= self.p)
        # Drawn on the CPU, so that masks are the same on every device.
        return x * (torch.stack(rows).to(x.device, x.dtype) / (1 - self.p))


@contextmanager
def keyed(network: nn.Module, seeds: tuple[int, ...]) -> Iterator[None]:
    """Give the dropout layers of `network` the seeds of the clips of one micro-batch."""
    layers = [module for module in network.modules() if isinstance(module, KeyedDropout)]
    for place, layer in enumerate(layers):
        layer.place, layer.seeds = place, seeds
    try:
        yield
    finally:
        for layer in layers:
            layer.seeds = None


def channels_first(clips: Tensor) -> Tensor:
    """Clips (B, T, 3, H, W) as 3-D convolutions take them, (B, 3, T, H, W)."""
    return clips.transpose(1, 2)


def initialise(module: nn.Module, generator: torch.Generator) -> None:
    """Draw the weights of convolutions and linear layers by He et al. (2015), in the order of their names.

    From a generator and not from PyTorch's global state, so that a network begins the same wherever it is built.
    """
    for _, part in sorted(module.named_modules()):
        if isinstance(part, nn.Conv1d | nn.Conv2d | nn.Conv3d):
            fan_out = part.out_channels * part.weight[0, 0].numel() // part.groups
            _normal(part.weight, (2 / max(fan_out, 1)) ** 0.5, generator)
        elif isinstance(part, nn.Linear):
            _normal(part.weight, 0.01, generator)
        else:
            continue
        if part.bias is not None:
            nn.init.zeros_(part.bias)


def _normal(weight: Any, std: float, generator: torch.Generator) -> None:
    with torch.no_grad():
        weight.copy_(torch.empty(weight.shape).normal_(0, std, generator=generator))
