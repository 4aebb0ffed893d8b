"""Finding a dimension along which a submodule treats elements independently, and proving it for a few of them.

A layer that handles frames one by one, or tokens one by one, gives the same outputs whether it gets all of them or
some. Nothing in a module says so, so it is tried: a copy of the module in float64 is called with drawn numbers
in the shapes of the real call, but with few elements along the dimension; then with these elements in pieces. The
outputs, and the gradients with respect to what went in, must be equal bit for bit. In float64, with drawn numbers, an
influence of one element on another shows in the last bits at the least: attention along the dimension, a norm over it,
a position that is counted along it, all do. Pieces so short that another kernel computes them, which rounds otherwise,
are found out in the same way. The copy's weights are drawn as well: a gate that training has closed, or not yet opened,
would hide what it gates, and one proof serves all submodules of the same make (`make_of`).

Not every processor's matrix products round a row alike however many other rows there are: MKL's kernels for AVX-512 do
from nine rows on, those for AVX2 do not. Where they do not (`rows_round_alike`), what is equal but for the rounding of
float64 counts as equal, for else no linear layer would be independent; and the results are equal but for that as well.

The proof speaks of as many elements as were tried. How far convolutions and poolings see is read from the module, and
more are tried than that; what sees farther by other means is found out at the size of the real call, when pieces and
whole are compared (`longtake.bounded.pieces`). That comparison sees outputs; a submodule with a backward pass of its
own, which could mix elements where the forward pass does not, is not cut at all.
"""

import copy
import enum
from collections.abc import Hashable, Sequence
from functools import cache
from itertools import product
from typing import Any

import torch
from torch import Tensor, nn
from torch.autograd.function import BackwardCFunction
from torch.utils._pytree import tree_flatten, tree_unflatten

from longtake.bounded.guard import fingerprint
from longtake.bounded.pieces import Call, Cut, even_bounds, nodes, piece_of, separable
from longtake.bounded.remembered import TORCH_KEEPS
from longtake.supervise.child import out_of_memory

LONGEST = 8
"""Elements in a piece that is tried, at most: longer ones are taken to behave as these do."""
LARGEST = 1 << 22
"""Bytes that a piece may save for backward, unless it is a single element: bounds the memory of the proof."""
FARTHEST = 1 << 24
"""Bytes that all elements of a proof may take where a module sees far; farther is left to the real call."""
PLAIN = (bool, int, float, complex, str, bytes, enum.Enum, torch.dtype, torch.device)
"""Types of arguments that cannot hold a tensor."""
KNOWN = (*PLAIN, tuple, list, type(None))
"""Types of attributes that two modules of the same make have alike if they read alike."""
ROUNDING = 1e-12
"""Of the largest number: by so much float64 results may differ where rows do not round alike."""


