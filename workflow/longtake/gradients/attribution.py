"""The gradient of a clip's score with respect to every one of its frames."""

import logging
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import psutil
import torch
from torch import Tensor

from longtake.bounded import gradient
from longtake.bounded.guard import frozen
from longtake.bounded.live import LiveBytes
from longtake.bounded.planning import Rehearsed, chunk_ways, splits, ways
from longtake.bounded.profile import load_rehearsal
from longtake.bounded.run import Way
from longtake.bounded.split import FrameStack, GradientChunk, gradient_chunks, head_pass
from longtake.errors import BudgetError, ModelError
from longtake.gradients.importance import FrameImportance, frame_importance, gradient_map
from longtake.memory.budget import GIB, gpu_budget, host_budget
from longtake.memory.ledger import counted_step, stage
from longtake.models import ClipModel, SplitModel
from longtake.models.targets import FixedTarget, class_scores, predicted_class
from longtake.planning.choice import OVERHEAD_MB
from longtake.planning.heap import footprint
from longtake.supervise.watch import left

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


GPU_SHARE = 0.8
"""Of what is free of a GPU, for tensors: its allocator rounds up and holds back, and operations have workspaces."""
HOST_SHARE = 0.95
"""Of what is free of the host's memory, for the heap: operations have workspaces."""
UNPLANNED = 4
"""Frames at a time of a model that splits and whose memory cannot be planned."""


@dataclass
class Grant:
    """Bytes that a gradient may take, and how it is had within them.

    Planned once for clips of one shape and kept for the next.

    Attributes
    ----------
    nbytes : of living tensors, or of the heap; None for no limit
    heap : it is what the heap takes from the system that counts
    firm : rather no gradient than one that takes more; if not, the way that takes least is tried
    chunk_size : frames at a time, at most, where the model splits; 0 for as many as fit
    ways : how the gradient of clips of a shape (T, 3, h, w) is had
    measured : peak bytes of tensors that it took
    splits : whether the model splits; None if that has not been tried
    """

    nbytes: int | None = None
    heap: bool = False
    firm: bool = True
    chunk_size: int = 0
    ways: dict[tuple[int, ...], Way] = field(default_factory=dict)
    measured: dict[tuple[int, ...], int] = field(default_factory=dict)
    splits: bool | None = None

    def record(self) -> dict[str, Any]:
        """Say of the shape of clips that took most how its gradient was had: the way, frames at a time, bytes."""
        if not self.measured:
            return {}
        shape = max(self.measured, key=lambda shape: self.measured[shape])
        way = self.ways[shape]
        return {
            "gradient_way": way.name,
            "gradient_chunk": way.chunk_size or shape[0],
            "gradient_predicted_bytes": way.predicted_bytes,
            "gradient_measured_bytes": self.measured[shape],
        }


def granted(
    memory_gb: float, device: str, *, part: float = 1.0, chunk_size: int = 0, requested_mb: float | None = None
) -> Grant:
    """Grant `memory_gb` GiB of tensors; for 0, most of what is free of the GPU, or of the memory this job may use.

    Parameters
    ----------
    part : of that, what is granted
    chunk_size : frames at a time, at most; 0 for as many as fit
    requested_mb : what was asked for this job of the host's memory, in MiB; some is for the processes beside this one
    """
    if memory_gb:
        return Grant(int(part * memory_gb * GIB), firm=part == 1, chunk_size=chunk_size)
    gpu = gpu_budget() if device.startswith("cuda") else None
    if gpu is not None:
        free = max(0, gpu.nbytes - torch.cuda.memory_allocated())  # the model is on it already
        return Grant(int(part * GPU_SHARE * free), firm=False, chunk_size=chunk_size)
    load_rehearsal()
    budget = host_budget(None if requested_mb is None else requested_mb - OVERHEAD_MB)
    free = left(budget.limits, psutil.Process())
    return Grant(int(part * HOST_SHARE * free), heap=True, firm=False, chunk_size=chunk_size)


