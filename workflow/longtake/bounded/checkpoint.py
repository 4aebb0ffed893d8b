"""Running chosen submodules of a model so that autograd keeps their inputs and not their insides.

Back-propagation needs what each operation saved on the way forward. A checkpointed submodule saves only its inputs; its
insides are computed again, from these inputs, when the backward pass comes to it, and are gone when it has passed.
One submodule's insides are alive at a time instead of all. Where a submodule treats the elements along some
dimension independently of each other (`longtake.bounded.independence`), its call can be cut into pieces along it, each
checkpointed by itself: then one piece's insides are alive at a time.

The modules are not changed: while the block runs, the chosen ones' `forward` is exchanged for one that does this. Every
recomputed output is compared with that of the first pass, bit for bit.
"""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils._pytree import tree_flatten, tree_unflatten
from torch.utils.checkpoint import CheckpointError, checkpoint, set_checkpoint_early_stop

from longtake.bounded.guard import called, fingerprint, has_values
from longtake.errors import ExactnessError


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


@dataclass(frozen=True)
class Block:
    """A submodule to be checkpointed, whole or in `pieces` along `cut`."""

    name: str
    pieces: int = 1
    cut: Cut | None = None


@contextmanager
def checkpointed(module: nn.Module, blocks: Sequence[Block]) -> Iterator[None]:
    """Checkpoint these submodules of `module` while the block runs; no one of them may contain another.

    Forward and backward pass both belong into the block. Parameters must be frozen, as they get no gradient here.

    Raises
    ------
    ExactnessError : a submodule does not compute again what it computed before; the message names it.
    """
    exchanged: list[tuple[nn.Module, dict[str, Any]]] = []
    try:
        for block in blocks:
            part = module.get_submodule(block.name)
            # A forward of the object's own, which other libraries set, is put back afterwards.
            exchanged.append((part, {key: vars(part)[key] for key in ("forward",) if key in vars(part)}))
            vars(part)["forward"] = _Checkpointed(called(block.name, part), part.forward, block)
        with set_checkpoint_early_stop(False):
            yield
    except CheckpointError as error:
        raise ExactnessError(f"a submodule did other operations when it was called again: {error}") from error
    finally:
        for part, before in exchanged:
            vars(part).pop("forward", None)
            vars(part).update(before)


def pieces_of(tensors: Sequence[Tensor], cut: Cut, bounds: Sequence[tuple[int, int]]) -> Iterator[list[Tensor]]:
    """The tensors of each piece [start, stop). All pieces of one tensor come from one ``split``, whose gradient is put
    together once; single slices would each make a gradient of the whole tensor's size."""
    sizes = [stop - start for start, stop in bounds]
    parts = [
        tensor.split(sizes, cut.dimension) if is_cut else [tensor] * len(sizes)
        for tensor, is_cut in zip(tensors, cut.arguments, strict=True)
    ]
    return (list(piece) for piece in zip(*parts, strict=True))


def even_bounds(size: int, pieces: int) -> list[tuple[int, int]]:
    """[start, stop) of at most `pieces` pieces of 0..size-1, which differ in length by at most one."""
    pieces = min(pieces, size)
    return [(size * number // pieces, size * (number + 1) // pieces) for number in range(pieces)]


class Call:
    """A call's arguments taken apart, such that it can be repeated with other tensors in their places.

    A tensor that is passed twice is one tensor (``query is key`` decides what attention computes), also when it is
    repeated.

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
        self.others = [None if isinstance(leaf, Tensor) else leaf for leaf in leaves]

    def repeat(self, function: Callable[..., Any], tensors: Sequence[Tensor]) -> Any:
        """Call `function` with these in the place of `tensors`."""
        given = zip(self._places, self.others, strict=True)
        leaves = [other if place is None else tensors[place] for place, other in given]
        args, kwargs = tree_unflatten(leaves, self._structure)
        return function(*args, **kwargs)


@dataclass(frozen=True)
class _Checkpointed:
    """What stands in for a submodule's forward."""

    title: str
    forward: Callable[..., Any]
    block: Block

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        call = Call(args, kwargs)
        tensors = call.tensors
        if not torch.is_grad_enabled() or not any(tensor.requires_grad for tensor in tensors):
            return self.forward(*args, **kwargs)

        def run(*given: Tensor) -> Any:
            return call.repeat(self.forward, given)

        # What the closure holds on to must not be the tensors: they would stay in memory beside the saved inputs.
        call.tensors = []
        del args, kwargs
        cut = self.block.cut
        if cut is None or self.block.pieces == 1:
            return self._checkpoint(run, tensors, "")
        bounds = even_bounds(cut.size, self.block.pieces)
        results = [
            self._checkpoint(run, piece, f", elements {start} to {stop - 1} along dimension {cut.dimension}")
            for (start, stop), piece in zip(bounds, pieces_of(tensors, cut, bounds), strict=True)
        ]
        return joined(results, cut.dimension)

    def _checkpoint(self, run: Callable[..., Any], tensors: list[Tensor], where: str) -> Any:
        watched = _Watched(run, self.title + where)
        return checkpoint(watched, *tensors, use_reentrant=False, preserve_rng_state=False, determinism_check="none")


class _Watched:
    """A function whose second call must return what the first did."""

    def __init__(self, function: Callable[..., Any], title: str) -> None:
        self.function = function
        self.title = title
        self.first: list[Tensor] | None = None

    def __call__(self, *tensors: Tensor) -> Any:
        result = self.function(*tensors)
        with torch.no_grad():
            outputs = [leaf for leaf in tree_flatten(result)[0] if isinstance(leaf, Tensor) and has_values(leaf)]
            now = [fingerprint(output) for output in outputs]
        if self.first is None:
            self.first = now
        elif not all(map(torch.equal, now, self.first)):
            raise ExactnessError(
                f"{self.title} computed something else when it was called again. Likely causes: it draws random "
                "numbers, keeps state between calls, or uses kernels that are not deterministic "
                "(torch.use_deterministic_algorithms(True) helps). No gradient was written."
            )
        return result


def joined(results: Sequence[Any], dimension: int) -> Any:
    """Results of pieces, put together along `dimension`; what is no tensor is taken from the first."""
    flattened = [tree_flatten(result) for result in results]
    leaves = [
        torch.cat(parts, dimension) if isinstance(parts[0], Tensor) else parts[0]
        for parts in map(list, zip(*(leaves for leaves, _ in flattened), strict=True))
    ]
    return tree_unflatten(leaves, flattened[0][1])
