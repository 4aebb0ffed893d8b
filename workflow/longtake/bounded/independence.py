"""Finding, and proving by computation, a dimension along which a submodule treats elements independently.

A layer that handles frames one by one, or tokens one by one, gives the same outputs whether it gets all of them or
some. Nothing in a module says so, so it is tried: the real module, copied to float64, is called with drawn numbers
in the shapes of the real call, but with few elements along the dimension; then with these elements in three pieces. The
outputs, and the gradients with respect to what went in, must be equal bit for bit. In float64, with drawn numbers, an
influence of one element on another shows in the last bits at the least: attention along the dimension, a norm over it,
a position that is counted along it, all do. Pieces so short that another kernel computes them, which rounds otherwise,
are found out in the same way.

Not every processor's matrix products round a row alike however many other rows there are: MKL's kernels for AVX-512 do
from nine rows on, those for AVX2 do not. Where they do not (`rows_round_alike`), what is equal but for the rounding of
float64 counts as equal, for else no linear layer would be independent; and the results are equal but for that as well.

The proof speaks of as many elements as were tried. A layer whose elements meet only when there are more of them would
escape it, as a mixture of experts does that drops tokens when one expert gets too many.
"""

import copy
from functools import cache
from itertools import product
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils._pytree import tree_flatten

from longtake.bounded.checkpoint import Call, Cut, even_bounds, joined, pieces_of

LONGEST = 8
"""Elements in a piece that is tried, at most: longer ones are taken to behave as these do."""
LARGEST = 1 << 22
"""Bytes that a piece may save for backward, unless it is a single element: bounds the memory of the proof."""
ROUNDING = 1e-12
"""Of the largest number: by so much float64 results may differ where rows do not round alike."""


def possible_cuts(arguments: tuple[Any, Any]) -> list[Cut]:
    """Dimensions along which a call could be cut, the first ones first; the last dimension holds channels.

    Parameters
    ----------
    arguments : the call's positional and keyword arguments, tensors on any device
    """
    tensors = Call(*arguments).tensors
    # Whole numbers and truth values are indices or masks: drawing them would not be the real call.
    if not tensors or not all(tensor.is_floating_point() for tensor in tensors):
        return []
    return [
        Cut(dimension, size, tuple(tensor.dim() > dimension and tensor.shape[dimension] == size for tensor in tensors))
        for dimension, size in enumerate(tensors[0].shape[:-1])
        if size > 1
    ]


def seems_independent(module: nn.Module, arguments: tuple[Any, Any], cut: Cut) -> bool:
    """A first look with three elements, forward only, in the module's own precision and but for rounding: false for
    most calls that cannot be cut, at little cost."""
    return _agrees(module, arguments, cut, even_bounds(min(3, cut.size), 3))


def independent(module: nn.Module, arguments: tuple[Any, Any], cut: Cut, length: int) -> bool:
    """The proof that the call of `module` with such arguments can be cut into pieces of `length` elements, or one more.

    Memory: the module's parameters in float64, and what calls of at most 3 `length` + 1 elements save for backward.
    """
    bounds = even_bounds(min(cut.size, 3 * length + 1), 3)
    return _agrees(copy.deepcopy(module).double(), arguments, cut, bounds, bitwise=True)


def _agrees(
    module: nn.Module, arguments: tuple[Any, Any], cut: Cut, bounds: list[tuple[int, int]], *, bitwise: bool = False
) -> bool:
    """Whether a call with drawn numbers gives as a whole what it gives in the pieces `bounds`; if `bitwise`, in
    float64 and to the last bit."""
    size = bounds[-1][1]
    call = Call(*arguments)
    sample = _drawn(call.tensors, cut, size, module, bitwise)

    def run(given: list[Tensor]) -> Any:
        # Copies, for the module may change its arguments in place.
        return call.repeat(module, [tensor.clone() for tensor in given])

    try:
        # One after the other, so that one graph is alive at a time.
        first, outline = _with_gradients(run(sample), sample, cut.dimension, size)
        pieces = joined([run(piece) for piece in pieces_of(sample, cut, bounds)], cut.dimension)
        second, other = _with_gradients(pieces, sample, cut.dimension, size)
    except (RuntimeError, ValueError, TypeError, IndexError, KeyError, AssertionError, NotImplementedError):
        return False  # it insists on the number of elements, so they are not independent of how many they are
    return bool(first) and outline == other and all(_same(a, b, bitwise) for a, b in zip(first, second, strict=True))