@stage("gradient")
def attribute_clip(
    model: ClipModel,
    pixels: np.ndarray,
    inside: list[np.ndarray | None],
    *,
    target: int | None,
    grant: Grant | None = None,
) -> ClipAttribution:
    """Differentiate one score of a clip with respect to all its frames.

    Parameters
    ----------
    pixels : (T, h, w, 3) uint8 RGB, at the model's size
    inside : for each frame the animal's mask (h, w) bool, or None
    target : class index; None takes the predicted class
    grant : what the gradient may take; without one, whatever it takes. It changes no number

    Memory: what is granted; and the maps.

    Raises
    ------
    BudgetError : what is granted is too little for this model; the message names what it needs.
    """
    frames = ClipFrames(pixels, next(model.module.parameters(), torch.empty(0)).device)
    score = FixedTarget(target, model.class_names)
    grant = grant or Grant()
    shape = (len(frames), *frames[:1].shape[1:])
    if shape not in grant.ways:
        grant.ways[shape] = planned(model, frames, score, grant)
    way = grant.ways[shape]
    importance: list[FrameImportance] = []
    maps = np.empty(pixels.shape[:3], np.float32)
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
    if shape not in grant.measured:
        logger.info(
            "gradient of clips %s by %s, %d frames at a time: %s bytes predicted, %d measured",
            shape,
            way.name,
            way.chunk_size or len(frames),
            way.predicted_bytes,
            live.peak,
        )
    grant.measured[shape] = max(live.peak, grant.measured.get(shape, 0))
    counted_step(live.peak, gpu=frames.device.type == "cuda")
    chosen = score.chosen
    answer = class_scores(scores, chosen).double().cpu().numpy()
    return ClipAttribution(answer, chosen.class_index, chosen.instance, predicted_class(scores), importance, maps)


def planned(model: ClipModel, frames: ClipFrames, score: FixedTarget, grant: Grant) -> Way:
    """The fastest way whose rehearsed peak is granted: of a model that splits, the one with most frames at a time.

    Where none is, the one that takes least; or of a firm grant,

    Raises
    ------
    BudgetError : the message names the smallest peak that can be had.
    """
    if grant.splits is None:
        grant.splits = isinstance(model, SplitModel) and splits(model, frames, limit=grant.nbytes)
    if grant.nbytes is None:
        size = min(grant.chunk_size or len(frames), len(frames))
        return Way(chunk_size=size) if grant.splits and size < len(frames) else Way()
    least: Rehearsed | None = None
    try:
        # Another score: it must not choose a class by a rehearsal's numbers.
        for found in ways_for(model, frames, FixedTarget(score.wanted, score.class_names), grant):
            if found.peak <= grant.nbytes and (not grant.heap or footprint(found.events) <= grant.nbytes):
                return found.way
            if least is None or found.peak < least.peak:
                least = found
    except ModelError as error:
        way = Way(chunk_size=min(UNPLANNED, len(frames))) if grant.splits else Way()
        logger.warning("%s It is tried with %s.", error, way.name)
        return way
    if least is None:
        return Way()
    if grant.firm:
        raise BudgetError(
            f"the gradient cannot be had within {grant.nbytes} bytes: the smallest peak is {least.peak} bytes, by "
            f"{least.way.name}. Set gradients.memory_gb to that much or more, or use fewer or smaller frames."
        )
    logger.warning("%d bytes are granted, but the gradient takes %d at least: that is tried", grant.nbytes, least.peak)
    return least.way


def ways_for(model: ClipModel, frames: FrameStack, score: FixedTarget, grant: Grant) -> Iterator[Rehearsed]:
    """Ways to the gradient of one clip, fastest first; rehearsed one by one."""
    first = frames[:1]
    # Never written: a rehearsal asks for no more than its shape.
    clip = first.new_empty((len(frames), *first.shape[1:]))
    with frozen(model.module):
        if grant.splits:
            yield from chunk_ways(model, clip, score, most=grant.chunk_size)
        found = ways(model, clip, score, budget=grant.nbytes, split=False)
        yield from (each for each in found if each.way.name != "plain" or not grant.splits)


def _differentiated(
    model: ClipModel, frames: ClipFrames | Tensor, score: FixedTarget, way: Way
) -> tuple[Tensor, Iterator[GradientChunk]]:
    """Scores, and the gradient chunk by chunk."""
    if way.chunk_size is not None and isinstance(model, SplitModel):
        first = head_pass(model.encode, model.head, frames, score, way.chunk_size, module=model.module)
        chunks = gradient_chunks(model.encode, frames, first, way.chunk_size, module=model.module)
        return first.scores, chunks
    found = gradient(model, frames[:], score, way=way, measure=False)
    return found.outputs, iter([GradientChunk(0, len(frames), found.gradient)])
