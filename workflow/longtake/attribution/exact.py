"""Exact gradients of a classifier of volumes within what a job may take, planned once for each shape and layer."""

import logging
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import psutil
import torch
from torch import Tensor

from longtake.bounded import Gradient, gradient
from longtake.bounded.front import Front
from longtake.bounded.guard import frozen
from longtake.bounded.planning import plan, simulate
from longtake.bounded.profile import load_simulation
from longtake.bounded.run import Way
from longtake.bounded.slabplan import plan_slabs
from longtake.bounded.slabproof import slab_front
from longtake.bounded.slabwise import SlabWay, slab_gradient, slab_scores
from longtake.errors import BudgetError, ExactnessError, ModelError
from longtake.memory.budget import GIB, gpu_budget, host_budget
from longtake.models import VolumeModel
from longtake.supervise.watch import left

logger = logging.getLogger(__name__)
GPU_SHARE, HOST_SHARE = 0.8, 0.8
"""Of what is free, for tensors: allocators round up and hold back, and operations have workspaces."""
Scalar = Callable[[Any], Tensor]


def room_for_tensors(memory_gb: float, device: str, *, part: float = 1.0, requested_mb: float | None = None) -> int:
    """Bytes that a gradient's tensors may take: `memory_gb` GiB, or most of what is free of the GPU or for this job.

    Parameters
    ----------
    part : of that, what is granted
    requested_mb : what was asked for this job of the host's memory, in MiB
    """
    if memory_gb:
        return int(part * memory_gb * GIB)
    gpu = gpu_budget() if device.startswith("cuda") else None
    if gpu is not None:
        return int(part * GPU_SHARE * max(0, gpu.nbytes - torch.cuda.memory_allocated()))
    load_simulation()
    free = left(host_budget(requested_mb).limits, psutil.Process())
    return int(part * HOST_SHARE * free)


@dataclass
class Exact:
    """A model, and how its gradients are had.

    Attributes
    ----------
    budget : bytes of tensors beyond the model and the volume; None for no limit
    tile : rows of the volume in a slab; 0 to choose, and only where the graph of the whole does not fit
    folder : where tensors that are spilled go
    ways : by shape of the volume and layer
    peak : most bytes of tensors that a gradient took, and by which way
    """

    model: VolumeModel
    budget: int | None = None
    tile: int = 0
    folder: Path | None = None
    fronts: dict[tuple[int, ...], Front | None] = field(default_factory=dict)
    ways: dict[tuple[tuple[int, ...], str | None], Way | SlabWay] = field(default_factory=dict)
    peak: tuple[int, str] = (0, "")

    def front(self, given: Tensor) -> Front | None:
        """The part of the model that can go in slabs, looked for once for a shape."""
        shape = tuple(given.shape)
        if shape not in self.fronts:
            self.fronts[shape] = slab_front(self.model, given)
        return self.fronts[shape]

    def gradient(self, given: Tensor, scalar: Scalar, *, layer: str | None = None, measure: bool = True) -> Gradient:
        """d scalar(scores) / d given, or with respect to the output of `layer`.

        Raises
        ------
        BudgetError : no way is within the budget; the message names the smallest peak.
        ModelError, ExactnessError : the model does not allow it.
        """
        way = self.way(given, scalar, layer)
        front = self.front(given) if isinstance(way, SlabWay) else None
        if isinstance(way, SlabWay) and front is not None:
            try:
                found = slab_gradient(
                    self.model, given, scalar, front, way, wrt=layer, folder=self.folder, measure=measure
                )
            except ExactnessError as error:
                logger.warning("%s; it is computed without slabs", error)
                self.fronts[tuple(given.shape)] = None
                self.ways.clear()
                return self.gradient(given, scalar, layer=layer, measure=measure)
        else:
            plain = way if isinstance(way, Way) else Way()
            found = gradient(self.model, given, scalar, wrt=layer, way=plain, folder=self.folder, measure=measure)
        if found.measured_bytes is not None and found.measured_bytes > self.peak[0]:
            self.peak = found.measured_bytes, way.name
        return found

    def scores(self, given: Tensor) -> Tensor:
        """What the model says, without a gradient; in slabs where gradients are."""
        way = next((way for (shape, _), way in self.ways.items() if shape == tuple(given.shape)), None)
        slabs = isinstance(way, SlabWay) or self.tile or self.budget is not None
        front = self.front(given) if slabs else None
        if front is not None:
            tile = way.tile if isinstance(way, SlabWay) else self.tile or 16
            try:
                return slab_scores(self.model, given, front, tile)
            except ExactnessError as error:
                logger.warning("%s; it is computed without slabs", error)
                self.fronts[tuple(given.shape)] = None
                self.ways.clear()
        with frozen(self.model.module), torch.no_grad():
            return self.model.scores(given)

    def way(self, given: Tensor, scalar: Scalar, layer: str | None) -> Way | SlabWay:
        """How it is had: with the graph of the whole if that fits, else in slabs, else computed twice or spilled."""
        key = (tuple(given.shape), layer)
        if key not in self.ways:
            self.ways[key] = self._planned(given, scalar, layer)
            logger.info(
                "gradient of %s%s by %s: %s bytes predicted",
                tuple(given.shape),
                f" at {layer}" if layer else "",
                self.ways[key].name,
                self.ways[key].predicted_bytes,
            )
        return self.ways[key]

    def _planned(self, given: Tensor, scalar: Scalar, layer: str | None) -> Way | SlabWay:
        if self.budget is None and not self.tile:
            return Way()
        said = []
        if not self.tile:
            try:
                with frozen(self.model.module):
                    plain = simulate(self.model, given, scalar, Way(), wrt=layer)
            except ModelError as error:
                logger.warning("%s It is tried with the graph of the whole.", error)
                return Way()
            if self.budget is None or plain.peak <= self.budget:
                return plain.way
        front = self.front(given)
        if front is not None:
            try:
                return plan_slabs(self.model, given, scalar, front, wrt=layer, budget=self.budget, tile=self.tile)
            except BudgetError as error:
                said.append(str(error))
        if self.budget is None:
            return Way()
        try:
            return plan(self.model, given, scalar, wrt=layer, budget=self.budget)
        except BudgetError as error:
            raise BudgetError("; ".join([*said, str(error)])) from None
