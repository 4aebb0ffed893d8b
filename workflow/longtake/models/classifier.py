"""A small video classifier: convolutions frame by frame, then convolution and attention over frames.

A frame's features say what is in it (convolutional responses, pooled over the places that a few learned glances look
at) and where it is (the mean place of several more glances, to fractions of a pixel), so that the head sees how the
animal moves: two species of one shape can be told apart by motion alone. Normalisation is by group and by layer, never
by batch, so that a frame's features depend on that frame and nothing else; `longtake.bounded.split` needs that.
"""

from dataclasses import asdict, dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.functional import adaptive_avg_pool2d, scaled_dot_product_attention

from longtake.models.normalisation import Normalisation

MODEL_TYPE = "longtake_clip_classifier"
PLACE_GAIN = 4.0
"""Places lie in [-1, 1] and change by little between frames; responses have variance 1."""


@dataclass(frozen=True)
class ClassifierConfig:
    """Shape of the network; stored as config.json.

    Attributes
    ----------
    class_names : in the order of the scores
    n_frames : frames in a clip
    size : height and width of the input in pixels
    channels : of the five convolutions, the first four of stride 2
    places : glances after the third convolution, of which the mean place is a feature; the first is trained to be where
        the animal in question is
    glances : glances after the fifth convolution, over which responses are pooled
    width, depth, heads : of the transformer over frames
    mean, std : normalisation of RGB in [0, 1]
    """

    class_names: tuple[str, ...]
    n_frames: int = 31
    size: int = 64
    channels: tuple[int, int, int, int, int] = (16, 32, 64, 96, 96)
    places: int = 16
    glances: int = 4
    width: int = 128
    depth: int = 2
    heads: int = 4
    mean: tuple[float, float, float] = (0.5, 0.5, 0.5)
    std: tuple[float, float, float] = (0.25, 0.25, 0.25)


class Glances(nn.Module):
    """Weights over the places of a grid (n, channels, side, side), several sets of them, each of sum 1.

    Where a glance goes depends on the responses and on the place itself: the animal in question is in the middle.
    """

    def __init__(self, channels: int, n_glances: int, side: int) -> None:
        super().__init__()
        self.logits = nn.Conv2d(channels, n_glances, 1)
        self.prior = nn.Parameter(torch.zeros(n_glances, side, side))

    def forward(self, responses: Tensor) -> Tensor:
        """(n, channels, side, side) -> weights (n, n_glances, side, side)."""
        logits = self.logits(responses) + self.prior
        return logits.flatten(2).softmax(2).view_as(logits)


def mean_place(weights: Tensor) -> Tensor:
    """Weights (n, k, side, side) -> mean column of each, then mean row of each, in [-1, 1]: (n, 2 k)."""
    along = torch.linspace(-1, 1, weights.shape[-1], dtype=weights.dtype, device=weights.device)
    return torch.cat([weights.sum(2) @ along, weights.sum(3) @ along], dim=1)


class Block(nn.Module):
    """Pre-norm transformer block over the frames of a batch of clips (B, T, width)."""

    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        self.heads = heads
        self.norm_attention = nn.LayerNorm(width)
        self.query_key_value = nn.Linear(width, 3 * width)
        self.out = nn.Linear(width, width)
        self.norm_feed = nn.LayerNorm(width)
        self.feed = nn.Sequential(nn.Linear(width, 2 * width), nn.GELU(), nn.Linear(2 * width, width))

    def forward(self, tokens: Tensor) -> Tensor:
        """(B, T, width) -> (B, T, width)."""
        batch, length, width = tokens.shape
        projected = self.query_key_value(self.norm_attention(tokens))
        query, key, value = projected.view(batch, length, 3, self.heads, -1).permute(2, 0, 3, 1, 4)
        mixed = scaled_dot_product_attention(query, key, value).transpose(1, 2).reshape(batch, length, width)
        tokens = tokens + self.out(mixed)
        return tokens + self.feed(self.norm_feed(tokens))


