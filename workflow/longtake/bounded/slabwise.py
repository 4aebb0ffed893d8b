"""The exact gradient of a model over a volume, with its front in slabs.

====================  ==================================================  =======================================
what is asked         front                                               the rest
====================  ==================================================  =======================================
at a layer (`wrt`)    forward in slabs, without a graph                   `longtake.bounded.run`, from the layer on
at the input          forward in slabs; backward in slabs, computed anew  the same, from the cut on
====================  ==================================================  =======================================

A model of which no front can be done in slabs, or that fails the check below, is left to the other ways
(`longtake.bounded.automatic`). The check is not optional: on a small volume, in float64, the features and their
gradient by slabs must equal those of the model's own code.
"""

import copy
import logging
from collections.abc import Iterator
from contextlib import nullcontext
from dataclasses import dataclass, field, replace
from os import PathLike
from typing import Any

import torch
from torch import Tensor

from longtake.bounded.automatic import Gradient
from longtake.bounded.front import AXIS, Front, Segment, Waist, front_of, held_by, segments
from longtake.bounded.guard import Memory, frozen, memory_of
from longtake.bounded.live import LiveBytes
from longtake.bounded.planning import plan
from longtake.bounded.profile import rehearsal
from longtake.bounded.run import Found, Scalar, Way, run, subject_of
from longtake.bounded.slabs import Pass, backward, forward
from longtake.bounded.tape import Tail, resolve, until
from longtake.errors import BudgetError, ExactnessError, ModelError

logger = logging.getLogger(__name__)
FEWEST = 4
"""Rows of the volume in a slab, at least, where the number is chosen here."""
CUTS = 4
"""Places to cut that are considered, at most."""
CLOSE = 1e-9
"""Of the largest number: how far float64 results by slabs may be from the model's own."""


@dataclass(frozen=True)
class SlabWay:
    """How a gradient is had with the front in slabs.

    Attributes
    ----------
    start, cut : from where the gradient goes in slabs, and where the rest begins
    most : bytes of what is kept between two segments, each at most
    tile : rows of the volume whose values a slab holds; deeper segments, with smaller rows, take more of them
    tail : how the rest is done
    """

    start: Waist
    cut: Waist
    most: int
    tile: int
    tail: Way = field(default_factory=Way)
    predicted_bytes: int = 0

    @property
    def name(self) -> str:
        """For people: slabs, and the way of the rest."""
        rest = "" if self.tail.name == "plain" else f" + {self.tail.name}"
        return f"slabs of {self.tile}{rest}"


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
    passes, features = _through(front, way, drawn, held)
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


