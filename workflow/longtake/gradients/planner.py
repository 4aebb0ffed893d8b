"""How the gradients of a job's clips are had: planned once for clips of a shape, before they are read."""

import logging
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import psutil
import torch

from longtake.bounded.guard import frozen
from longtake.bounded.planning import Simulated, chunk_ways, splits, ways
from longtake.bounded.profile import load_simulation
from longtake.bounded.run import Way
from longtake.errors import BudgetError, ModelError
from longtake.memory.budget import GIB, gpu_budget, host_budget
from longtake.models import ClipModel, SplitModel
from longtake.models.targets import FixedTarget
from longtake.planning.choice import OVERHEAD_MB
from longtake.planning.heap import footprint
from longtake.supervise.watch import left

logger = logging.getLogger(__name__)

GPU_SHARE = 0.8
"""Of what is free of a GPU, for tensors: its allocator rounds up and holds back, and operations have workspaces."""
HOST_SHARE = 0.95
"""Of what is free of the host's memory, for the heap: operations have workspaces."""
UNPLANNED = 4
"""Frames at a time of a model that splits and whose memory cannot be planned."""
Shape = tuple[int, ...]
"""(T, 3, h, w) of a clip."""


@dataclass(frozen=True)
class Budget:
    """Bytes that a gradient may take. It changes no number.

    Attributes
    ----------
    nbytes : of living tensors, or of the heap; None for no limit
    heap : it is what the heap takes from the system that counts
    firm : refuse where no way fits into the budget; otherwise the way that takes least is tried
    chunk_size : frames at a time, at most, where the model splits; 0 for as many as fit
    """

    nbytes: int | None = None
    heap: bool = False
    firm: bool = True
    chunk_size: int = 0

    def holds(self, found: Simulated) -> bool:
        """Whether a way keeps to it."""
        if self.nbytes is None:
            return True
        return found.peak <= self.nbytes and (not self.heap or footprint(found.events) <= self.nbytes)


def granted(
    memory_gb: float, device: str, *, part: float = 1.0, chunk_size: int = 0, requested_mb: float | None = None
) -> Budget:
    """Grant `memory_gb` GiB of tensors; for 0, most of what is free of the GPU, or of the memory this job may use.

    Parameters
    ----------
    part : of that, what is granted
    chunk_size : frames at a time, at most; 0 for as many as fit
    requested_mb : what was asked for this job of the host's memory, in MiB; some is for the processes beside this one
    """
    if memory_gb:
        return Budget(int(part * memory_gb * GIB), firm=part == 1, chunk_size=chunk_size)
    gpu = gpu_budget() if device.startswith("cuda") else None
    if gpu is not None:
        free = max(0, gpu.nbytes - torch.cuda.memory_allocated())  # the model is on it already
        return Budget(int(part * GPU_SHARE * free), firm=False, chunk_size=chunk_size)
    load_simulation()
    budget = host_budget(None if requested_mb is None else requested_mb - OVERHEAD_MB)
    free = left(budget.limits, psutil.Process())
    return Budget(int(part * HOST_SHARE * free), heap=True, firm=False, chunk_size=chunk_size)


class Planner:
    """Strategies for one model within one budget, and what they took.

    Parameters
    ----------
    model : in eval mode
    budget : of one clip's gradient
    """

    def __init__(self, model: ClipModel, budget: Budget | None = None) -> None:
        self.model = model
        self.budget = budget or Budget()
        self._strategies: dict[Shape, Way] = {}
        self._peaks: dict[Shape, int] = {}
        self._uncut: set[str] = set()
        self._splits: bool | None = None

    def strategy(self, shape: Shape) -> Way:
        """The fastest way whose simulated peak is within the budget: of a model that splits, the one with most frames
        at a time.

        Where none is, the one that takes least; or of a firm budget,

        Raises
        ------
        BudgetError : the message names the smallest peak that can be had.
        """
        if shape not in self._strategies:
            self._strategies[shape] = self._planned(shape)
        return self._strategies[shape]

    def without(self, block: str) -> None:
        """From now on this submodule's calls are not cut: its elements turned out to depend on each other."""
        self._uncut.add(block)
        self._strategies.clear()

    def splits(self, shape: Shape) -> bool:
        """Whether the model is an encoder of single frames and a head; it is tried once."""
        if self._splits is None:
            split = isinstance(self.model, SplitModel)
            self._splits = split and splits(self.model, self._clip(shape), limit=self.budget.nbytes)
        return self._splits

    def ways(self, shape: Shape) -> Iterator[Simulated]:
        """Ways to the gradient of one clip, fastest first; simulated one by one.

        Raises
        ------
        ModelError : the model cannot be simulated.
        """
        clip, split = self._clip(shape), self.splits(shape)
        # A score of its own: none may choose a class by a simulation's numbers.
        score = FixedTarget(None, self.model.class_names)
        with frozen(self.model.module):
            if split:
                yield from chunk_ways(self.model, clip, score, most=self.budget.chunk_size)
            found = ways(self.model, clip, score, budget=self.budget.nbytes, split=False, uncut=self._uncut)
            yield from (each for each in found if not (split and each.way.plain))

    def took(self, shape: Shape, peak: int) -> None:
        """Note the peak bytes of tensors of one clip's gradient."""
        if shape not in self._peaks:
            way, told = (
                self.strategy(shape),
                "gradient of clips %s by %s, %d frames at a time: %s bytes predicted, %d measured",
            )
            logger.info(told, shape, way.name, way.chunk_size or shape[0], way.predicted_bytes, peak)
        self._peaks[shape] = max(peak, self._peaks.get(shape, 0))

    def record(self) -> dict[str, Any]:
        """Say of the shape of clips that took most how its gradient was had: the way, frames at a time, bytes."""
        if not self._peaks:
            return {}
        shape = max(self._peaks, key=lambda shape: self._peaks[shape])
        way = self.strategy(shape)
        return {
            "gradient_way": way.name,
            "gradient_chunk": way.chunk_size or shape[0],
            "gradient_predicted_bytes": way.predicted_bytes,
            "gradient_measured_bytes": self._peaks[shape],
        }

    def _clip(self, shape: Shape) -> torch.Tensor:
        """Never written: a simulation asks for no more than its shape, and a trial draws its own."""
        return torch.empty(shape, device=next(self.model.module.parameters(), torch.empty(0)).device)

    def _planned(self, shape: Shape) -> Way:
        limit, count = self.budget.nbytes, shape[0]
        split = self.splits(shape)
        if limit is None:
            size = min(self.budget.chunk_size or count, count)
            return Way(chunk_size=size) if split and size < count else Way()
        least: Simulated | None = None
        try:
            for found in self.ways(shape):
                if self.budget.holds(found):
                    return found.way
                if least is None or found.peak < least.peak:
                    least = found
        except ModelError as error:
            way = Way(chunk_size=min(UNPLANNED, count)) if split else Way()
            logger.warning("%s It is tried with %s.", error, way.name)
            return way
        if least is None:
            return Way()
        if self.budget.firm:
            raise BudgetError(
                f"the gradient cannot be had within {limit} bytes: the smallest peak is {least.peak} bytes, by "
                f"{least.way.name}. Set gradients.memory_gb to that much or more, or use fewer or smaller frames."
            )
        logger.warning("%d bytes are granted, but the gradient takes %d at least: that is tried", limit, least.peak)
        return least.way