def _with_gradients(result: Any, sample: list[Tensor], dimension: int, size: int) -> tuple[list[Tensor], list[Any]]:
    """Output tensors and the gradients of their sum, weighted so that no two elements count the same; and what else
    there is in the result.

    Raises
    ------
    ValueError : an output does not have `size` elements along `dimension`, or is neither a tensor nor None.
    """
    leaves, structure = tree_flatten(result)
    outputs = [leaf for leaf in leaves if isinstance(leaf, Tensor)]
    if any(output.dim() <= dimension or output.shape[dimension] != size for output in outputs):
        raise ValueError("outputs are not counted along this dimension")
    if any(leaf is not None for leaf in leaves if not isinstance(leaf, Tensor)):
        raise ValueError("what is returned beside tensors cannot be compared")
    graph = [output for output in outputs if output.requires_grad]
    weights = [torch.linspace(1, 2, output.numel()).to(output).view_as(output) for output in graph]
    asked = [tensor for tensor in sample if tensor.requires_grad]
    gradients = torch.autograd.grad(graph, asked, weights, allow_unused=True) if graph and asked else ()
    found = [tensor.detach() for tensor in [*outputs, *gradients] if tensor is not None]
    return found, [structure, [tensor.shape for tensor in found]]


def _same(a: Tensor, b: Tensor, bitwise: bool) -> bool:
    if not torch.isfinite(a).all():
        return False
    largest = float(a.abs().max()) if a.numel() else 0.0
    if not bitwise:
        return torch.allclose(a, b, rtol=1e-2, atol=1e-2 * largest)
    if torch.equal(a, b):
        return True
    return not rows_round_alike(a.device.type) and torch.allclose(a, b, rtol=0, atol=ROUNDING * largest)


@cache
def rows_round_alike(device: str) -> bool:
    """Whether products of float64 matrices on `device` give a row the same bits however many others there are.

    Tried with what a linear layer multiplies, forward and backward, in pieces of 9 and of 15 rows.
    """
    generator = torch.Generator().manual_seed(0)
    for rows, inner, outer in ((45, 6, 7), (90, 9, 6), (124, 8, 24), (124, 32, 8)):
        sizes = ((rows, inner), (outer, inner), (rows, outer))
        given, weight, back = (torch.randn(size, dtype=torch.float64, generator=generator).to(device) for size in sizes)
        for (left, right), length in product(((given, weight.T), (back, weight)), (9, 15)):
            if not torch.equal(left @ right, torch.cat([piece @ right for piece in left.split(length)])):
                return False
    return True


def _drawn(tensors: list[Tensor], cut: Cut, size: int, module: nn.Module, proof: bool) -> list[Tensor]:
    """Normally distributed tensors of these shapes, `size` elements where they are cut; for a proof in float64 and with
    a graph where the real ones have one."""
    device = next(module.parameters(), torch.empty(0)).device
    generator = torch.Generator().manual_seed(0)
    drawn = []
    for tensor, is_cut in zip(tensors, cut.arguments, strict=True):
        shape = list(tensor.shape)
        if is_cut:
            shape[cut.dimension] = size
        numbers = torch.randn(shape, dtype=torch.float64, generator=generator)
        numbers = numbers.to(device=device, dtype=torch.float64 if proof else tensor.dtype)
        drawn.append(numbers.requires_grad_(proof and tensor.requires_grad))
    return drawn
