"""Networks by name: built from random or given weights, saved as a folder, and loaded from one as a clip model."""

from __future__ import annotations

import hashlib
import os
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import save_file
from torch import Tensor, nn

from longtake.errors import ConfigError, ModelError, nearest
from longtake.model_config import check_size
from longtake.models.networks.layers import NORMS, initialise
from longtake.models.networks.slowfast import ALPHA, SlowFast
from longtake.models.networks.small_cnn import SmallCnn
from longtake.models.networks.vit import TINY, VitGru, VitTransformer
from longtake.models.networks.weights import load_backbone, load_published
from longtake.models.networks.x3d import X3d
from longtake.models.normalisation import Normalisation
from longtake.models.weights import SAFETENSORS, numbers_of, read_weights
from longtake.store.atomic import atomic_path, write_json

MODEL_TYPE = "longtake_clip_network"
NETWORKS = ("small_cnn", "vit_gru", "vit_transformer", "slowfast", "x3d")
_KINETICS = Normalisation((0.45, 0.45, 0.45), (0.225, 0.225, 0.225), source="as SlowFast's authors document")
_HALF = Normalisation((0.5, 0.5, 0.5), (0.5, 0.5, 0.5), source="as ViT's authors document")


@dataclass(frozen=True)
class NetworkConfig:
    """What a network is built from; `config.json` of a trained fold.

    Attributes
    ----------
    network : one of `NETWORKS`
    class_names : in the order of the logits
    frames, size : length and side in pixels of the clips it is trained on
    norm : ``group`` or ``frozen`` (`longtake.models.networks.layers.make_norm`)
    dropout : share of features dropped before the last layer in training
    backbone : settings of the ViT, where there is one
    mean, std : of the normalisation of pixels in [0, 1]
    """

    network: str
    class_names: tuple[str, ...]
    frames: int
    size: int
    norm: str = "group"
    dropout: float = 0.3
    backbone: dict[str, Any] = field(default_factory=dict)
    mean: tuple[float, float, float] = _KINETICS.mean
    std: tuple[float, float, float] = _KINETICS.std

    def __post_init__(self) -> None:
        if self.network not in NETWORKS:
            raise ConfigError(
                f"{self.network!r} is no network.{nearest(self.network, NETWORKS)} There are: {', '.join(NETWORKS)}."
            )
        if self.norm not in NORMS:
            raise ConfigError(f"norm is {self.norm!r}; give one of {', '.join(NORMS)}.")
        if self.network == "slowfast" and self.frames % ALPHA:
            raise ConfigError(
                f"slowfast looks at every {ALPHA}th frame with its slow pathway, so frames must be a multiple of "
                f"{ALPHA}, not {self.frames}. Set training.frames, or models.slowfast.frames."
            )
        patch = self.backbone.get("patch_size") if self.network.startswith("vit") else None
        if patch and self.size % int(patch):
            raise ConfigError(
                f"{self.network} cuts frames into patches of {patch} pixels, so size must be a multiple of {patch}, "
                f"not {self.size}. Set training.size, or models.{self.network}.size."
            )


def describe(
    network: str, class_names: tuple[str, ...], frames: int, size: int, weights: str = "", **settings: Any
) -> NetworkConfig:
    """Return the configuration of `network`; of a ViT with the backbone of the folder `weights`, if given."""
    backbone: dict[str, Any] = {}
    normalisation = _KINETICS
    if network.startswith("vit"):
        backbone, normalisation = load_backbone(weights, _HALF) if weights else (dict(TINY), _HALF)
    return NetworkConfig(
        network,
        class_names,
        frames,
        size,
        backbone=backbone,
        mean=normalisation.mean,
        std=normalisation.std,
        **settings,
    )


class ClipNetwork(nn.Module):
    """A network with its normalisation: clips (B, T, 3, H, W) RGB in [0, 1] -> logits (B, classes)."""

    def __init__(self, config: NetworkConfig) -> None:
        super().__init__()
        self.config = config
        self.normalisation = Normalisation(config.mean, config.std, source="config.json")
        classes = len(config.class_names)
        if config.network == "vit_gru":
            self.net: Any = VitGru(classes, config.backbone, config.size, dropout=config.dropout)
        elif config.network == "vit_transformer":
            self.net = VitTransformer(classes, config.backbone, config.size, dropout=config.dropout)
        else:
            kind = {"small_cnn": SmallCnn, "slowfast": SlowFast, "x3d": X3d}[config.network]
            self.net = kind(classes, config.norm, config.dropout)

    def forward(self, clips: Tensor) -> Tensor:
        """Clips (B, T, 3, H, W) in [0, 1] -> logits (B, classes)."""
        logits: Tensor = self.net(self.normalisation(clips))
        return logits


