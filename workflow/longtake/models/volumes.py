"""Classifiers of volumes: from a local folder, or from the user's own factory."""

from __future__ import annotations

import inspect
import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

from longtake.errors import ModelError
from longtake.memory.ledger import stage
from longtake.models.factory import check_model, find_factory
from longtake.models.protocols import VolumeModel
from longtake.models.volume_classifier import MODEL_TYPE, load_volume_classifier
from longtake.models.weights import read_weights

logger = logging.getLogger(__name__)


@dataclass
class BareVolumeModel:
    """A torch module that maps (1, C, d0, d1, d2) to (1, classes), as a `VolumeModel`; voxels go in as they are."""

    module: nn.Module
    class_names: tuple[str, ...] = ()

    def prepare(self, volume: Tensor, /) -> Tensor:
        """Add the batch dimension to (C, d0, d1, d2)."""
        return volume[None].float()

    def scores(self, x: Tensor, /) -> Tensor:
        """The module's output without the batch dimension."""
        answer = self.module(x)
        return answer[0] if isinstance(answer, Tensor) and answer.dim() > 1 and answer.shape[0] == 1 else answer


@dataclass
class RegionSums:
    """A segmenter (1, C, d0, d1, d2) -> (1, classes, ...) whose scores are sums over the voxels of each class.

    A voxel belongs to the class with its largest score (Seg-Grad-CAM, arXiv 2002.11434); of a class without a voxel the
    score is the sum over all.
    """

    module: nn.Module
    class_names: tuple[str, ...]

    def prepare(self, volume: Tensor, /) -> Tensor:
        """Add the batch dimension to (C, d0, d1, d2)."""
        return volume[None].float()

    def scores(self, x: Tensor, /) -> Tensor:
        """Sums (classes,) of the class scores of voxels."""
        voxels = self.module(x)[0].flatten(1)
        own = voxels.detach().argmax(0) == torch.arange(len(voxels), device=voxels.device)[:, None]
        weights = torch.where(own.any(1, keepdim=True), own, torch.ones_like(own)).to(voxels.dtype)
        return (voxels * weights).sum(1)


class CoarserVolumeModel:
    """A model that computes in ways that are not exact; gradients and maps stay at the volume's own size.

    Parameters
    ----------
    lossy
        ``half resolution``: the network sees means of 2 x 2 x 2 voxels. ``bfloat16``: it runs by autocast, over weights
        in float32; its scores are float32.
    """

    def __init__(self, model: VolumeModel, lossy: Sequence[str]) -> None:
        self.exact, self.lossy = model, frozenset(lossy)
        self.module, self.class_names = model.module, model.class_names
        self.layer = getattr(model, "layer", "")

    def prepare(self, volume: Tensor, /) -> Tensor:
        """As the exact one's."""
        return self.exact.prepare(volume)

    def scores(self, x: Tensor, /) -> Tensor:
        """As the exact one's, of means or rounded."""
        seen = functional.avg_pool3d(x, 2, ceil_mode=True) if "half resolution" in self.lossy else x
        with torch.autocast(x.device.type, torch.bfloat16, enabled="bfloat16" in self.lossy):
            return self.exact.scores(seen).float()


def coarser(model: VolumeModel, lossy: Sequence[str]) -> VolumeModel:
    """The model as it is, or computed in the ways `lossy` that are not exact."""
    return CoarserVolumeModel(model, lossy) if lossy else model


@stage("load")
def load_volume_model(spec: str, checkpoint: str = "", device: str | torch.device = "cpu") -> VolumeModel:
    """Load a classifier of volumes.

    Parameters
    ----------
    spec : a folder with config.json and weights, or ``module:factory`` that is called with the device, or with the
        device and `checkpoint`, and returns a `VolumeModel` or a torch module
    checkpoint : file of weights; where the factory takes the device alone, they are loaded into its module

    Raises
    ------
    ModelError : nothing can be loaded, or what was made is no model of volumes.
    """
    place = torch.device(device)
    if Path(spec).is_dir():
        model: Any = load_volume_classifier(Path(spec), place)
    else:
        module, colon, factory = spec.partition(":")
        if not colon:
            raise ModelError(
                f"attribution.model is {spec!r}, but there is no such folder. Give a folder with config.json "
                f"({MODEL_TYPE}) and weights, or module:factory of your own code."
            )
        model = _made(module, factory, checkpoint, place)
    logger.info(
        "model %s: %s, classes: %s", spec, type(model.module).__name__, ", ".join(model.class_names) or "unnamed"
    )
    return model


def _made(module: str, factory: str, checkpoint: str, device: torch.device) -> VolumeModel:
    name, make = find_factory(module, factory)
    takes = _takes(make, name)
    made = make(device, checkpoint) if takes > 1 else make(device)
    if isinstance(made, nn.Module) and not isinstance(made, VolumeModel):
        if takes == 1 and checkpoint:
            _load_weights(made, Path(checkpoint))
        names = getattr(made, "class_names", ())
        made = BareVolumeModel(made.to(device), tuple(names))
    if not isinstance(made, VolumeModel):
        missing = [part for part in ("module", "class_names", "prepare", "scores") if not hasattr(made, part)]
        raise ModelError(
            f"{name} returned a {type(made).__name__} without {', '.join(missing)}. Return an object with these (see "
            "docs/volumes.md), or a torch module that maps (1, C, d0, d1, d2) to (1, classes)."
        )
    if made.class_names:
        check_model(made, name)
    training = next((part for part, inner in made.module.named_modules() if inner.training), None)
    if training is not None:
        raise ModelError(f"{name}: {training or 'the module'} is in training mode. Call module.eval() in the factory.")
    return made


def _takes(make: Callable[..., Any], name: str) -> int:
    """Whether a factory takes the device alone (1), or the checkpoint as well (2)."""
    signature = inspect.signature(make)
    for count in (2, 1):
        try:
            signature.bind(*range(count))
        except TypeError:
            continue
        return count
    raise ModelError(f"{name} is called with (device) or (device, checkpoint), and takes neither: {signature}.")


def _load_weights(module: nn.Module, path: Path) -> None:
    """Weights of a file into a module: safetensors, or a state_dict that PyTorch saved, without running its pickle."""
    if not path.exists():
        raise ModelError(f"attribution.checkpoint is {str(path)!r}, but there is no such file.")
    try:
        if path.suffix == ".safetensors" or path.is_dir():
            weights: Any = read_weights(path if path.is_dir() else path.parent)
        else:
            weights = torch.load(path, map_location="cpu", weights_only=True)
        module.load_state_dict(weights.get("state_dict", weights))
    except Exception as error:  # whatever an unpickler of somebody else's file raises
        first = " ".join(str(error).split())[:300]
        raise ModelError(
            f"{path} cannot be loaded into {type(module).__name__} ({first}). Save module.state_dict(), or let the "
            "factory take (device, checkpoint)."
        ) from error


def named(model: VolumeModel, classes: int) -> tuple[str, ...]:
    """The names of the classes; numbers where the model gives none.

    Raises
    ------
    ModelError : the model names another number of classes than it scores.
    """
    names: Sequence[str] = model.class_names or [str(number) for number in range(classes)]
    if len(names) != classes:
        raise ModelError(f"the model names {len(names)} classes, {', '.join(names)}, but gives {classes} scores.")
    return tuple(names)
