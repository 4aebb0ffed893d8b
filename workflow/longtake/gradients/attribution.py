"""The gradient of a clip's score with respect to every one of its frames."""

from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

from longtake.bounded.split import GradientChunk, gradient_chunks, head_pass, plain_gradient
from longtake.gradients.importance import FrameImportance, frame_importance, gradient_map
from longtake.models import Adapter, SplitAdapter
from longtake.models.targets import FixedTarget, class_scores, predicted_class


class ClipFrames:
    """Pixels (T, h, w, 3) uint8 as a stack of frames (n, 3, h, w) float32 in [0, 1], made slice by slice."""

    def __init__(self, pixels: np.ndarray, device: torch.device) -> None:
        self.pixels = pixels
        self.device = device

    def __len__(self) -> int:
        return len(self.pixels)

    def __getitem__(self, index: Any) -> Tensor:
        return torch.from_numpy(self.pixels[index]).to(self.device).permute(0, 3, 1, 2).float().contiguous() / 255


@dataclass(frozen=True)
class ClipAttribution:
    """The model's answer to one clip, and where it came from.

    Attributes
    ----------
    scores : (classes,) float64; of a model of instances, those of the target's
    target : class whose score was differentiated
    instance : the query it is the score of, in a model of instances
    predicted : class with the highest score
    importance : one entry per frame
    maps : (T, h, w) float32, gradient maps G_t
    """

    scores: np.ndarray
    target: int
    instance: int | None
    predicted: int
    importance: list[FrameImportance]
    maps: np.ndarray


def attribute_clip(
    adapter: Adapter, pixels: np.ndarray, inside: list[np.ndarray | None], *, target: int | None, chunk_size: int
) -> ClipAttribution:
    """Differentiate one score of a clip with respect to all its frames.

    Parameters
    ----------
    pixels : (T, h, w, 3) uint8 RGB, at the model's size
    inside : for each frame the animal's mask (h, w) bool, or None
    target : class index; None takes the predicted class
    chunk_size : frames encoded at a time, where the adapter splits; it changes no number

    Memory: the encoder's graph of `chunk_size` frames where the adapter splits, else the graph of the whole clip; and
    the maps.
    """
    frames = ClipFrames(pixels, next(adapter.module.parameters(), torch.empty(0)).device)
    score = FixedTarget(target, adapter.class_names)
    if isinstance(adapter, SplitAdapter):
        first = head_pass(adapter.encode, adapter.head, frames, score, chunk_size, module=adapter.module)
        scores, chunks = first.scores, gradient_chunks(adapter.encode, frames, first, chunk_size, module=adapter.module)
    else:
        gradient, scores = plain_gradient(adapter.scores, frames[:], score, module=adapter.module)
        chunks = iter([GradientChunk(0, len(frames), gradient)])
    importance: list[FrameImportance] = []
    maps = np.empty(pixels.shape[:3], np.float32)
    for chunk in chunks:
        part = slice(chunk.start, chunk.stop)
        importance += frame_importance(chunk.gradient, frames[part], inside[part])
        maps[part] = gradient_map(chunk.gradient).cpu().numpy()
    chosen = score.chosen
    answer = class_scores(scores, chosen).double().cpu().numpy()
    return ClipAttribution(answer, chosen.class_index, chosen.instance, predicted_class(scores), importance, maps)