class ClipClassifier(nn.Module):
    """Frames of clips (B, T, 3, size, size) in [0, 1] -> class scores (B, classes)."""

    mean: Tensor
    std: Tensor

    def __init__(self, config: ClassifierConfig) -> None:
        super().__init__()
        self.config = config
        layers: list[nn.Module] = []
        before = 3
        for channels, stride in zip(config.channels, (2, 2, 2, 2, 1), strict=True):
            layers += [nn.Conv2d(before, channels, 3, stride, padding=1), nn.GroupNorm(8, channels), nn.GELU()]
            before = channels
        self.to_fine, self.to_coarse = nn.Sequential(*layers[:9]), nn.Sequential(*layers[9:])
        self.places = Glances(config.channels[2], config.places, -(-config.size // 8))
        self.glances = Glances(config.channels[4], config.glances, -(-config.size // 16))
        n_responses = (config.glances + 2) * config.channels[4]
        self.norm_responses = nn.LayerNorm(n_responses)
        self.project = nn.Conv1d(n_responses + 2 * config.places, config.width, 3, padding=1, padding_mode="replicate")
        self.position = nn.Parameter(torch.zeros(config.n_frames, config.width))
        self.blocks = nn.Sequential(*(Block(config.width, config.heads) for _ in range(config.depth)))
        self.norm = nn.LayerNorm(config.width)
        self.classify = nn.Linear(config.width, len(config.class_names))
        self.register_buffer("mean", torch.tensor(config.mean).view(3, 1, 1))
        self.register_buffer("std", torch.tensor(config.std).view(3, 1, 1))
        nn.init.normal_(self.position, std=0.02)

    def encode(self, frames: Tensor) -> Tensor:
        """Frames (n, 3, size, size) -> features (n, (glances + 2) * channels[4] + 2 * places)."""
        fine = self.to_fine((frames - self.mean) / self.std)
        coarse = self.to_coarse(fine)
        places = self.places(fine)
        # The first place is that of the animal in question, so what is seen there is a glance of its own.
        there = adaptive_avg_pool2d(places[:, :1], coarse.shape[-2:]) * (fine.shape[-1] / coarse.shape[-1]) ** 2
        looked = torch.einsum("nkhw,nchw->nkc", torch.cat([there, self.glances(coarse)], dim=1), coarse)
        responses = torch.cat([looked.flatten(1), coarse.amax((2, 3))], dim=1)
        return torch.cat([self.norm_responses(responses), PLACE_GAIN * mean_place(places)], dim=1)

    def animal_place(self, features: Tensor) -> Tensor:
        """Column and row in [-1, 1] of the animal in question (..., 2), from features (..., F)."""
        places = features[..., -2 * self.config.places :] / PLACE_GAIN
        return places[..., [0, self.config.places]]

    def head(self, features: Tensor) -> Tensor:
        """Features of clips (B, T, F) with T <= n_frames -> class scores (B, classes)."""
        steps = self.project(features.transpose(1, 2)).transpose(1, 2)
        tokens = self.blocks(steps + self.position[: features.shape[1]])
        scores: Tensor = self.classify(self.norm(tokens).mean(1))
        return scores

    def forward(self, clips: Tensor) -> Tensor:
        """Clips (B, T, 3, size, size) -> class scores (B, classes)."""
        return self.head(self.encode(clips.flatten(0, 1)).unflatten(0, clips.shape[:2]))


class ClipClassifierModel:
    """`SplitModel` of a `ClipClassifier`, for one clip at a time."""

    def __init__(self, module: ClipClassifier) -> None:
        self.module: nn.Module = module
        self.network = module
        self.class_names = module.config.class_names
        self.n_frames: int | None = module.config.n_frames
        self.normalisation = Normalisation(module.config.mean, module.config.std, source="config.json")

    def input_size(self, height: int, width: int) -> tuple[int, int]:  # noqa: ARG002 (one size for all)
        """The network's fixed square."""
        return self.network.config.size, self.network.config.size

    def encode(self, frames: Tensor) -> Tensor:
        """Frames (n, 3, size, size) in [0, 1] -> features (n, F)."""
        return self.network.encode(frames)

    def head(self, features: Tensor) -> Tensor:
        """Features (T, F) -> class scores (classes,)."""
        return self.network.head(features[None])[0]

    def scores(self, frames: Tensor) -> Tensor:
        """Frames (T, 3, size, size) in [0, 1] -> class scores (classes,)."""
        return self.head(self.encode(frames))


def config_to_json(config: ClassifierConfig) -> dict[str, Any]:
    """The content of config.json."""
    return {"model_type": MODEL_TYPE, **asdict(config)}


def config_from_json(values: dict[str, Any]) -> ClassifierConfig:
    """The opposite of `config_to_json`; raises TypeError for unknown or missing keys."""
    rest: dict[str, Any] = {key: tuple(value) if isinstance(value, list) else value for key, value in values.items()}
    rest.pop("model_type", None)
    return ClassifierConfig(**rest)