def build(config: NetworkConfig, seed: int, weights: str = "") -> ClipNetwork:
    """Build a network whose weights are drawn from `seed`, and replaced by those of the file or folder `weights`.

    The same seed gives the same network, whatever PyTorch's global state, which is left as it was.

    Raises
    ------
    ModelError
        `weights` are those of another network, damaged, or a pickle that would run code.
    """
    with torch.random.fork_rng(devices=[]):
        # Classes of `transformers` draw from the global state.
        torch.manual_seed(seed)
        network = ClipNetwork(config)
    initialise(network.net, torch.Generator().manual_seed(seed)) if not config.backbone else None
    if weights:
        load_published(network.net, config.network, weights)
    return network


def save_network(network: ClipNetwork, folder: str | os.PathLike[str], **more: Any) -> None:
    """Write config.json and model.safetensors to `folder`, which `longtake.models.loading.load_model` reads."""
    target = Path(folder)
    target.mkdir(parents=True, exist_ok=True)
    tensors = {name: value.detach().contiguous().cpu() for name, value in network.net.state_dict().items()}
    with atomic_path(target / SAFETENSORS) as temporary:
        save_file(tensors, temporary)
    write_json(target / "config.json", {"model_type": MODEL_TYPE, **asdict(network.config), **more})


def load_network(folder: Path, config: dict[str, Any], device: torch.device) -> ClipNetworkModel:
    """Load a folder that `save_network` wrote; frozen, in evaluation mode. Raises ModelError."""
    names = set(NetworkConfig.__dataclass_fields__)
    weights = read_weights(folder)
    try:
        known: dict[str, Any] = {
            key: tuple(value) if isinstance(value, list) else value for key, value in config.items() if key in names
        }
        settings = NetworkConfig(**known)
        with torch.device("meta"):
            hollow = ClipNetwork(settings)
        check_size(numbers_of(hollow), sum(map(Tensor.numel, weights.values())), folder)
        network = ClipNetwork(settings)
    except (TypeError, ValueError, ConfigError) as error:
        raise ModelError(f"{folder / 'config.json'}: {error} Restore the file that came with the weights.") from error
    found, wanted = set(weights), set(network.net.state_dict())
    if found != wanted:
        raise ModelError(
            f"{folder}: the weights are not those of {network.config.network}: missing {sorted(wanted - found)[:3]}, "
            f"unexpected {sorted(found - wanted)[:3]}. Copy both files again."
        )
    try:
        network.net.load_state_dict(weights)
    except RuntimeError as error:
        first = " ".join(line.strip() for line in str(error).splitlines()[:3])
        raise ModelError(f"{folder}: the weights do not fit config.json ({first}). Copy both files again.") from error
    return ClipNetworkModel(network.to(device).eval().requires_grad_(False))


class ClipNetworkModel:
    """A trained network as `gradients.model` takes it: a clip model of one clip at a time, split where it can be."""

    def __new__(cls, network: ClipNetwork) -> Any:
        """Return the form that splits into an encoder of frames and a head, for networks that have one."""
        return super().__new__(_SplitModel if hasattr(network.net, "encode") and cls is ClipNetworkModel else cls)

    def __init__(self, network: ClipNetwork) -> None:
        self.module: nn.Module = network
        self.network = network
        self.normalisation = network.normalisation
        self.class_names = network.config.class_names
        self.n_frames: int | None = network.config.frames

    def input_size(self, height: int, width: int) -> tuple[int, int]:  # noqa: ARG002 (one size for all)
        """The side of the clips that it was trained on."""
        return self.network.config.size, self.network.config.size

    def scores(self, frames: Tensor) -> Tensor:
        """Frames (T, 3, H, W) in [0, 1] -> logits (classes,)."""
        logits: Tensor = self.network(frames[None])[0]
        return logits


class _SplitModel(ClipNetworkModel):
    def encode(self, frames: Tensor) -> Tensor:
        """Frames (n, 3, H, W) in [0, 1] -> features (n, F), each frame by itself."""
        features: Tensor = self.network.net.encode(self.normalisation(frames))
        return features

    def head(self, features: Tensor) -> Tensor:
        """Features (T, F) of all frames -> logits (classes,)."""
        logits: Tensor = self.network.net.head(features[None])[0]
        return logits

    def scores(self, frames: Tensor) -> Tensor:
        """Frames (T, 3, H, W) in [0, 1] -> logits (classes,)."""
        return self.head(self.encode(frames))


def state_digest(network: nn.Module) -> str:
    """Return a digest of every weight, by name and byte."""
    total = hashlib.sha256()
    for name, value in sorted(network.state_dict().items()):
        total.update(name.encode() + value.detach().cpu().contiguous().numpy().tobytes())
    return total.hexdigest()
