"""The proof that a model's front may be evaluated in slabs.

On a small volume, in float64, the features and their gradient by slabs must equal those of the model's own code. What
`longtake.bounded.front` found out about single operations is not relied on without it.
"""

import copy
import logging
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor

from longtake.bounded.front import AXIS, Front, front_of, held_by
from longtake.bounded.guard import frozen
from longtake.bounded.run import subject_of
from longtake.bounded.slabs import backward
from longtake.bounded.slabwise import SlabWay, through
from longtake.bounded.tape import resolve, until
from longtake.errors import ExactnessError, ModelError

logger = logging.getLogger(__name__)
CLOSE = 1e-9
"""Of the largest number: how far float64 results by slabs may be from the model's own."""


def slab_front(model: Any, given: Tensor) -> Front | None:
    """The model's front, proved on a small volume; None where there is none. Once for a model and a shape.

    Memory: the model and a small volume's activations in float64.
    """
    with frozen(subject_of(model).module):
        try:
            front = front_of(model, given)
        except ModelError as error:
            logger.info("no slabs: %s", error)
            return None
        if len(front.waists) < 2:
            logger.info("no slabs: %s", front.why)
            return None
        why = disproved(model, front, given)
    if why:
        logger.warning("no slabs, although they seemed possible: %s", why)
        return None
    return front


def disproved(model: Any, front: Front, given: Tensor) -> str:
    """Why the front cannot be trusted; empty where slabs gave what the model's own code does.

    A volume of some strides, not a multiple of any, goes through the whole front, forward and backward, in float64.
    """
    cut = front.waists[-1]
    double = _doubled(model)
    shapes = front.tape.shapes
    deep = round(1 / min(front.rates.values()))
    sizes = [max(2 * deep + deep // 2 + 1, 24)]
    for axis in (3, 4):
        side = -(-shapes[0][axis] // shapes[cut.value][axis])
        sizes.append(max(2 * side, 8))
    small = [min(size, true) for size, true in zip(sizes, shapes[0][AXIS:], strict=True)]
    generator = torch.Generator().manual_seed(0)
    drawn = torch.randn((*shapes[0][:AXIS], *small), dtype=torch.float64, generator=generator)
    drawn = drawn.to(given.device)
    try:
        leaf = drawn.clone().requires_grad_()
        with torch.enable_grad():
            own = until(double, leaf, front.tape, cut.ops)
        weights = torch.randn(own.shape, dtype=torch.float64, generator=generator).to(given.device)
        (expected,) = torch.autograd.grad(own, leaf, weights)
        little, held = _resized(front, double, drawn), held_by(double)
        found = {"values": own.detach(), "gradients": expected}
        # As one segment and with a seam wherever there can be one: what rows need of others is hidden by either.
        for most in (0, 1 << 62):
            way = SlabWay(little.waists[0], little.waists[-1], most, max(1, small[0] // 3))
            why = _unlike(little, way, drawn, held=held, weights=weights, own=found)
            if why:
                return why
    except (RuntimeError, ValueError, TypeError, IndexError, ExactnessError, ModelError) as error:
        return f"on a volume of {tuple(small)}: {type(error).__name__}: {error}"
    return ""


def _unlike(
    front: Front, way: SlabWay, drawn: Tensor, *, held: dict[str, Tensor], weights: Tensor, own: dict[str, Tensor]
) -> str:
    """How what comes out by slabs differs from the model's own values and gradients."""
    passes, features = through(front, way, drawn, held)
    gradient = weights
    for each, kept in reversed(passes):
        gradient = backward(each, kept, gradient)
    for what, other in (("values", features), ("gradients", gradient)):
        off, scale = float((own[what] - other).abs().max()), float(own[what].abs().max())
        if not off <= CLOSE * max(scale, 1e-30):
            return f"{what} differ by {off:.3g}, the largest being {scale:.3g}"
    return ""


def _doubled(model: Any) -> Any:
    double = copy.deepcopy(model)
    subject_of(double).module.double()
    return double


def _resized(front: Front, model: Any, drawn: Tensor) -> Front:
    """The same front with the shapes that values have for another volume, as the operations themselves say."""
    held, values = held_by(model), {0: drawn}
    shapes = list(front.tape.shapes)
    shapes[0] = drawn.shape
    dtypes = [torch.float64 if dtype.is_floating_point else dtype for dtype in front.tape.dtypes]
    with torch.no_grad():
        for op in front.tape.ops[: front.waists[-1].ops]:
            for number, made in zip(op.outputs, resolve(op, values, held), strict=True):
                values[number], shapes[number] = made, made.shape
    return replace(front, tape=replace(front.tape, shapes=shapes, dtypes=dtypes))
