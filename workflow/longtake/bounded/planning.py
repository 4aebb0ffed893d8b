"""Finding the cheapest way whose memory is within a budget, before anything is computed.

Each way is simulated: run, forward and backward, with fake tensors, while the bytes of living ones are counted. What a
simulation costs is Python's time for each operation, some tenths of a millisecond, whatever the tensors' size.
"""

import logging
import sys
from collections.abc import Callable, Collection, Hashable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Self

import torch
from torch import Tensor, nn
from torch.utils._pytree import tree_leaves

from longtake.bounded.choose import Cuts, choices, relaxed
from longtake.bounded.guard import frozen
from longtake.bounded.independence import (
    LARGEST,
    LONGEST,
    independent,
    make_of,
    possible_cuts,
    seems_independent,
)
from longtake.bounded.live import LiveBytes
from longtake.bounded.pieces import Cut
from longtake.bounded.profile import NEEDS_NUMBERS, Usage, saved_by_module, simulation
from longtake.bounded.run import Scalar, Way, leaf_at, run, subject_of
from longtake.bounded.split import FrameStack, chunk_bounds, frames_alone, gradient_chunks, head_pass
from longtake.errors import BudgetError, LongtakeError, ModelError

logger = logging.getLogger(__name__)

TRIAL = 512 * 2**20
"""Bytes of activations of a trial whether frames are encoded each by itself, at most."""


def plan(
    model: Any, frames: Tensor, scalar: Scalar, *, wrt: str | None = None, budget: int, uncut: Collection[str] = ()
) -> Way:
    """The cheapest way whose simulated peak is within `budget` bytes; see `longtake.bounded.automatic.gradient`.

    Memory: one submodule in float64, while it is found out whether its call can be cut; with `encode` and `head`, what
    `splits` tries within the budget.

    Raises
    ------
    BudgetError : there is none; the message names the smallest peak that can be had.
    ModelError : the model cannot be simulated.
    """
    least, smallest = Way(), None
    with frozen(subject_of(model).module):
        for found in ways(model, frames, scalar, wrt=wrt, budget=budget, uncut=uncut):
            logger.debug("%s would take %d bytes of %d", found.way.name, found.peak, budget)
            if found.peak <= budget:
                return found.way
            if smallest is None or found.peak < smallest:
                least, smallest = found.way, found.peak
    raise BudgetError(
        f"the gradient cannot be had within {budget} bytes: the smallest peak is {smallest} bytes, by {least.name}. "
        "Give it that much, or use fewer or smaller frames."
    )


@dataclass(frozen=True)
class Simulated:
    """A way, and what it was found to take: most bytes of living tensors at a time, and every allocation in order
    (`longtake.planning.heap`)."""

    way: Way
    peak: int
    events: Sequence[tuple[int, int]]

    @classmethod
    def of(cls, way: Way, live: LiveBytes) -> Self:
        """The way, with the peak in it as well."""
        return cls(replace(way, predicted_bytes=live.peak), live.peak, live.events or ())


def simulate(model: Any, frames: Tensor, scalar: Scalar, way: Way, *, wrt: str | None = None) -> Simulated:
    """Go through this way with fake tensors; the model must be frozen.

    Raises
    ------
    ModelError : the model cannot be called with fake tensors.
    ExactnessError : the way is not for this model.
    """
    with simulation(model, frames) as (double, fake), LiveBytes(keep_events=True) as live:
        run(subject_of(double), fake, _simulable(scalar), way, wrt=wrt)
    return Simulated.of(way, live)


