"""One entry to exact gradients: whatever the model, as cheap as the memory allows.

Every way gives the gradient of one forward pass over all frames. They differ in what they cost:

==========================  ======================================================  ==============================
way                         what is in memory until the backward pass               what it costs
==========================  ======================================================  ==============================
plain                       everything that autograd saves                          nothing
split                       features; activations of one chunk of frames            the encoder a second time
checkpoint                  inputs of chosen submodules; the insides of one         these submodules a second time
checkpoint + cut            the same; the insides of one piece of one's call        the same
checkpoint + cut + spill    the insides of one piece of one's call                  the same, and files
spill                       next to nothing                                         everything in files
==========================  ======================================================  ==============================

*split* is for models that offer `encode` and `head` (`longtake.bounded.split`), the others are for any module
(`longtake.bounded.checkpoint`, `.independence`, `.spill`). Which submodules are chosen follows from what each saves
(`.profile`, `.choose`). Before anything is computed, each way is simulated with fake tensors while the bytes of living
ones are counted (`.planning`, `.live`), and the first whose peak is within the budget is taken. The run
itself is counted in the same manner, so that prediction and measurement can be compared.

The budget is of tensors, beyond the model and the frames themselves, the gradient that is returned included. A process
needs more: allocators round up and hold back, and operations have workspaces. Grant about four fifths of what is free.
"""

import logging
from contextlib import nullcontext
from dataclasses import dataclass
from os import PathLike
from typing import Any

from torch import Tensor

from longtake.bounded.guard import frozen
from longtake.bounded.live import LiveBytes
from longtake.bounded.pieces import Dependent
from longtake.bounded.planning import plan
from longtake.bounded.remembered import memory_of
from longtake.bounded.run import Scalar, Way, run, subject_of
from longtake.errors import ExactnessError, ModelError
from longtake.supervise.child import out_of_memory

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class Gradient:
    """A gradient, and how it came about.

    Attributes
    ----------
    value : the scalar
    gradient : of the shape of `at`
    at : what it is with respect to: the frames, or the output of the submodule that was named
    outputs : what the model returned, without a graph
    way : how it was done, with the bytes that were predicted; the next call with the same model, shape and budget
        can be told to do the same, and need not plan
    measured_bytes : peak of living tensors, beyond the model and the frames; None if that was not asked for
    spilled_bytes : written to files
    """

    value: float
    gradient: Tensor
    at: Tensor
    outputs: Any
    way: Way
    measured_bytes: int | None
    spilled_bytes: int


def gradient(
    model: Any,
    frames: Tensor,
    scalar: Scalar,
    *,
    wrt: str | None = None,
    budget: int | None = None,
    way: Way | None = None,
    folder: PathLike[str] | str | None = None,
    measure: bool = True,
) -> Gradient:
    """d scalar(model(frames)) / d frames, exact, within a budget of memory.

    Parameters
    ----------
    model : a module, called with `frames` alone; or a `ScoreModel` (`longtake.models.protocols`), whose `scores` is
        called. With `encode` and `head` as well it can be split. All its parts in eval mode
    frames : what the model takes, floating point; frames (T, 3, H, W) for a `ClipModel`
    scalar : the model's output -> one number. While planning it is called with tensors that have no values
    wrt : name of a submodule: differentiate with respect to its output, one tensor, instead of the frames
    budget : bytes of tensors beyond the model and the frames; None for no limit
    way : how to do it, instead of planning: that of an earlier result
    folder : where spilled tensors go, on a disk; the system's place for temporary files if None
    measure : count the bytes of living tensors, at some 20 microseconds an operation

    Raises
    ------
    BudgetError : no way is within the budget; the message names the smallest peak that can be had.
    ExactnessError : training mode, a part that remembers earlier calls, one that did not compute again what it computed
        before, or a `way` that is not for this model.
    ModelError : the model's memory cannot be planned, or `wrt` names no submodule with one tensor as output.
    OSError : the disk is full.
    """
    subject = subject_of(model)
    if not frames.is_floating_point():
        raise ModelError(f"a gradient needs frames in floating point, not {frames.dtype}")
    uncut: set[str] = set()
    while True:
        chosen = way or Way()
        if way is None and budget is not None:
            chosen = plan(model, frames, scalar, wrt=wrt, budget=budget, uncut=uncut)
        live = LiveBytes() if measure else None
        try:
            with frozen(subject.module), live or nullcontext():
                memory = memory_of(subject.module, model)
                found = run(subject, frames, scalar, chosen, wrt=wrt, memory=memory, folder=folder)
            break
        except Dependent as error:
            if way is not None:
                raise
            # A proof with few elements was wrong about this one: it is done without that cut.
            logger.warning("%s It is planned anew without this cut.", error)
            uncut.add(error.block)
        except RuntimeError as error:
            if chosen.plain or out_of_memory(error):
                raise
            raise ExactnessError(
                f"the gradient cannot be had by {chosen.name}: {error}. Ask for it with a budget, which leaves such "
                "ways out, or without a way."
            ) from error
    peak = live.peak if live is not None else None
    logger.debug("gradient by %s: predicted %s, measured %s bytes", chosen.name, chosen.predicted_bytes, peak)
    if budget is not None and peak is not None and peak > budget:
        logger.warning("the gradient by %s took %d bytes, more than the budget of %d", chosen.name, peak, budget)
    return Gradient(float(found.value), found.gradient, found.at, found.outputs, chosen, peak, found.spilled.nbytes)