def _parts(front: Front, way: SlabWay) -> list[tuple[Segment, int]]:
    """Segments from the input to the cut, with the rows that a slab of each has."""
    whole = front.waists[0]
    first = segments(front, whole, way.start, most=way.most) if way.start.ops else []
    every = [*first, *segments(front, way.start, way.cut, most=way.most)]
    if not every:
        return []
    room = way.tile * every[0].row_bytes()
    return [(each, max(way.tile if at == 0 else 1, room // max(1, each.row_bytes()))) for at, each in enumerate(every)]


def _through(
    front: Front, way: SlabWay, given: Tensor, held: dict[str, Tensor], *, abridged: bool = False, keep: bool = True
) -> tuple[list[tuple[Pass, Tensor]], Tensor]:
    """The features at the cut; and, where they are to be kept, the input of each segment from the start on."""
    passes, features = [], given
    for segment, rows in _parts(front, way):
        each = Pass(segment, rows, held, abridged=abridged)
        made = forward(each, features)
        if keep and segment.start.ops >= way.start.ops:
            passes.append((each, features))
        features = made
    return passes, features


def _run(
    model: Any,
    given: Tensor,
    scalar: Scalar,
    front: Front,
    way: SlabWay,
    *,
    wrt: str | None,
    memory: Memory | None = None,
    folder: PathLike[str] | str | None = None,
    abridged: bool = False,
) -> Found:
    """The gradient in this way; parameters must be frozen. The same for a real run and, with fakes, a rehearsal."""
    at_cut = way.start == way.cut
    passes, features = _through(front, way, given.detach(), held_by(model), abridged=abridged, keep=not at_cut)
    tail = Tail(model, front.tape, way.cut.ops)
    inner = wrt if at_cut else None
    found = run(subject_of(tail), features, scalar, way.tail, wrt=inner, memory=memory, folder=folder)
    del features
    if at_cut:
        return found
    gradient, at = found.gradient, found.at
    found = replace(found, gradient=gradient, at=at)
    del at
    while passes:
        each, kept = passes.pop()
        gradient = backward(each, kept, gradient)
        at = kept
    return replace(found, gradient=gradient, at=at)


def slab_gradient(
    model: Any,
    given: Tensor,
    scalar: Scalar,
    front: Front,
    way: SlabWay,
    *,
    wrt: str | None = None,
    folder: PathLike[str] | str | None = None,
    measure: bool = True,
) -> Gradient:
    """d scalar(model(given)) / d given, or at the output of the submodule `wrt`, with the front in slabs.

    Parameters
    ----------
    given : (1, C, d0, d1, d2)
    front : of `slab_front`, for this model and shape
    way : of `slab_ways`, for the same

    Memory: what the way's rehearsal predicted, of tensors beyond the model and the volume.

    Raises
    ------
    ExactnessError : the model computed something else than when it was looked at.
    """
    live = LiveBytes() if measure else None
    module = subject_of(model).module
    with frozen(module), live or nullcontext():
        found = _run(model, given, scalar, front, way, wrt=wrt, memory=memory_of(module), folder=folder)
    if not bool(torch.isfinite(found.value)):
        raise ExactnessError(
            f"the score is {float(found.value)} when the model's front is evaluated in slabs: its code changes a "
            "tensor in place and reads it under another name, or the volume holds numbers that overflow."
        )
    peak = live.peak if live is not None else None
    tail = replace(way.tail, predicted_bytes=way.predicted_bytes)
    return Gradient(float(found.value), found.gradient, found.at, found.outputs, tail, peak, found.spilled.nbytes)


def slab_ways(
    model: Any,
    given: Tensor,
    scalar: Scalar,
    front: Front,
    *,
    wrt: str | None = None,
    budget: int | None = None,
    tile: int = 0,
) -> Iterator[SlabWay]:
    """Ways within `budget`, the cheapest first, each with its rehearsed peak; the model must be frozen.

    Parameters
    ----------
    tile : rows of the volume in a slab; 0 halves them as long as it helps
    """
    for start, cut in _cuts(front, wrt):
        sizes = sorted({front.tape.nbytes(each.value) for each in front.waists}, reverse=True)
        limits = sorted({sizes[0], 2 * front.tape.nbytes(0)}, reverse=True)
        tail: Way | None = None
        for most in limits:
            peak: int | None = None
            for rows in [tile] if tile else _halves(front.rows(0)):
                way = SlabWay(start, cut, most, rows, tail or Way())
                room = None if budget is None else budget - _kept(front, way)
                if tail is None:
                    tail = _tail_way(model, given, scalar, front, way, wrt=wrt, room=room)
                if tail is None:
                    break
                found = rehearsed(model, given, scalar, front, replace(way, tail=tail), wrt=wrt)
                if peak is not None and found.predicted_bytes >= peak:
                    break  # thinner slabs do not help: the peak is elsewhere
                peak = found.predicted_bytes
                yield found


def rehearsed(
    model: Any, given: Tensor, scalar: Scalar, front: Front, way: SlabWay, *, wrt: str | None = None
) -> SlabWay:
    """The way with the peak of living tensors that it takes; of equal slabs few are gone through."""
    with rehearsal(model, given) as (double, fake), LiveBytes() as live:
        _run(double, fake, scalar, front, way, wrt=wrt, abridged=True)
    return replace(way, predicted_bytes=live.peak)


def plan_slabs(
    model: Any,
    given: Tensor,
    scalar: Scalar,
    front: Front,
    *,
    wrt: str | None = None,
    budget: int | None = None,
    tile: int = 0,
) -> SlabWay:
    """The first way that is within `budget`.

    Raises
    ------
    BudgetError : there is none; the message names the smallest peak.
    """
    least: SlabWay | None = None
    with frozen(subject_of(model).module):
        for way in slab_ways(model, given, scalar, front, wrt=wrt, budget=budget, tile=tile):
            if budget is None or way.predicted_bytes <= budget:
                return way
            if least is None or way.predicted_bytes < least.predicted_bytes:
                least = way
    smallest = (
        "what comes behind the front takes more"
        if least is None
        else f"the smallest peak is {least.predicted_bytes}, by {least.name}"
    )
    raise BudgetError(f"no way in slabs is within {budget} bytes: {smallest}")


def _cuts(front: Front, wrt: str | None) -> list[tuple[Waist, Waist]]:
    """Where the gradient begins and where the front is cut: at the layer, or at several depths."""
    if wrt is not None:
        value = front.tape.layers.get(wrt, -1)
        made = next((place for place, op in enumerate(front.tape.ops) if value in op.outputs), -1)
        before = [each for each in front.waists if 0 < each.ops <= made + 1]
        return [(before[-1], before[-1])] if before else []
    smallest, falling = front.tape.nbytes(front.waists[1].value) + 1, []
    for each in front.waists[1:]:
        if front.tape.nbytes(each.value) < smallest:
            smallest = front.tape.nbytes(each.value)
            falling.append(each)
    if front.waists[-1] not in falling:
        falling.append(front.waists[-1])
    chosen = falling[-CUTS:]
    return [(front.waists[0], each) for each in chosen]


def _halves(rows: int) -> Iterator[int]:
    rows = -(-rows // 4)
    while rows > FEWEST:
        yield rows
        rows = -(-rows // 2)
    yield FEWEST


def _kept(front: Front, way: SlabWay) -> int:
    """Bytes of what is kept between segments while the rest is computed, the volume aside."""
    if way.start == way.cut:
        return 0
    return sum(front.tape.nbytes(each.start.value) for each, _ in _parts(front, way) if each.start.ops)


def _tail_way(
    model: Any, given: Tensor, scalar: Scalar, front: Front, way: SlabWay, *, wrt: str | None, room: int | None
) -> Way | None:
    """How the rest is done within `room` bytes; None where it cannot."""
    if room is None:
        return Way()
    tail = Tail(model, front.tape, way.cut.ops)
    # Never written: a rehearsal asks for no more than its shape.
    features = given.new_empty(front.tape.shapes[way.cut.value], dtype=front.tape.dtypes[way.cut.value])
    try:
        return plan(tail, features, scalar, wrt=wrt if way.start == way.cut else None, budget=room)
    except (BudgetError, ModelError) as error:
        logger.debug("behind operation %d: %s", way.cut.ops, error)
        return None
