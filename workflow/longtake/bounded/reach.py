"""Which rows of its inputs each row of an operation's output depends on.

Nothing in an operation says so, hence it is tried: the operation is called with random numbers in the shapes of the
real call, but small, and with NaN in one row; the rows of the output that become NaN depend on it. A branch that
swallows NaN would fool this, so what was found is tested: in float64, rows computed from no more than what they are
said to depend on must equal those of the whole. An operation that fails is done for the whole volume at once.
"""

import math
from dataclasses import dataclass
from fractions import Fraction
from functools import partial
from typing import Any

import torch
from torch import Tensor
from torch.utils._pytree import tree_flatten, tree_map

from longtake.bounded.tape import Held, Op, Ref, resolve

DEPTHS = (16, 32, 64)
"""Rows of a trial; more where the reach of an operation shows no end in fewer."""
SIDE = 7
"""Of the other dimensions, at most."""
ROUNDING = 1e-9
FAILS = (RuntimeError, ValueError, TypeError, IndexError, NotImplementedError)


@dataclass(frozen=True)
class Reach:
    """Output row j depends on the input rows floor(j / rate) - before ... floor(j / rate) + after.

    Attributes
    ----------
    rate : output rows for each input row: 1/2 for a stride of two
    """

    rate: Fraction
    before: int
    after: int

    def needed(self, start: int, stop: int) -> tuple[int, int]:
        """Input rows [start, stop) of the output rows [start, stop); they may lie outside of the volume."""
        return math.floor(start / self.rate) - self.before, math.floor((stop - 1) / self.rate) + self.after + 1


def reach_of(op: Op, shapes: list[torch.Size], rows: set[int], held: dict[str, Tensor], axis: int) -> Reach | None:
    """The reach of an operation along `axis`; None if it has none that holds.

    Parameters
    ----------
    shapes : of all values, at their true size
    rows : numbers of the values that have rows; others, such as weights of channels, are given whole
    held : parameters and buffers by name, in float64

    Memory: some dozens of rows of `SIDE` x `SIDE` voxels.
    """
    sources = [number for number in op.inputs() if number in rows]
    depths = {shapes[number][axis] for number in sources if len(shapes[number]) > axis}
    outputs = [shapes[number] for number in op.outputs]
    if len(depths) != 1 or any(len(shape) <= axis or shape[axis] < 1 for shape in outputs):
        return None
    true = depths.pop()
    if len({shape[axis] for shape in outputs}) != 1:
        return None
    rate = _rate(true, outputs[0][axis])
    for depth in DEPTHS:
        trial = partial(_called, op, shapes, set(sources), held, axis=axis)
        try:
            found = _probed(trial, depth, rate, axis)
            if found is not None:
                return found if _holds(trial, found, depth, axis) else None
        except FAILS:
            return None
    return None


def _rate(before: int, after: int) -> Fraction:
    """Output rows an input row: a whole number, or one divided by a whole number."""
    return Fraction(round(after / before)) if after > before else Fraction(1, max(1, round(before / after)))


def _called(
    op: Op, shapes: list[torch.Size], sources: set[int], held: dict[str, Tensor], *, axis: int, depth: int, rows: Any
) -> list[Tensor]:
    """The outputs for random inputs of `depth` rows, changed by `rows`."""
    generator = torch.Generator().manual_seed(0)
    values = {}
    for number in op.inputs():
        if number in values:
            continue
        shape = [min(size, SIDE) if at > 1 else size for at, size in enumerate(shapes[number])]
        if number in sources:
            shape[axis] = depth
        random = torch.randn(shape, dtype=torch.float64, generator=generator)
        values[number] = rows(random) if number in sources else random
    with torch.no_grad():
        return resolve(op, values, held)


def _probed(trial: Any, depth: int, rate: Fraction, axis: int) -> Reach | None:
    """Poison rows in the middle, as many as a stride has; None where the reach comes to an edge."""
    middle = depth // 2
    before, after, seen = 0, 0, False
    for at in range(middle, middle + max(1, round(1 / rate))):
        row = torch.tensor([at])
        poisoned = trial(depth=depth, rows=lambda values, row=row: values.index_fill(axis, row, math.nan))
        for output in poisoned:
            flat = output.isnan().movedim(axis, 0).flatten(1).any(1)
            hit = flat.nonzero().flatten().tolist()
            if not hit:  # a stride passes over this row
                continue
            if hit[0] == 0 or hit[-1] == len(flat) - 1:
                return None
            before = max(before, *(math.floor(out / rate) - at for out in hit))
            after = max(after, *(at - math.floor(out / rate) for out in hit))
            seen = True
    return Reach(rate, before, after) if seen else None


def _holds(trial: Any, reach: Reach, depth: int, axis: int) -> bool:
    """Whether the middle rows, computed from what they need, are those of the whole; and the last ones as well."""
    whole = trial(depth=depth, rows=lambda values: values)
    size = whole[0].shape[axis]
    step = max(1, round(1 / reach.rate))
    for start, stop in ((size // 2, size // 2 + 2), (size - 2, size), (0, 2)):
        first, last = (min(max(0, each), depth) for each in reach.needed(start, stop))
        first = first // step * step
        last = depth if last > depth - step else -(-last // step) * step
        part = trial(depth=depth, rows=lambda values, first=first, last=last: values.narrow(axis, first, last - first))
        offset = start - int(first * reach.rate)
        for one, other in zip(whole, part, strict=True):
            a, b = one.narrow(axis, start, stop - start), other.narrow(axis, offset, stop - start)
            if not torch.allclose(a, b, rtol=0, atol=ROUNDING * max(1.0, float(one.abs().max()))):
                return False
    return True


def make_of(op: Op, shapes: list[torch.Size], held: dict[str, Tensor]) -> str:
    """What two operations share that reach alike: function, plain arguments, and the shapes of weights."""

    def outlined(leaf: Any) -> Any:
        if isinstance(leaf, Ref):
            return "value", len(shapes[leaf.number])
        return ("held", tuple(held[leaf.name].shape)) if isinstance(leaf, Held) else leaf

    return repr((op.function, tree_flatten(tree_map(outlined, (op.args, op.kwargs)))[0]))
