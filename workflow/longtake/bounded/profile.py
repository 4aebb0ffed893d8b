"""What each submodule of a model saves for the backward pass.

The model is called once while every tensor that autograd saves is noted with the submodules that are being called at
that moment. On a copy of the model made of fake tensors this takes neither memory nor arithmetic: fake tensors have
shapes, types and storages, and no numbers. A model that must look at numbers to know what to do (``if x.sum() > 0``)
cannot be called that way, which is said.

A storage counts once, where it is first saved. Parameters do not count: they are there anyway.
"""

import copy
import operator
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor, nn
from torch._subclasses.fake_tensor import (
    DataDependentOutputException,
    DynamicOutputShapeException,
    FakeCopyMode,
    FakeTensorMode,
    UnsupportedFakeTensorException,
)
from torch.autograd.graph import saved_tensors_hooks
from torch.utils._pytree import tree_leaves, tree_map

from longtake.bounded.live import storage_key
from longtake.bounded.pieces import Call
from longtake.errors import LongtakeError, ModelError

NEEDS_NUMBERS = (DataDependentOutputException, DynamicOutputShapeException, UnsupportedFakeTensorException)


@dataclass
class Usage:
    """What the calls of one submodule save.

    Attributes
    ----------
    calls : number of calls in which a gradient flows
    saved : bytes saved in all calls, those of its own submodules included
    working : bytes saved in the call that saves most: what recomputing it takes
    inputs : bytes of the arguments of all calls: what remains if it is checkpointed
    arguments : positional and keyword arguments of the first call, tensors on the meta device
    alike : all calls have arguments of the same shapes
    whole : can be checkpointed: it returns tensors that depend on the frames, and changes no argument
    """

    calls: int = 0
    saved: int = 0
    working: int = 0
    inputs: int = 0
    arguments: tuple[Any, Any] = ((), {})
    alike: bool = True
    whole: bool = True


@dataclass
class _Call:
    usage: Usage
    versions: list[tuple[Tensor, int]]
    leaves: list[Any] = field(default_factory=list)
    working: dict[int, int] = field(default_factory=dict)


@dataclass
class _Recorder:
    """Notes of one forward pass; everything noted is kept alive, so that no storage's number is used again."""

    usages: dict[str, Usage] = field(default_factory=dict)
    stack: list[_Call] = field(default_factory=list)
    stay: set[int] = field(default_factory=set)
    counted: set[int] = field(default_factory=set)
    inputs: set[tuple[str, int]] = field(default_factory=set)
    alive: list[Tensor] = field(default_factory=list)

    def pack(self, tensor: Tensor) -> Tensor:
        key = storage_key(tensor) if tensor.layout is torch.strided else None
        if key is None or key in self.stay:
            return tensor
        size = tensor.untyped_storage().nbytes()
        for call in self.stack:
            call.working[key] = size
            if key not in self.counted:
                call.usage.saved += size
        self.counted.add(key)
        self.alive.append(tensor.detach())
        return tensor

    def enter(self, name: str) -> Callable[..., None]:
        def hook(_: nn.Module, args: Any, kwargs: Any) -> None:
            usage = self.usages.setdefault(name, Usage())
            tensors = Call(args, kwargs).tensors
            leaves = tree_leaves((args, kwargs))
            self.stack.append(_Call(usage, [(tensor, tensor._version) for tensor in tensors], leaves))
            if not any(tensor.requires_grad for tensor in tensors):
                return
            usage.calls += 1
            for tensor in tensors:
                self.alive.append(tensor.detach())
                if (name, storage_key(tensor)) not in self.inputs and storage_key(tensor) not in self.stay:
                    self.inputs.add((name, storage_key(tensor)))
                    usage.inputs += tensor.untyped_storage().nbytes()
            outlines = {id(tensor): _outline(tensor) for tensor in tensors}
            shapes = tree_map(lambda leaf: outlines.get(id(leaf), leaf), (args, kwargs))
            if usage.calls == 1:
                usage.arguments = shapes
            usage.alike &= _shapes(shapes) == _shapes(usage.arguments)

        return hook

    def leave(self, _module: nn.Module, args: Any, kwargs: Any, result: Any) -> None:
        call = self.stack.pop()
        outputs = [leaf for leaf in tree_leaves(result) if isinstance(leaf, Tensor)]
        unchanged = all(tensor._version == version for tensor, version in call.versions)
        # A list or dictionary among the arguments would be a copy when the call is repeated.
        after = tree_leaves((args, kwargs))
        unchanged &= len(after) == len(call.leaves) and all(map(operator.is_, after, call.leaves))
        call.usage.whole &= unchanged and any(output.requires_grad for output in outputs)
        call.usage.working = max(call.usage.working, sum(call.working.values()))