def ways(
    model: Any,
    frames: Tensor,
    scalar: Scalar,
    *,
    wrt: str | None = None,
    budget: int | None = None,
    split: bool = True,
    uncut: Collection[str] = (),
) -> Iterator[Simulated]:
    """Ways, cheapest first. Made one by one, because the next costs another simulation.

    A way whose simulation fails is left out: what a model does can be in the way of one and not of the others. Only
    where plain back-propagation cannot be simulated there is none.

    Parameters
    ----------
    budget : with one, the way that recomputes no more than it must to keep to it is among them
    split : whether to consider `encode` and `head`
    uncut : submodules whose calls are not cut

    The model must be frozen.
    """

    def simulated(way: Way) -> Iterator[Simulated]:
        try:
            yield simulate(model, frames, scalar, way, wrt=wrt)
        except LongtakeError as error:
            logger.info("%s is ruled out: %s", way.name, error)

    yield simulate(model, frames, scalar, Way(), wrt=wrt)
    if split and wrt is None and splits(model, frames, limit=budget):
        for chunk in halves(len(frames)):
            yield from simulated(Way(chunk_size=chunk))
    usages = usage(model, frames, wrt=wrt)
    cuts = proved_cuts(subject_of(model).module, usages, limit=budget, uncut=uncut)
    for found in (choices(usages, without=wrt), choices(usages, cuts=cuts, without=wrt)):
        if found:
            best = min(found, key=lambda choice: choice.stay + choice.insides)
            for whole in simulated(Way(blocks=best.blocks)):
                fewer = best.blocks if budget is None else relaxed(best.blocks, usages, budget - whole.peak)
                if fewer != best.blocks:
                    yield from simulated(Way(blocks=fewer))
                yield whole
    for choice in choices(usages, cuts=cuts, without=wrt):
        yield from simulated(Way(blocks=choice.blocks, spill=True))
    # All that autograd saves: nothing is recomputed, but a clip's worth of memory is written and read.
    yield from simulated(Way(spill=True))


def usage(model: Any, frames: Tensor, *, wrt: str | None = None) -> dict[str, Usage]:
    """What each submodule saves for the backward pass, by dotted name; the model must be frozen.

    Raises
    ------
    ModelError : the model cannot be called with fake tensors.
    """
    with simulation(model, frames) as (double, fake):
        twin = subject_of(double)
        leaf = fake.requires_grad_(wrt is None)
        with leaf_at(twin.module, wrt):
            return saved_by_module(twin.module, lambda: twin.forward(leaf), leaf)


def chunk_ways(model: Any, frames: Tensor, scalar: Scalar, *, most: int | None = None) -> Iterator[Simulated]:
    """The same for who takes the gradient chunk by chunk and keeps none of it, of a model with `encode` and `head`.

    All frames at once need no second pass. The peaks hold a chunk's frames and its gradient, not the clip's.

    Parameters
    ----------
    most : frames at a time, at most
    """
    most = min(most or len(frames), len(frames))
    if most == len(frames):
        yield simulate(model, frames, scalar, Way())
    for chunk in [most, *halves(most)]:
        if chunk < len(frames):
            yield simulate_chunks(model, frames, scalar, chunk)


