"""The video model of benchmarks/tight.py: a small vision transformer on each frame, and attention over frames."""

from __future__ import annotations

import torch
from torch import nn
from torch.nn import functional

WIDTH, HEADS, DEPTH, PATCH, PIXELS, FRAMES = 192, 3, 40, 16, 384, 31


class Attention(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.project = nn.Linear(WIDTH, 3 * WIDTH)
        self.out = nn.Linear(WIDTH, WIDTH)

    def forward(self, tokens: torch.Tensor) -> torch.Tensor:
        parts = self.project(tokens).unflatten(-1, (3, HEADS, -1)).permute(2, 0, 3, 1, 4)
        return self.out(functional.scaled_dot_product_attention(*parts).transpose(1, 2).flatten(2))


class Layer(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.before_attention, self.attention = nn.LayerNorm(WIDTH), Attention()
        self.before_perceptron = nn.LayerNorm(WIDTH)
        self.perceptron = nn.Sequential(nn.Linear(WIDTH, 4 * WIDTH), nn.GELU(), nn.Linear(4 * WIDTH, WIDTH))

    def forward(self, tokens: torch.Tensor) -> torch.Tensor:
        tokens = tokens + self.attention(self.before_attention(tokens))
        return tokens + self.perceptron(self.before_perceptron(tokens))


class Video(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.patches = nn.Conv2d(3, WIDTH, PATCH, stride=PATCH)
        self.places = nn.Parameter(torch.randn(1, (PIXELS // PATCH) ** 2, WIDTH) / 10)
        self.layers = nn.Sequential(*[Layer() for _ in range(DEPTH)])
        self.moments = nn.Parameter(torch.randn(1, FRAMES, WIDTH) / 10)
        self.time = Layer()
        self.scores = nn.Linear(WIDTH, 5)


class Model:
    """The model; see docs/models.md."""

    class_names = ("a", "b", "c", "d", "e")
    n_frames = FRAMES

    def __init__(self, device: torch.device) -> None:
        torch.manual_seed(0)
        self.module = Video().eval().to(device)

    def input_size(self, _height: int, _width: int) -> tuple[int, int]:
        return PIXELS, PIXELS

    def encode(self, frames: torch.Tensor) -> torch.Tensor:
        tokens = self.module.patches(2 * frames - 1).flatten(2).transpose(1, 2)
        return self.module.layers(tokens + self.module.places).mean(1)

    def head(self, features: torch.Tensor) -> torch.Tensor:
        return self.module.scores(self.module.time(features[None] + self.module.moments)[0].mean(0))

    def scores(self, frames: torch.Tensor) -> torch.Tensor:
        return self.head(self.encode(frames))
