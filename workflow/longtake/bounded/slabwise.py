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

from contextlib import nullcontext
from dataclasses import dataclass, field, replace
from os import PathLike
from typing import Any

import torch
from torch import Tensor

from longtake.bounded.automatic import Gradient
from longtake.bounded.front import Front, Segment, Waist, held_by, segments
from longtake.bounded.guard import Memory, frozen, memory_of
from longtake.bounded.live import LiveBytes
from longtake.bounded.run import Found, Scalar, Way, run, subject_of
from longtake.bounded.slabs import Pass, backward, forward
from longtake.bounded.tape import Tail
from longtake.errors import ExactnessError


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


def parts_of(front: Front, way: SlabWay) -> list[tuple[Segment, int]]:
    """Segments from the input to the cut, with the rows that a slab of each has."""
    whole = front.waists[0]
    first = segments(front, whole, way.start, most=way.most) if way.start.ops else []
    every = [*first, *segments(front, way.start, way.cut, most=way.most)]
    if not every:
        return []
    room = way.tile * every[0].row_bytes()
    return [(each, max(way.tile if at == 0 else 1, room // max(1, each.row_bytes()))) for at, each in enumerate(every)]


def through(
    front: Front, way: SlabWay, given: Tensor, held: dict[str, Tensor], *, abridged: bool = False, keep: bool = True
) -> tuple[list[tuple[Pass, Tensor]], Tensor]:
    """The features at the cut; and, where they are to be kept, the input of each segment from the start on."""
    passes, features = [], given
    for segment, rows in parts_of(front, way):
        each = Pass(segment, rows, held, abridged=abridged)
        made = forward(each, features)
        if keep and segment.start.ops >= way.start.ops:
            passes.append((each, features))
        features = made
    return passes, features


def run_slabs(
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
    """The gradient in this way; parameters must be frozen. The same for a real run and, with fakes, a simulation."""
    at_cut = way.start == way.cut
    passes, features = through(front, way, given.detach(), held_by(model), abridged=abridged, keep=not at_cut)
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
    way : of `plan_slabs`, for the same

    Memory: what the way's simulation predicted, of tensors beyond the model and the volume.

    Raises
    ------
    ExactnessError : the model computed something else than when it was looked at.
    """
    live = LiveBytes() if measure else None
    module = subject_of(model).module
    with frozen(module), live or nullcontext():
        found = run_slabs(model, given, scalar, front, way, wrt=wrt, memory=memory_of(module), folder=folder)
    if not bool(torch.isfinite(found.value)):
        raise ExactnessError(
            f"the score is {float(found.value)} when the model's front is evaluated in slabs: its code changes a "
            "tensor in place and reads it under another name, or the volume holds numbers that overflow."
        )
    peak = live.peak if live is not None else None
    tail = replace(way.tail, predicted_bytes=way.predicted_bytes)
    return Gradient(float(found.value), found.gradient, found.at, found.outputs, tail, peak, found.spilled.nbytes)


def slab_scores(model: Any, given: Tensor, front: Front, tile: int) -> Any:
    """What the model returns for `given`, without a graph, its front in slabs of `tile` rows.

    Raises
    ------
    ExactnessError : the model computed something else than when it was looked at.
    """
    way = SlabWay(front.waists[-1], front.waists[-1], 2 * front.tape.nbytes(0), tile)
    with frozen(subject_of(model).module), torch.no_grad():
        _, features = through(front, way, given.detach(), held_by(model), keep=False)
        outputs = Tail(model, front.tape, way.cut.ops).scores(features)
    if isinstance(outputs, Tensor) and not bool(torch.isfinite(outputs).all()):
        raise ExactnessError("scores are not finite when the model's front is evaluated in slabs")
    return outputs
