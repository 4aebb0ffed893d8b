"""A submodule's call in pieces: as a whole on the way forward, piece by piece on the way back.

Forward, the call is done as a whole and nothing of it is kept but its inputs. When the backward pass comes to it, it is
done again piece by piece along the dimension in which its elements are said to be independent, each piece is
differentiated at once, and its insides are gone before the next. One piece's insides are alive at a time.

So both results are there, the whole's and the pieces', at the size of the real call: they are compared, element by
element, by a few weighted sums of each element's numbers that were noted on the way forward. Whatever an element gets
from outside of its piece, however far away, shows there, and the call may not be cut (`Dependent`). Pieces and whole
may be computed by different kernels, so they are equal but for rounding.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor
from torch.autograd.graph import Node, saved_tensors_hooks
from torch.utils._pytree import tree_flatten, tree_unflatten

from longtake.bounded.guard import has_values
from longtake.bounded.live import storage_key
from longtake.errors import ExactnessError
from longtake.supervise.child import out_of_memory

SUMS = 2
"""Weighted sums of an element's numbers by which it is compared."""
ROUNDING, COARSE_ROUNDING = 128, 2
"""Of a type's precision and of the largest element: by so much the same numbers may differ, summed in other orders.
Half precision sums in full and rounds once."""


class Dependent(ExactnessError):
    """A call was cut whose elements are not independent; `block` is the submodule's name."""

    def __init__(self, block: str, message: str) -> None:
        super().__init__(message)
        self.block = block


@dataclass(frozen=True)
class Cut:
    """A dimension along which the elements of a call are independent.

    Attributes
    ----------
    dimension : of the first tensor among the arguments, and of every output
    size : number of elements along it
    arguments : for each tensor among the arguments (`Call.tensors`), whether it is cut as well or goes whole into each
        piece
    """

    dimension: int
    size: int
    arguments: tuple[bool, ...]

    def fits(self, tensors: Sequence[Tensor]) -> bool:
        """Whether a call with these tensors has that dimension and size."""
        return len(tensors) == len(self.arguments) and all(
            tensor.dim() > self.dimension and tensor.shape[self.dimension] == self.size
            for tensor, is_cut in zip(tensors, self.arguments, strict=True)
            if is_cut
        )


