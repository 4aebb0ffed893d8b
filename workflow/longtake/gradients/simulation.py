"""The ways to the gradient of a clip of one size, simulated with fake tensors (`longtake.bounded.planning`).

What the heap, or a GPU's allocator, would take for a way's allocations is found by replaying them
(`longtake.planning.heap`, `longtake.planning.caching`).
"""

from __future__ import annotations

import hashlib
import logging

from longtake.bounded.planning import Simulated
from longtake.errors import ModelError
from longtake.gradients.cases import Clips, ClipWay
from longtake.gradients.options import Options
from longtake.gradients.planner import Budget, Planner
from longtake.memory.budget import GIB
from longtake.models import ClipModel
from longtake.planning.caching import reserved
from longtake.planning.heap import footprint

logger = logging.getLogger(__name__)

LOOSE, LOOSE_BYTES = 0.125, 8 * 2**20
"""Of what the heap takes for a gradient's tensors: what it takes more, as other blocks come between them, and other
gradients before; a share, and so many bytes of a small one again. Measured with `benchmarks/forecast_gradients.py`."""


def simulated(model: ClipModel, size: tuple[int, int], options: Options) -> Clips | None:
    """Simulate the ways to the gradient of a clip of this size; None where the model cannot be simulated.

    A way that takes no less than a faster one is left out, and so is one that takes more than `memory_gb`, unless
    nothing would be left. For a model that splits, one frame at a time is the last that is looked at.
    """
    shape = (options.max_frames, 3, *size)
    planner = Planner(model, Budget(chunk_size=options.chunk_size))
    found: list[Simulated] = []
    try:
        for each in planner.ways(shape):
            if planner.splits(shape) and found and each.way.chunk_size is None:
                break
            if not found or each.peak < found[-1].peak:
                found.append(each)
    except ModelError as error:
        logger.warning("no forecast for clips of %d x %d pixels: %s", *size, error)
        return None
    limit = options.memory_gb * GIB
    found = [each for each in found if not limit or each.peak <= limit] or found[-1:]
    return Clips(options.max_frames, *size, _digest(model), tuple(map(_replayed, found)))


def _replayed(found: Simulated) -> ClipWay:
    way, heap = found.way, footprint(found.events)
    loose = heap + round(LOOSE * heap) + min(heap, LOOSE_BYTES)
    return ClipWay(way.name, way.chunk_size, repr(way), found.peak, loose, reserved(found.events))


def _digest(model: ClipModel) -> str:
    """What the memory of a model's gradient depends on: its parts in order, and the shapes of their tensors."""
    parts = [(name, type(part).__name__) for name, part in model.module.named_modules()]
    shapes = [(name, tuple(each.shape), str(each.dtype)) for name, each in model.module.state_dict().items()]
    return hashlib.sha256(repr((parts, shapes)).encode()).hexdigest()[:16]
