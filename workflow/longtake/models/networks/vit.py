"""An image transformer looks at every frame, and a recurrent network or a second transformer at their order."""

from __future__ import annotations

import math
from typing import Any

import torch
from torch import Tensor, nn

from longtake.models.networks.layers import KeyedDropout

TINY: dict[str, int] = {
    "hidden_size": 192,
    "num_hidden_layers": 6,
    "num_attention_heads": 3,
    "intermediate_size": 384,
    "patch_size": 16,
}
"""A ViT from random weights where no folder is given: 2 M parameters, small enough for a few hundred videos."""


class _FrameTransformer(nn.Module):
    """ViT (Dosovitskiy et al. 2021; `transformers.ViTModel`) on each frame by itself: its class token."""

    def __init__(self, backbone: dict[str, Any], size: int) -> None:
        super().__init__()
        from transformers import ViTConfig, ViTModel

        config = ViTConfig(
            **{
                **backbone,
                "image_size": size,
                "hidden_dropout_prob": 0.0,
                "attention_probs_dropout_prob": 0.0,
                "attn_implementation": "eager",
            }
        )
        self.features = int(config.hidden_size)
        self.vit = ViTModel(config, add_pooling_layer=False)

    def encode(self, frames: Tensor) -> Tensor:
        """Frames (n, 3, H, W), normalised -> features (n, features), each frame by itself."""
        return self.vit(pixel_values=frames).last_hidden_state[:, 0]

    def head(self, features: Tensor) -> Tensor:
        """Features (B, T, features) -> logits (B, classes)."""
        raise NotImplementedError

    def forward(self, clips: Tensor) -> Tensor:
        """Clips (B, T, 3, H, W), normalised -> logits (B, classes)."""
        features = self.encode(clips.flatten(0, 1))
        return self.head(features.unflatten(0, clips.shape[:2]))


class VitGru(_FrameTransformer):
    """ViT and a bidirectional gated recurrent unit (Cho et al. 2014) over the frames' class tokens."""

    def __init__(
        self, classes: int, backbone: dict[str, Any], size: int, hidden: int = 128, dropout: float = 0.3
    ) -> None:
        super().__init__(backbone, size)
        self.gru = nn.GRU(self.features, hidden, batch_first=True, bidirectional=True)
        self.dropout = KeyedDropout(dropout)
        self.proj = nn.Linear(2 * hidden, classes)

    def head(self, features: Tensor) -> Tensor:
        """Features (B, T, features) -> logits (B, classes), from the mean of the recurrent states."""
        states, _ = self.gru(features)
        return self.proj(self.dropout(states.mean(1)))


class VitTransformer(_FrameTransformer):
    """ViT and a transformer over the frames' class tokens, with sine positions of any length."""

    def __init__(
        self,
        classes: int,
        backbone: dict[str, Any],
        size: int,
        *,
        layers: int = 2,
        heads: int = 4,
        dropout: float = 0.3,
    ) -> None:
        super().__init__(backbone, size)
        self.norm = nn.LayerNorm(self.features)
        # Dropout inside would be drawn by execution order; the keyed one before the projection is what there is.
        layer = nn.TransformerEncoderLayer(
            self.features, heads, 2 * self.features, dropout=0.0, batch_first=True, norm_first=True
        )
        self.transformer = nn.TransformerEncoder(layer, layers, enable_nested_tensor=False)
        self.dropout = KeyedDropout(dropout)
        self.proj = nn.Linear(self.features, classes)

    def head(self, features: Tensor) -> Tensor:
        """Features (B, T, features) -> logits (B, classes), from the mean over frames."""
        positions = _sine(features.shape[1], self.features).to(features)
        return self.proj(self.dropout(self.transformer(self.norm(features) + positions).mean(1)))


def _sine(length: int, width: int) -> Tensor:
    """Positions (length, width) as sines and cosines (Vaswani et al. 2017, section 3.5)."""
    rates = torch.exp(torch.arange(0, width, 2) * (-math.log(10_000.0) / width))
    angles = torch.arange(length)[:, None] * rates
    return torch.stack([angles.sin(), angles.cos()], 2).flatten(1)[:, :width]
