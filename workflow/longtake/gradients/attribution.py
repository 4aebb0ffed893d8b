"""The gradient of a clip's score with respect to every one of its frames."""

import logging
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import psutil
import torch
from torch import Tensor

from longtake.bounded import gradient
from longtake.bounded.run import Way
from longtake.bounded.split import GradientChunk, gradient_chunks, head_pass
from longtake.gradients.importance import FrameImportance, frame_importance, gradient_map
from longtake.memory.budget import GIB, gpu_budget, host_budget
from longtake.models import Adapter, SplitAdapter
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


SHARE = 0.8
"""Of what is free, for tensors: allocators round up and hold back, and operations have workspaces."""


@dataclass
class Grant:
    """Bytes of tensors that a gradient may take, and how it is had within them.

    Planned once for clips of one shape and kept for the next; `nbytes` None for no limit.
    """

    nbytes: int | None = None
    ways: dict[tuple[int, ...], Way] = field(default_factory=dict)


def granted(memory_gb: float, device: str, share: float = SHARE) -> Grant:
    """Grant `memory_gb` GiB; for 0 a share of what is free of the GPU, or of the memory that this job may use."""
    if memory_gb:
        return Grant(int(memory_gb * GIB))
    gpu = gpu_budget() if device.startswith("cuda") else None
    free = gpu.nbytes if gpu is not None else host_budget().nbytes - psutil.Process().memory_info().rss
    return Grant(max(0, int(share * free)))


def attribute_clip(
    adapter: Adapter,
    pixels: np.ndarray,
    inside: list[np.ndarray | None],
    *,
    target: int | None,
    chunk_size: int,
    grant: Grant | None = None,
) -> ClipAttribution:
    """Differentiate one score of a clip with respect to all its frames.

    Parameters
    ----------
    pixels : (T, h, w, 3) uint8 RGB, at the model's size
    inside : for each frame the animal's mask (h, w) bool, or None
    target : class index; None takes the predicted class
    chunk_size : frames encoded at a time, where the adapter splits; it changes no number
    grant : what the gradient may take where the adapter does not split; without one, whatever it takes. It changes no
        number either

    Memory: the encoder's graph of `chunk_size` frames where the adapter splits, else what is granted; and the maps.

    Raises
    ------
    BudgetError : what is granted is too little for this model; the message names what it needs.
    """
    frames = ClipFrames(pixels, next(adapter.module.parameters(), torch.empty(0)).device)
    score = FixedTarget(target, adapter.class_names)
    if isinstance(adapter, SplitAdapter):
        first = head_pass(adapter.encode, adapter.head, frames, score, chunk_size, module=adapter.module)
        scores, chunks = first.scores, gradient_chunks(adapter.encode, frames, first, chunk_size, module=adapter.module)
    else:
        grant = grant or Grant()
        clip = frames[:]
        shape = tuple(clip.shape)
        found = gradient(adapter, clip, score, budget=grant.nbytes, way=grant.ways.get(shape))
        if shape not in grant.ways:
            logger.info("gradient of clips %s by %s, %d bytes", shape, found.way.name, found.measured_bytes)
        grant.ways[shape] = found.way
        scores, chunks = found.outputs, iter([GradientChunk(0, len(frames), found.gradient)])
    importance: list[FrameImportance] = []
    maps = np.empty(pixels.shape[:3], np.float32)
    for chunk in chunks:
        part = slice(chunk.start, chunk.stop)
        importance += frame_importance(chunk.gradient, frames[part], inside[part])
        maps[part] = gradient_map(chunk.gradient).cpu().numpy()
    chosen = score.chosen
    answer = class_scores(scores, chosen).double().cpu().numpy()
    return ClipAttribution(answer, chosen.class_index, chosen.instance, predicted_class(scores), importance, maps)
