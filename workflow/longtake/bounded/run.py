"""One gradient, computed in one given way.

The same function does the real run and, with a fake model and fake frames, its simulation.
"""

from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from os import PathLike
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils._pytree import tree_map

from longtake.bounded.checkpoint import Block, checkpointed
from longtake.bounded.guard import check_scalar, refuse_memory
from longtake.bounded.pieces import leads_only_to
from longtake.bounded.remembered import Memory
from longtake.bounded.spill import Spilled, spilled
from longtake.bounded.split import split_gradient
from longtake.errors import ExactnessError, ModelError, nearest

Scalar = Callable[[Any], Tensor]


@dataclass(frozen=True)
class Subject:
    """A model as seen from here: what is called, and the module that holds its parameters."""

    module: nn.Module
    forward: Callable[[Tensor], Any]
    encode: Callable[[Tensor], Tensor] | None = None
    head: Callable[[Tensor], Any] | None = None


@dataclass(frozen=True)
class Way:
    """How a gradient is computed.

    Attributes
    ----------
    chunk_size : frames at a time, if the model is split into `encode` and `head`; None if not
    blocks : submodules to checkpoint
    spill : what autograd saves goes to files
    predicted_bytes : peak of living tensors in the simulation; None if there was none
    """

    chunk_size: int | None = None
    blocks: tuple[Block, ...] = ()
    spill: bool = False
    predicted_bytes: int | None = None

    @property
    def plain(self) -> bool:
        """Everything at once, as autograd does it."""
        return self.chunk_size is None and not self.blocks and not self.spill

    @property
    def name(self) -> str:
        """``plain``, ``split``, or what of ``checkpoint + cut + spill`` there is."""
        if self.chunk_size is not None:
            return "split"
        parts = {
            "checkpoint": bool(self.blocks),
            "cut": any(block.pieces > 1 for block in self.blocks),
            "spill": self.spill,
        }
        return " + ".join(part for part, used in parts.items() if used) or "plain"


@dataclass(frozen=True)
class Found:
    """What a run gives: see `longtake.bounded.automatic.Gradient`."""

    value: Tensor
    gradient: Tensor
    at: Tensor
    outputs: Any
    spilled: Spilled


def subject_of(model: Any) -> Subject:
    """Take a module, or an object with `module` and `scores`; note `encode` and `head` if it has both.

    Raises
    ------
    ModelError : it is neither.
    """
    encode, head = getattr(model, "encode", None), getattr(model, "head", None)
    if not (callable(encode) and callable(head)):
        encode = head = None
    if isinstance(model, nn.Module):
        return Subject(model, model, encode, head)
    module, scores = getattr(model, "module", None), getattr(model, "scores", None)
    if not (isinstance(module, nn.Module) and callable(scores)):
        raise ModelError(
            f"{type(model).__name__} is neither a torch module nor an object with `module` and `scores` "
            "(see longtake.models.protocols)"
        )
    return Subject(module, scores, encode, head)


def run(
    subject: Subject,
    frames: Tensor,
    scalar: Scalar,
    way: Way,
    *,
    wrt: str | None = None,
    memory: Memory | None = None,
    folder: PathLike[str] | str | None = None,
) -> Found:
    """The gradient of ``scalar(forward(frames))`` in this way; parameters must be frozen.

    Parameters
    ----------
    memory : what the model kept before the call; None to leave that unchecked
    """
    if way.chunk_size is not None and subject.encode is not None and subject.head is not None:
        parts = split_gradient(subject.encode, subject.head, frames, scalar, way.chunk_size, module=subject.module)
        if memory is not None:
            refuse_memory(subject.module, memory)
        return Found(parts.value, parts.gradient, frames, parts.scores, Spilled())
    leaf = frames.detach().requires_grad_(wrt is None)
    counts = Spilled()
    with ExitStack() as stack, torch.enable_grad():
        made = stack.enter_context(leaf_at(subject.module, wrt))
        if way.spill:
            counts = stack.enter_context(spilled(subject.module, leaf, folder=folder))
        stack.enter_context(checkpointed(subject.module, way.blocks))
        outputs = subject.forward(leaf)
        if memory is not None:
            refuse_memory(subject.module, memory)
        at = leaf if wrt is None else _made(made, wrt)
        value = scalar(outputs)
        check_scalar(value)
        if any(block.cut for block in way.blocks) and not leads_only_to([value], [at]):
            raise ExactnessError(
                "the score depends on tensors with a gradient that a submodule handed on otherwise than by what it "
                "returns, or that are no parameters: such a submodule cannot be cut into pieces"
            )
        # Outputs that the scalar does not use need no graph during the backward pass.
        outputs = tree_map(lambda output: output.detach() if isinstance(output, Tensor) else output, outputs)
        gradient = gradient_of(value, at)
    return Found(value.detach(), gradient, at.detach(), outputs, counts)


@contextmanager
def leaf_at(module: nn.Module, name: str | None) -> Iterator[list[Tensor]]:
    """Let the graph begin at the output of the submodule `name`, which is put into the list; None does nothing.

    The model goes on with a copy of it: an in-place operation that follows (an activation after a norm) must not change
    what the gradient is with respect to.

    Raises
    ------
    ModelError : there is no such submodule, its output is not one tensor of floating-point or complex numbers, or it is
        called twice.
    """
    made: list[Tensor] = []
    if name is None:
        yield made
        return
    parts = dict(module.named_modules())
    if name not in parts:
        raise ModelError(
            f"the model has no submodule {name!r} to differentiate at.{nearest(name, parts)} model.named_modules() "
            "lists them."
        )

    def begin(part: nn.Module, _: Any, output: Any) -> Tensor:
        what = None
        if made:
            what = "is called more than once"
        elif not isinstance(output, Tensor):
            what = f"returns a {type(output).__name__}, not a tensor"
        elif not (output.is_floating_point() or output.is_complex()):
            what = f"returns numbers of type {output.dtype}, which have no gradient"
        if what is not None:
            raise ModelError(f"{name} ({type(part).__name__}) {what}: name a submodule inside or around it")
        made.append(output.detach().requires_grad_())
        return made[0].clone()

    handle = parts[name].register_forward_hook(begin)
    try:
        yield made
    finally:
        handle.remove()


def _made(made: list[Tensor], name: str) -> Tensor:
    """The output that `leaf_at` noted; raises ModelError if there is none."""
    if not made:
        raise ModelError(f"{name} is not called by the model's forward: name a submodule that is")
    return made[0]


def gradient_of(value: Tensor, at: Tensor) -> Tensor:
    """d value / d at, of the shape of `at`.

    Raises
    ------
    ExactnessError : `value` does not depend on it.
    """
    (gradient,) = torch.autograd.grad(value.reshape(()), at, allow_unused=True)
    if gradient is None:
        raise ExactnessError(
            "the score does not depend on what it is to be differentiated with respect to: look whether the model "
            "detaches it, or name another submodule"
        )
    return gradient
