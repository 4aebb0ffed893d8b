"""A model that computes in half precision, where there is no memory for more. Its numbers are others."""

import torch
from torch import Tensor

from longtake.models.protocols import ClipModel, SplitModel


class Rounded:
    """A model whose network runs by autocast in bfloat16, over weights in float32; what it returns is float32.

    What it keeps for the backward pass is mostly of half the size. `precision` tells who compares its numbers how much
    they are rounded.
    """

    precision = torch.bfloat16

    def __init__(self, model: ClipModel) -> None:
        self.exact = model
        self.module, self.class_names, self.n_frames = model.module, model.class_names, model.n_frames

    def input_size(self, height: int, width: int) -> tuple[int, int]:
        """As the exact one's."""
        return self.exact.input_size(height, width)

    def scores(self, frames: Tensor) -> Tensor:
        """As the exact one's, rounded."""
        with torch.autocast(frames.device.type, torch.bfloat16):
            return self.exact.scores(frames).float()


class RoundedSplit(Rounded):
    """The same of one that splits."""

    exact: SplitModel

    def encode(self, frames: Tensor) -> Tensor:
        """As the exact one's, rounded."""
        with torch.autocast(frames.device.type, torch.bfloat16):
            return self.exact.encode(frames).float()

    def head(self, features: Tensor) -> Tensor:
        """As the exact one's, rounded."""
        with torch.autocast(features.device.type, torch.bfloat16):
            return self.exact.head(features).float()


def rounded(model: ClipModel) -> Rounded:
    """Let a model's network compute in bfloat16."""
    return RoundedSplit(model) if isinstance(model, SplitModel) else Rounded(model)
