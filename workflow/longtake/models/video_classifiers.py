"""Video classifiers of ``transformers``: VideoMAE, TimeSformer, ViViT and V-JEPA 2.

All of them mix the frames from the first layer on (attention over all places of all frames, or over time in every
block), so none can be split into a per-frame encoder and a head: the only part that looks at few frames is the first
convolution. Their gradients are bounded by checkpointing the blocks instead.
"""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from longtake.errors import ModelError
from longtake.model_folder import clip_length
from longtake.models.normalisation import Normalisation, read_normalisation
from longtake.models.pretrained import class_names, load_pretrained, sides
from longtake.models.protocols import ClipModel


@dataclass(frozen=True)
class Family:
    """What the models of one kind have in common.

    Attributes
    ----------
    class_name : in transformers
    argument : name of the forward's argument, frames (1, T, 3, H, W)
    size : setting of config.json that holds height and width
    longer_too : takes clips of any whole number of tubelets, not only of the length it was trained on
    documented : normalisation that the family's authors document
    """

    class_name: str
    argument: str
    size: str
    longer_too: bool
    documented: Normalisation


IMAGENET = Normalisation(
    (0.485, 0.456, 0.406), (0.229, 0.224, 0.225), source="ImageNet's, as the family's authors document"
)
_TIMESFORMER = Normalisation((0.45, 0.45, 0.45), (0.225, 0.225, 0.225), source="as TimeSformer's authors document")
_VIVIT = Normalisation((0.5, 0.5, 0.5), (0.5, 0.5, 0.5), 2.0, -1.0, source="as the published ViViT folders have it")

VIDEO_CLASSIFIERS = {
    "videomae": Family("VideoMAEForVideoClassification", "pixel_values", "image_size", False, IMAGENET),
    "timesformer": Family("TimesformerForVideoClassification", "pixel_values", "image_size", False, _TIMESFORMER),
    "vivit": Family("VivitForVideoClassification", "pixel_values", "image_size", False, _VIVIT),
    "vjepa2": Family("VJEPA2ForVideoClassification", "pixel_values_videos", "crop_size", True, IMAGENET),
}


class VideoClassifierModel:
    """`ClipModel` of a ``transformers`` video classifier, for one clip at a time."""

    def __init__(self, module: Any, family: Family, normalisation: Normalisation) -> None:
        self.module: nn.Module = module
        self.forward: Callable[..., Any] = module
        self.family = family
        self.normalisation = normalisation
        self.class_names = class_names(module)
        self.size = sides(getattr(module.config, family.size))
        self.n_frames, self.tubelet = clip_length(module.config.to_dict())

    def input_size(self, height: int, width: int) -> tuple[int, int]:  # noqa: ARG002 (one size for all)
        """The model's fixed height and width."""
        return self.size

    def scores(self, frames: Tensor) -> Tensor:
        """Frames (T, 3, H, W) in [0, 1] -> class scores (classes,), logits.

        Raises
        ------
        ModelError : another number of frames than the model takes. Some of these models would interpolate their
            positions, or leave out the last frames, without a word.
        """
        self._check_length(len(frames))
        logits: Tensor = self.forward(**{self.family.argument: self.normalisation(frames)[None]}).logits
        return logits[0]

    def _check_length(self, given: int) -> None:
        if given == self.n_frames or (self.family.longer_too and given and given % self.tubelet == 0):
            return
        takes = f"a multiple of {self.tubelet}" if self.family.longer_too else self.n_frames
        raise ModelError(
            f"{self.family.class_name} was trained on clips of {self.n_frames} frames and takes {takes}, not {given}. "
            f"Set gradients.max_frames to {self.n_frames}."
        )


def load_video_classifier(folder: Path, config: dict[str, Any], device: torch.device) -> ClipModel:
    """Load a folder whose model_type is one of `VIDEO_CLASSIFIERS`. Raises ModelError."""
    family = VIDEO_CLASSIFIERS[config["model_type"]]
    normalisation = read_normalisation(folder, family.documented)
    module = load_pretrained(folder, config, family.class_name)
    return VideoClassifierModel(module.to(device), family, normalisation)