def possible_cuts(arguments: tuple[Any, Any]) -> list[Cut]:
    """Dimensions along which a call could be cut, the first ones first; the last dimension holds channels.

    Parameters
    ----------
    arguments : the call's positional and keyword arguments, tensors on any device
    """
    call = Call(*arguments)
    tensors = call.tensors
    # Whole numbers and truth values are indices or masks: drawing them would not be the real call. An object might hand
    # tensors in or out.
    if not tensors or not all(tensor.is_floating_point() and tensor.dim() for tensor in tensors[:1]):
        return []
    if not all(tensor.is_floating_point() for tensor in tensors) or not all(
        isinstance(it, PLAIN) for it in call.others
    ):
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

    Memory: the module's parameters in float64, and what calls of at most 3 `length` + 1 elements save for backward;
    more elements, of `FARTHEST` bytes, where convolutions see farther.
    """
    size = min(cut.size, 3 * length + 1)
    each = 8 * sum(
        it.numel() // cut.size for it, is_cut in zip(Call(*arguments).tensors, cut.arguments, strict=True) if is_cut
    )
    far = min(cut.size, 2 * reach(module) + 2, FARTHEST // max(each, 1))
    bounds = even_bounds(size, 3) if far <= size else even_bounds(far, -(-far // length))
    return _agrees(redrawn(copy.deepcopy(module).double()), arguments, cut, bounds, bitwise=True)


def redrawn(module: nn.Module) -> nn.Module:
    """The module, with other numbers in its parameters and buffers: near enough to work, and none of them zero. What
    is nowhere negative (a variance) stays so."""
    generator = torch.Generator().manual_seed(1)
    with torch.no_grad():
        for tensor in [*module.parameters(), *module.buffers()]:
            if tensor.is_floating_point() and tensor.numel():
                size = max(0.1, float(tensor.abs().mean()))
                moved = tensor + size * torch.randn(tensor.shape, generator=generator).to(tensor)
                tensor.copy_(moved.abs() if bool((tensor >= 0).all()) else moved)
    return module


HOOKS = ("_forward_pre_hooks", "_forward_hooks", "_backward_pre_hooks", "_backward_hooks")


def make_of(module: nn.Module, arguments: tuple[Any, Any]) -> Hashable:
    """What two submodules share whose calls are the same computation with other weights: types, plain attributes, other
    objects themselves (functions), hooks, shapes of weights, whole numbers in buffers, and the arguments."""
    parts = tuple(
        (name, type(part), key, repr(value) if isinstance(value, KNOWN) else id(value))
        for name, part in module.named_modules()
        for key, value in vars(part).items()
        if key not in TORCH_KEEPS
    )
    hooks = tuple(
        (name, kind, tuple(id(hook) for hook in vars(part)[kind].values()))
        for name, part in module.named_modules()
        for kind in HOOKS
        if vars(part).get(kind)
    )
    weights = tuple(
        (name, tensor.shape, None if tensor.is_floating_point() else tuple(fingerprint(tensor).tolist()))
        for name, tensor in [*module.named_parameters(), *module.named_buffers()]
    )
    call = Call(*arguments)
    return parts, hooks, weights, tuple((it.shape, it.dtype) for it in call.tensors), repr(call.others)


def reach(module: nn.Module) -> int:
    """Elements that the convolutions and poolings of `module`, one after the other, see to one side at most."""
    return sum(
        max((size - 1) * step for size, step in zip(*_sides(part), strict=True))
        for part in module.modules()
        if isinstance(getattr(part, "kernel_size", None), int | tuple)
    )


def _sides(part: Any) -> tuple[Sequence[int], Sequence[int]]:
    """Sizes and dilations of a kernel, along each of its dimensions."""
    sizes, dilations = part.kernel_size, getattr(part, "dilation", 1)
    sizes = (sizes,) if isinstance(sizes, int) else sizes
    return sizes, ((dilations,) * len(sizes) if isinstance(dilations, int) else dilations)


def _agrees(
    module: nn.Module, arguments: tuple[Any, Any], cut: Cut, bounds: list[tuple[int, int]], *, bitwise: bool = False
) -> bool:
    """Whether a call with drawn numbers gives as a whole what it gives in the pieces `bounds`; if `bitwise`, in
    float64 and to the last bit."""
    size = bounds[-1][1]
    call = Call(*arguments)
    sample = _drawn(call.tensors, cut, size, module, bitwise)

    def run(given: list[Tensor], length: int) -> Any:
        # Copies, for the module may change its arguments in place.
        copies = [tensor.clone() for tensor in given]
        result = call.repeat(module, copies)
        if not separable(tree_flatten(result)[0], copies, cut, length):
            raise ValueError("what is returned cannot be put together of pieces")
        return result

    try:
        # One after the other, so that one graph is alive at a time.
        first, outline = _with_gradients(run(sample, size), sample)
        pieces = [run(piece_of(sample, cut, start, stop), stop - start) for start, stop in bounds]
        second, other = _with_gradients(joined(pieces, cut.dimension), sample)
    except Exception as error:  # of the module's own code, which may raise anything
        if out_of_memory(error):
            raise
        return False  # it insists on the number of elements, so they are not independent of how many they are
    return bool(first) and outline == other and all(_same(a, b, bitwise) for a, b in zip(first, second, strict=True))


def joined(results: Sequence[Any], dimension: int) -> Any:
    """Results of pieces, put together along `dimension`."""
    flattened = [tree_flatten(result) for result in results]
    leaves = [
        torch.cat(parts, dimension) if isinstance(parts[0], Tensor) else parts[0]
        for parts in map(list, zip(*(leaves for leaves, _ in flattened), strict=True))
    ]
    return tree_unflatten(leaves, flattened[0][1])


def _with_gradients(result: Any, sample: list[Tensor]) -> tuple[list[Tensor], list[Any]]:
    """Output tensors and the gradients of their sum, weighted so that no two elements count the same; and their shapes.

    Raises
    ------
    ValueError : a backward pass of the module's own is among them.
    """
    leaves, structure = tree_flatten(result)
    outputs = [leaf for leaf in leaves if isinstance(leaf, Tensor)]
    graph = [output for output in outputs if output.requires_grad]
    if any(isinstance(node, BackwardCFunction) for node in nodes(graph)):
        raise ValueError("what a backward pass of one's own mixes cannot be seen")
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
