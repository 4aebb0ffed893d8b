"""Running chosen submodules of a model so that autograd keeps their inputs and not their insides.

Back-propagation needs what each operation saved on the way forward. A checkpointed submodule saves only its inputs; its
insides are computed again, from these inputs, when the backward pass comes to it, and are gone when it has passed.
One submodule's insides are alive at a time instead of all. Where a submodule treats the elements along some
dimension independently of each other (`longtake.bounded.independence`), its call can be cut into pieces along it: then
one piece's insides are alive at a time (`longtake.bounded.pieces`).

The modules are not changed: while the block runs, the chosen ones' `forward` is exchanged for one that does this. Every
recomputed output is compared with that of the first pass: bit for bit, or piece by piece but for rounding.
"""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils._pytree import tree_flatten
from torch.utils.checkpoint import CheckpointError, checkpoint, set_checkpoint_early_stop

from longtake.bounded.guard import called, fingerprint, has_values
from longtake.bounded.pieces import Call, Cut, Pieces
from longtake.errors import ExactnessError


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
        if cut is not None and self.block.pieces > 1 and cut.fits(tensors):
            return Pieces(lambda given: run(*given), cut, self.block.pieces, self.block.name, self.title).result(
                tensors
            )
        watched = _Watched(run, self.title)
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