def saved_by_module(module: nn.Module, forward: Callable[[], Any], *held: Tensor) -> dict[str, Usage]:
    """Call `forward`, which calls `module`, and say by dotted name what each submodule saved; ``""`` is all.

    Parameters
    ----------
    held : tensors that are in memory anyway, as parameters are
    """
    recorder = _Recorder(stay={storage_key(tensor) for tensor in [*module.parameters(), *module.buffers(), *held]})
    recorder.usages[""] = Usage()
    recorder.stack.append(_Call(recorder.usages[""], []))
    with ExitStack() as hooks:
        for name, part in module.named_modules():
            if name:
                for handle in (
                    part.register_forward_pre_hook(recorder.enter(name), with_kwargs=True),
                    part.register_forward_hook(recorder.leave, with_kwargs=True),
                ):
                    hooks.callback(handle.remove)
        hooks.enter_context(saved_tensors_hooks(recorder.pack, lambda tensor: tensor))
        with torch.enable_grad():
            forward()
    recorder.usages[""].working = recorder.usages[""].saved
    return recorder.usages


@contextmanager
def simulation(model: Any, frames: Tensor) -> Iterator[tuple[Any, Tensor]]:
    """A fake copy of the model and of the frames, to be called inside this block at no cost.

    Raises
    ------
    ModelError : the model cannot be copied, or must see numbers to know what to do.
    """
    mode = FakeTensorMode(allow_non_fake_inputs=True)
    try:
        with FakeCopyMode(mode):
            double = copy.deepcopy(model)
    except Exception as error:
        raise ModelError(
            f"{type(model).__name__} cannot be copied, which planning its memory needs ({error}). Ask for a gradient "
            "without a budget, or let the model's object hold nothing but the network and plain values."
        ) from error
    try:
        with mode:
            yield double, mode.from_tensor(frames.detach(), static_shapes=True)
    except (LongtakeError, torch.OutOfMemoryError):
        raise
    except NEEDS_NUMBERS as error:
        raise ModelError(
            f"{type(model).__name__} decides by numbers what it computes ({type(error).__name__}: {error}), so its "
            "memory cannot be planned. Ask for a gradient without a budget, or offer encode and head."
        ) from error
    except Exception as error:  # of the model's own code, which may raise anything
        raise ModelError(
            f"{type(model).__name__} cannot be called with tensors that have shapes and no numbers "
            f"({type(error).__name__}: {error}), so its memory cannot be planned. Ask for a gradient without a budget."
        ) from error


def load_simulation() -> None:
    """Load what the first simulation would load, some 70 MiB, so that who asks what is free counts it."""
    with simulation(nn.Linear(1, 1), torch.empty(1, 1)) as (double, fake):
        double(fake)


def _outline(tensor: Tensor) -> Tensor:
    return torch.empty(tensor.shape, dtype=tensor.dtype, device="meta", requires_grad=tensor.requires_grad)


def _shapes(arguments: Any) -> list[Any]:
    return [(leaf.shape, leaf.dtype) for leaf in tree_leaves(arguments) if isinstance(leaf, Tensor)]
