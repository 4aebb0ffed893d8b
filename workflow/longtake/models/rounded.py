"""A model that computes in half precision, where there is no memory for more. Its numbers are others."""

import torch
from torch import Tensor

from longtake.models.adapter import Adapter, SplitAdapter


class Rounded:
    """An adapter whose network runs by autocast in bfloat16, over weights in float32; what it returns is float32.

    What it keeps for the backward pass is mostly of half the size.
    """

    def __init__(self, adapter: Adapter) -> None:
        self.adapter = adapter
        self.module, self.class_names, self.n_frames = adapter.module, adapter.class_names, adapter.n_frames

    def input_size(self, height: int, width: int) -> tuple[int, int]:
        """As the adapter's own."""
        return self.adapter.input_size(height, width)

    def scores(self, frames: Tensor) -> Tensor:
        """As the adapter's own, rounded."""
        with torch.autocast(frames.device.type, torch.bfloat16):
            return self.adapter.scores(frames).float()


class RoundedSplit(Rounded):
    """The same of one that splits."""

    adapter: SplitAdapter

    def encode(self, frames: Tensor) -> Tensor:
        """As the adapter's own, rounded."""
        with torch.autocast(frames.device.type, torch.bfloat16):
            return self.adapter.encode(frames).float()

    def head(self, features: Tensor) -> Tensor:
        """As the adapter's own, rounded."""
        with torch.autocast(features.device.type, torch.bfloat16):
            return self.adapter.head(features).float()


def rounded(adapter: Adapter) -> Rounded:
    """Let an adapter's network compute in bfloat16."""
    return RoundedSplit(adapter) if isinstance(adapter, SplitAdapter) else Rounded(adapter)