def halves(n_frames: int) -> Iterator[int]:
    """Half of the frames, rounded up, half of that, and so on down to one."""
    while n_frames > 1:
        n_frames = -(-n_frames // 2)
        yield n_frames


def simulate_chunks(model: Any, frames: Tensor, scalar: Scalar, chunk_size: int) -> Simulated:
    """Go through both passes of `longtake.bounded.split` with fake tensors, keeping no chunk.

    Chunks of equal length need the same: of the first pass the first and the last two are simulated, of the second the
    first one.
    """
    with simulation(model, frames) as (double, fake), LiveBytes(keep_events=True) as live:
        subject = subject_of(double)
        if subject.encode is None or subject.head is None:
            raise ModelError(f"{type(model).__name__} has no encode and head")
        stack, abridged = _Made(fake), _Abridged(subject.encode, len(chunk_bounds(len(frames), chunk_size)))
        first = head_pass(abridged, subject.head, stack, _simulable(scalar), chunk_size, module=subject.module)
        next(gradient_chunks(subject.encode, stack, first, chunk_size, module=subject.module))
    return Simulated.of(Way(chunk_size=chunk_size), live)


@dataclass(frozen=True)
class _Made:
    """A stack of frames of which each slice is made when it is asked for."""

    frames: Tensor

    def __len__(self) -> int:
        return len(self.frames)

    def __getitem__(self, index: Any) -> Tensor:
        return self.frames[index].clone()


@dataclass
class _Abridged:
    """An encoder that is only called for the first and the last two of `calls` chunks; of the others, features are made
    in their shape."""

    encode: Callable[[Tensor], Tensor]
    calls: int
    done: int = 0
    shape: tuple[int, ...] = ()
    dtype: torch.dtype = torch.float32

    def __call__(self, frames: Tensor) -> Tensor:
        self.done += 1
        if 1 < self.done < self.calls - 1:
            return frames.new_empty((len(frames), *self.shape), dtype=self.dtype)
        features = self.encode(frames)
        self.shape, self.dtype = tuple(features.shape[1:]), features.dtype
        return features


def splits(model: Any, frames: FrameStack, *, limit: int | None = None) -> bool:
    """Whether `encode`, if there is one, takes each frame by itself; if not, a warning says so.

    It is tried with as many of the frames as `limit` bytes, and `TRIAL`, allow of their activations; with two at least.
    """
    encode = subject_of(model).encode
    if encode is None:
        return False
    limit, count = min(TRIAL, limit or TRIAL), len(frames)
    while count > 2 and _encoding_bytes(model, frames[:1], count) > limit:
        count = -(-count // 2)
    if frames_alone(encode, frames, most=count, precision=getattr(model, "precision", None)):
        return True
    logger.warning("encode lets frames influence each other, so the model is not split; checkpointing is used instead")
    return False


def _encoding_bytes(model: Any, frame: Tensor, count: int) -> int:
    """Bytes of encoding so many frames without a graph; more than there are if that cannot be simulated."""
    try:
        with simulation(model, frame) as (double, fake), LiveBytes() as live, torch.no_grad():
            double.encode(fake.new_empty((count, *fake.shape[1:])))
    except ModelError:
        return sys.maxsize
    return live.peak


def proved_cuts(
    module: nn.Module, usages: Mapping[str, Usage], *, limit: int | None = None, uncut: Collection[str] = ()
) -> Cuts:
    """Ways to cut a submodule's call, proved when first asked for, once for all submodules of the same make.

    A proof needs the module and some elements in float64: where that is over `limit` bytes, there is none.

    Parameters
    ----------
    uncut : submodules that are not cut
    """
    makes: dict[str, Hashable] = {}
    looked: dict[tuple[Hashable, Cut], bool] = {}
    proved: dict[tuple[Hashable, Cut, int], bool] = {}

    def cuts(name: str, pieces: int) -> Cut | None:
        if name in uncut:
            return None
        part, seen = module.get_submodule(name), usages[name]
        make = makes.setdefault(name, make_of(part, seen.arguments))
        for cut in possible_cuts(seen.arguments):
            needed = 8 * seen.working // cut.size + 8 * sum(tensor.numel() for tensor in part.parameters())
            if cut.size < pieces or (limit is not None and needed > limit):
                continue
            if (make, cut) not in looked:
                looked[make, cut] = seems_independent(part, seen.arguments, cut)
            length = min(cut.size // pieces, LONGEST, max(1, LARGEST * cut.size // max(seen.working, 1)))
            if looked[make, cut] and (make, cut, length) not in proved:
                proved[make, cut, length] = independent(part, seen.arguments, cut, length)
            if looked[make, cut] and proved[make, cut, length]:
                return cut
        return None

    return cuts


def _simulable(scalar: Scalar) -> Scalar:
    """The scalar; or, where it must see numbers (the class that is predicted), the sum of all outputs instead."""

    def score(outputs: Any) -> Tensor:
        try:
            return scalar(outputs)
        except NEEDS_NUMBERS:
            leaves = [leaf for leaf in tree_leaves(outputs) if isinstance(leaf, Tensor) and leaf.requires_grad]
            return torch.stack([leaf.sum() for leaf in leaves]).sum()

    return score
