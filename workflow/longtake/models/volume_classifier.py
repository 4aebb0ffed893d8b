"""A small classifier of volumes with group norms: the demo's, and a plain example."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import save_file
from torch import Tensor, nn

from longtake.errors import ModelError
from longtake.models.weights import SAFETENSORS, read_weights
from longtake.store.atomic import atomic_path, write_json

MODEL_TYPE = "longtake_volume_classifier"


class VolumeNetwork(nn.Module):
    """Means over `pool` voxels a side, convolutions with group norm and ReLU, two of stride 2 first, a linear layer.

    (1, 1, d0, d1, d2) -> (1, classes).
    """

    def __init__(self, widths: Sequence[int], classes: int, pool: int = 1) -> None:
        super().__init__()
        given = 1
        layers: list[nn.Module] = [nn.AvgPool3d(pool)] if pool > 1 else []
        for number, width in enumerate(widths):
            stride = 2 if number < 2 else 1
            # Behind the last one no norm takes away how much was found, which the mean is to count.
            last = number == len(widths) - 1
            convolution = nn.Conv3d(given, width, 3, stride, 1, bias=last)
            norm = [] if last else [nn.GroupNorm(4, width)]
            layers.append(nn.Sequential(convolution, *norm, nn.ReLU(inplace=True)))
            given = width
        self.layers = nn.Sequential(*layers)
        self.out = nn.Linear(given, classes)

    def forward(self, x: Tensor) -> Tensor:
        """Scores (1, classes)."""
        return self.out(self.layers(x).mean((2, 3, 4)))


class VolumeClassifier:
    """The network as a `longtake.models.VolumeModel`."""

    def __init__(self, module: VolumeNetwork, config: dict[str, Any]) -> None:
        self.module = module
        self.class_names = tuple(config["class_names"])
        self.mean, self.std = float(config["mean"]), float(config["std"])

    def prepare(self, volume: Tensor, /) -> Tensor:
        """(C, d0, d1, d2) -> (1, C, d0, d1, d2), standardised."""
        return (volume[None].float() - self.mean) / self.std

    def scores(self, x: Tensor, /) -> Tensor:
        """Scores (classes,)."""
        return self.module(x)[0]


def load_volume_classifier(folder: Path, device: torch.device) -> VolumeClassifier:
    """Load a folder with config.json and weights.

    Raises
    ------
    ModelError : a file is missing, or they do not fit each other.
    """
    path = folder / "config.json"
    try:
        config = json.loads(path.read_text(encoding="utf-8"))
        if config.get("model_type") != MODEL_TYPE:
            raise ModelError(
                f"{path}: model_type is {config.get('model_type')!r}, and only {MODEL_TYPE} is read from folders. "
                "Bring any other model in as module:factory (docs/volumes.md)."
            )
        module = VolumeNetwork(config["widths"], len(config["class_names"]), config.get("pool", 1))
        module.load_state_dict(read_weights(folder))
        return VolumeClassifier(module.to(device).eval(), config)
    except (OSError, ValueError, KeyError, TypeError, AttributeError, RuntimeError) as error:
        raise ModelError(f"{folder} is no model that can be loaded ({error}). Copy the whole folder again.") from error


def save_volume_classifier(module: VolumeNetwork, folder: Path, config: dict[str, Any]) -> None:
    """Write config.json and the weights."""
    folder.mkdir(parents=True, exist_ok=True)
    with atomic_path(folder / SAFETENSORS) as temporary:
        save_file({name: value.contiguous().cpu() for name, value in module.state_dict().items()}, temporary)
    write_json(folder / "config.json", {**config, "model_type": MODEL_TYPE})