class Call:
    """A call's arguments taken apart, such that it can be repeated with other tensors in their places.

    A tensor that is passed twice is one tensor (``query is key`` decides what attention computes), also when the call
    is repeated.

    Attributes
    ----------
    tensors : the tensors among the arguments, each once, in order
    others : what there is beside tensors
    """

    def __init__(self, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
        leaves, self._structure = tree_flatten((args, kwargs))
        known: dict[int, int] = {}
        self.tensors: list[Tensor] = []
        self._places: list[int | None] = []
        for leaf in leaves:
            if isinstance(leaf, Tensor) and id(leaf) not in known:
                known[id(leaf)] = len(self.tensors)
                self.tensors.append(leaf)
            self._places.append(known[id(leaf)] if isinstance(leaf, Tensor) else None)
        self._leaves = [None if isinstance(leaf, Tensor) else leaf for leaf in leaves]

    @property
    def others(self) -> list[Any]:
        """What there is beside tensors, None left out."""
        return [leaf for leaf in self._leaves if leaf is not None]

    def repeat(self, function: Callable[..., Any], tensors: Sequence[Tensor]) -> Any:
        """Call `function` with these in the place of `tensors`.

        Raises
        ------
        ExactnessError : it puts something else into a list or dictionary among its arguments, which is a copy here.
        """
        given = zip(self._places, self._leaves, strict=True)
        leaves = [other if place is None else tensors[place] for place, other in given]
        args, kwargs = tree_unflatten(leaves, self._structure)
        # As it was put together: a torch.Size has become a tuple.
        _, before = tree_flatten((args, kwargs))
        result = function(*args, **kwargs)
        after, structure = tree_flatten((args, kwargs))
        if structure != before or not all(map(_is_same, after, leaves)):
            raise ExactnessError(
                "a submodule changes a list or dictionary that it is given; what it is to hand on must be returned, or "
                "the submodule not be called again"
            )
        return result


def even_bounds(size: int, pieces: int) -> list[tuple[int, int]]:
    """[start, stop) of at most `pieces` pieces of 0..size-1, which differ in length by at most one."""
    pieces = min(pieces, size)
    return [(size * number // pieces, size * (number + 1) // pieces) for number in range(pieces)]


def piece_of(tensors: Sequence[Tensor], cut: Cut, start: int, stop: int) -> list[Tensor]:
    """The tensors of a piece [start, stop); those that are cut are views."""
    return [
        tensor.narrow(cut.dimension, start, stop - start) if is_cut else tensor
        for tensor, is_cut in zip(tensors, cut.arguments, strict=True)
    ]


def separable(outputs: Sequence[Any], tensors: Sequence[Tensor], cut: Cut, size: int | None = None) -> bool:
    """Whether outputs can be put together of pieces' ones.

    They must be tensors or None, with `size` elements (those of the cut) along it. They must not be views of arguments
    or of each other: an in-place operation that follows would have to change both, with their graphs.
    """
    size = cut.size if size is None else size
    keys = [storage_key(tensor) for tensor in tensors]
    for output in outputs:
        if output is None:
            continue
        if not isinstance(output, Tensor) or output.layout is not torch.strided:
            return False
        if output.dim() <= cut.dimension or output.shape[cut.dimension] != size or storage_key(output) in keys:
            return False
        keys.append(storage_key(output))
    return True


def leads_only_to(outputs: Sequence[Any], leaves: Sequence[Tensor]) -> bool:
    """Whether the outputs' graph begins at these leaves and nowhere else."""
    known = {id(leaf) for leaf in leaves}
    begins = (getattr(node, "variable", None) for node in nodes(outputs))  # of nodes at which a graph begins
    return all(variable is None or id(variable) in known for variable in begins)


def nodes(outputs: Sequence[Any]) -> Iterator[Node]:
    """The nodes of the outputs' graph."""
    waiting: list[Node | None] = [output.grad_fn for output in outputs if _has_graph(output)]
    seen: set[Node] = set()
    while waiting:
        node = waiting.pop()
        if node is not None and node not in seen:
            seen.add(node)
            waiting += [following for following, _ in node.next_functions]
            yield node


@dataclass(frozen=True)
class Sketch:
    """What is noted of an output with n elements: weighted `sums` (n, SUMS), and by how much they may `differ`."""

    sums: Tensor
    differ: float

    def agrees(self, other: "Sketch", start: int, stop: int) -> bool:
        """Whether `other` is of the elements start..stop-1 of this one."""
        if not has_values(other.sums):
            return True
        return torch.allclose(other.sums, self.sums[start:stop], rtol=0, atol=self.differ, equal_nan=True)


def sketch(output: Tensor, dimension: int, precision: torch.dtype | None = None) -> Sketch:
    """Weighted sums of each element's numbers along `dimension`.

    The weights lie between 1 and 2 and are of either sign; a number's is the product of one for each place in each
    dimension, so that a number that changes, or two that change places, change a sum.

    Parameters
    ----------
    precision : in which the numbers were computed, if not in that of the output
    """
    precision = precision or output.dtype
    numbers = output.detach().resolve_conj().resolve_neg()
    if not (numbers.is_floating_point() or numbers.is_complex()):
        numbers = numbers.double()
    if dimension == numbers.dim() - 1:
        numbers, dimension = numbers.movedim(-1, 0), 0
    others = tuple(place for place in range(numbers.dim()) if place != dimension)
    norms = torch.linalg.vector_norm(numbers, dim=others) if others else numbers.abs()
    found, generator = numbers[..., None], torch.Generator().manual_seed(0)
    for place in reversed(others):
        sizes = (numbers.shape[place], SUMS)
        signs = 1 - 2 * torch.randint(2, sizes, generator=generator)
        weights = (signs * (1 + torch.rand(sizes, generator=generator))).to(found)
        if found.shape[-1] == 1:
            found = found[..., 0] @ weights
        else:
            found = (found * weights.view(sizes[0], *[1] * (found.dim() - place - 2), SUMS)).sum(place)
    if not has_values(output):
        return Sketch(found, 0.0)
    finite = norms[norms.isfinite()]
    return Sketch(found, rounding(precision) * (float(finite.max()) if finite.numel() else 0.0))


def rounding(precision: torch.dtype) -> float:
    """By what part of the largest the same numbers may differ that were computed in another order; 0 for integers."""
    if not (precision.is_floating_point or precision.is_complex):
        return 0.0
    unit = torch.finfo(precision).eps
    return unit * (ROUNDING if unit < 1e-6 else COARSE_ROUNDING)


@dataclass
class Pieces:
    """A call that is to be done in pieces.

    Attributes
    ----------
    run : tensors in the place of the call's -> its result
    cut, pieces : along what, and how many
    name, title : of the submodule; and how a message calls it
    """

    run: Callable[[Sequence[Tensor]], Any]
    cut: Cut
    pieces: int
    name: str
    title: str
    structure: Any = None
    sketches: list[Sketch | None] = field(default_factory=list)
    autocast: tuple[str, torch.dtype, bool] = ("cpu", torch.bfloat16, False)

    def result(self, tensors: Sequence[Tensor]) -> Any:
        """The call's result, whose graph does it in pieces.

        Raises
        ------
        Dependent : at once, if what is returned cannot be put together of pieces; or when the backward pass comes to
            it, if pieces differ from the whole.
        """
        device = tensors[0].device.type
        self.autocast = device, torch.get_autocast_dtype(device), torch.is_autocast_enabled(device)
        outputs = _InPieces.apply(self, *tensors)
        return tree_unflatten(list(outputs), self.structure)

    def whole(self, tensors: Sequence[Tensor], asked: Sequence[bool]) -> list[Tensor | None]:
        """The outputs of the whole call; their graph keeps nothing."""
        given = _leaves(tensors, asked)
        # With a graph, of which nothing is kept: a module may do otherwise without one.
        with torch.enable_grad(), saved_tensors_hooks(lambda _: None, self._escaped):
            leaves, self.structure = tree_flatten(self.run(given))
        if not separable(leaves, tensors, self.cut):
            raise self._dependent("returns what is not counted along it, or a view of what it was given.")
        self.sketches = [self._sketch(leaf) for leaf in leaves]
        return leaves

    def differentiated(
        self,
        bounds: tuple[int, int],
        tensors: Sequence[Tensor],
        asked: Sequence[bool],
        grads: Sequence[Tensor | None],
    ) -> list[Tensor | None]:
        """Do a piece again, compare it with the whole, and return the gradients of its tensors.

        Raises
        ------
        Dependent : it is something else.
        """
        start, stop = bounds
        device, dtype, enabled = self.autocast
        given = _leaves(piece_of(tensors, self.cut, start, stop), asked)
        try:
            with torch.enable_grad(), torch.autocast(device, dtype=dtype, enabled=enabled):
                outputs = tree_flatten(self.run(given))[0]
        except Exception as error:  # of the module's own code, which may raise anything
            if out_of_memory(error):
                raise
            raise self._dependent(f"fails with some elements ({type(error).__name__}: {error}).") from error
        if not leads_only_to(outputs, given):
            raise self._dependent("uses tensors with a gradient that are not among its arguments.")
        for output, whole in zip(outputs, self.sketches, strict=True):
            now = self._sketch(output)
            if now is not None and whole is not None and not whole.agrees(now, start, stop):
                raise self._dependent(
                    f"gives other numbers for elements {start} to {stop - 1} than the call as a whole: they depend on "
                    "elements outside of them, or it draws random numbers or keeps state between calls. No gradient "
                    "was written."
                )
        backward = [(out, grad) for out, grad in zip(outputs, grads, strict=True) if grad is not None]
        backward = [(out, grad) for out, grad in backward if _has_graph(out)]
        wanted = [tensor for tensor in given if tensor.requires_grad]
        if not backward:
            return [None] * len(given)
        roots, weights = zip(*backward, strict=True)
        found = iter(torch.autograd.grad(roots, wanted, weights, allow_unused=True))
        return [next(found) if tensor.requires_grad else None for tensor in given]

    def _sketch(self, output: Tensor | None) -> Sketch | None:
        if output is None or not output.numel():
            return None
        device, dtype, enabled = self.autocast
        with torch.no_grad(), torch.autocast(device, enabled=False):
            return sketch(output, self.cut.dimension, dtype if enabled else None)

    def _dependent(self, what: str) -> Dependent:
        return Dependent(self.name, f"{self.title}, cut along dimension {self.cut.dimension}, {what}")

    def _escaped(self, _: None) -> Tensor:
        raise self._dependent("hands on tensors with a gradient otherwise than by what it returns.")


class _InPieces(torch.autograd.Function):
    """(pieces, *tensors) -> the outputs."""

    @staticmethod
    def forward(ctx: Any, pieces: Pieces, *tensors: Tensor) -> tuple[Tensor | None, ...]:
        outputs = pieces.whole(tensors, ctx.needs_input_grad[1:])
        ctx.pieces = pieces
        ctx.save_for_backward(*tensors)
        ctx.set_materialize_grads(False)
        bare = tuple(None if leaf is None else leaf.detach() for leaf in outputs)
        # Autograd would give a graph to what had none as well.
        fixed = [each for each, leaf in zip(bare, outputs, strict=True) if leaf is not None and not leaf.requires_grad]
        ctx.mark_non_differentiable(*fixed)
        return bare

    @staticmethod
    def backward(ctx: Any, *grads: Tensor | None) -> tuple[Tensor | None, ...]:
        pieces, tensors, asked = ctx.pieces, ctx.saved_tensors, ctx.needs_input_grad[1:]
        cut: Cut = pieces.cut
        sums = [
            torch.zeros_like(tensor, memory_format=torch.contiguous_format) if wanted else None
            for tensor, wanted in zip(tensors, asked, strict=True)
        ]
        for start, stop in even_bounds(cut.size, pieces.pieces):
            back = [None if grad is None else grad.narrow(cut.dimension, start, stop - start) for grad in grads]
            found = pieces.differentiated((start, stop), tensors, asked, back)
            for total, part, is_cut in zip(sums, found, cut.arguments, strict=True):
                if total is None or part is None:
                    continue
                # A piece's own rows are written; what went whole into every piece is added up.
                if is_cut:
                    total.narrow(cut.dimension, start, stop - start).copy_(part)
                else:
                    total.add_(part)
            del back, found
        return (None, *sums)


def _leaves(tensors: Sequence[Tensor], asked: Sequence[bool]) -> list[Tensor]:
    return [tensor.detach().requires_grad_(wanted) for tensor, wanted in zip(tensors, asked, strict=True)]


def _has_graph(output: Any) -> bool:
    return isinstance(output, Tensor) and output.requires_grad


def _is_same(one: Any, other: Any) -> bool:
    """Whether both are one object; of plain values, whose objects come and go (those of a torch.Size), equal ones."""
    return one is other or (isinstance(one, int | float | str | bytes) and type(one) is type(other) and one == other)
