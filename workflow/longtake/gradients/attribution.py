"""The gradient of a clip's score with respect to every one of its frames."""

import logging
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

from longtake.bounded import gradient
from longtake.bounded.guard import refuse_memory
from longtake.bounded.live import LiveBytes
from longtake.bounded.pieces import Dependent
from longtake.bounded.remembered import memory_of
from longtake.bounded.run import Way
from longtake.bounded.split import GradientChunk, gradient_chunks, head_pass
from longtake.gradients.importance import FrameImportance, frame_importance, gradient_map
from longtake.gradients.planner import Planner
from longtake.memory.ledger import counted_step, stage
from longtake.models import ClipModel, SplitModel
from longtake.models.targets import FixedTarget, class_scores, predicted_class

logger = logging.getLogger(__name__)


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


@stage("gradient")
def attribute_clip(
    model: ClipModel,
    pixels: np.ndarray,
    inside: list[np.ndarray | None],
    *,
    target: int | None,
    planner: Planner | None = None,
) -> ClipAttribution:
    """Differentiate one score of a clip with respect to all its frames.

    Parameters
    ----------
    pixels : (T, h, w, 3) uint8 RGB, at the model's size
    inside : for each frame the animal's mask (h, w) bool, or None
    target : class index; None takes the predicted class
    planner : of this model; without one, the gradient takes what it takes. It changes no number

    Memory: what is granted; and the maps.

    Raises
    ------
    BudgetError : what is granted is too little for this model; the message names what it needs.
    """
    frames = ClipFrames(pixels, next(model.module.parameters(), torch.empty(0)).device)
    score = FixedTarget(target, model.class_names)
    planner = planner or Planner(model)
    shape = (len(frames), *frames[:1].shape[1:])
    while True:
        try:
            scores, importance, maps, peak = _attributed(model, frames, inside, score, planner.strategy(shape))
            break
        except Dependent as error:
            logger.warning("%s It is planned anew without this cut.", error)
            planner.without(error.block)
    planner.took(shape, peak)
    counted_step(peak, gpu=frames.device.type == "cuda")
    chosen = score.chosen
    answer = class_scores(scores, chosen).double().cpu().numpy()
    return ClipAttribution(answer, chosen.class_index, chosen.instance, predicted_class(scores), importance, maps)


def _attributed(
    model: ClipModel, frames: ClipFrames, inside: list[np.ndarray | None], score: FixedTarget, way: Way
) -> tuple[Tensor, list[FrameImportance], np.ndarray, int]:
    """Scores, importance and maps of all frames, and the peak bytes of tensors."""
    importance: list[FrameImportance] = []
    maps = np.empty((len(frames), *frames.pixels.shape[1:3]), np.float32)
    stack = frames[:] if way.chunk_size is None else frames
    with LiveBytes() as live:
        scores, chunks = _differentiated(model, stack, score, way)
        for chunk in chunks:
            # One by one, so that sums are the same however many come at a time.
            for at, one in enumerate(chunk.gradient.split(1), start=chunk.start):
                part = slice(at, at + 1)
                importance += frame_importance(one, frames[part], inside[part])
                maps[part] = gradient_map(one).cpu().numpy()
            del chunk, one
    return scores, importance, maps, live.peak


def _differentiated(
    model: ClipModel, frames: ClipFrames | Tensor, score: FixedTarget, way: Way
) -> tuple[Tensor, Iterator[GradientChunk]]:
    """Scores, and the gradient chunk by chunk."""
    if way.chunk_size is not None and isinstance(model, SplitModel):
        memory = memory_of(model.module, model)
        first = head_pass(model.encode, model.head, frames, score, way.chunk_size, module=model.module)
        refuse_memory(model.module, memory)
        chunks = gradient_chunks(model.encode, frames, first, way.chunk_size, module=model.module)
        return first.scores, chunks
    found = gradient(model, frames[:], score, way=way, measure=False)
    return found.outputs, iter([GradientChunk(0, len(frames), found.gradient)])
