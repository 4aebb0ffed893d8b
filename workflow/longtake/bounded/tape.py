"""The operations of one forward pass, noted as Python calls them, and a pass that begins in their middle.

To evaluate the first part of a model slab by slab one must know which operations it consists of. They are noted while
the model runs on fake tensors (`longtake.bounded.profile.simulation`): every call of a function of PyTorch on tensors,
at the level at which people write models (a convolution, a group norm, ``+``), with shapes and without numbers. What
is changed in place is noted as if it were not: its later readers read a value of another number.

The second part is then run by the model's own code, so that its submodules can be checkpointed and named as ever: the
calls of the first part are answered with tensors that have a shape and no memory, and the last of them with the
features that the slabs gave (`Tail`).
"""

import math
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from typing import Any

import torch
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode
from torch.utils._pytree import tree_flatten, tree_map, tree_unflatten

from longtake.bounded.profile import NEEDS_NUMBERS, simulation
from longtake.bounded.run import subject_of
from longtake.errors import ExactnessError, ModelError

Function = Callable[..., Any]


@dataclass(frozen=True)
class Ref:
    """In an operation's arguments: the value of this number."""

    number: int


@dataclass(frozen=True)
class Held:
    """In an operation's arguments: a parameter or buffer of this name."""

    name: str


@dataclass(frozen=True)
class Op:
    """One operation.

    Attributes
    ----------
    function : called with `args` and `kwargs`, in which `Ref` and `Held` stand for tensors
    outputs : numbers of the values it makes, in the order of the result's tensors
    name : of the function as the model called it
    known : every tensor among its arguments is the input, another operation's output, a parameter or a buffer
    changes : the value that the model's own code changes in place here, which cannot be where a graph begins; or None
    """

    function: Function
    args: Any
    kwargs: Any
    outputs: tuple[int, ...]
    structure: Any
    name: str
    known: bool = True
    changes: int | None = None

    def inputs(self) -> list[int]:
        """Numbers of the values it reads."""
        return [leaf.number for leaf in tree_flatten((self.args, self.kwargs))[0] if isinstance(leaf, Ref)]


@dataclass
class Tape:
    """The operations of a pass; value 0 is the model's input.

    Attributes
    ----------
    shapes, dtypes : of each value
    layers : submodule's name -> number of the value it returned last; -1 where that is no single tensor
    times : submodule's name -> how often it was called
    ends : values that the model returns
    """

    ops: list[Op] = field(default_factory=list)
    shapes: list[torch.Size] = field(default_factory=list)
    dtypes: list[torch.dtype] = field(default_factory=list)
    layers: dict[str, int] = field(default_factory=dict)
    times: dict[str, int] = field(default_factory=dict)
    ends: tuple[int, ...] = ()

    def nbytes(self, value: int) -> int:
        """Bytes of a value."""
        return self.shapes[value].numel() * self.dtypes[value].itemsize


class _Recorder(TorchFunctionMode):
    def __init__(self, module: nn.Module, given: Tensor) -> None:
        super().__init__()
        named = [*module.named_parameters(remove_duplicate=False), *module.named_buffers(remove_duplicate=False)]
        self.held = {id(tensor): name for name, tensor in named}
        self.tape = Tape()
        # Tensors are kept, so that no number of one that is gone is given to another.
        self.alive: list[Tensor] = []
        self.numbers: dict[int, int] = {}
        self.number(given)

    def number(self, tensor: Tensor) -> int:
        """Give a tensor that was just made, or changed, a number of its own."""
        self.alive.append(tensor)
        self.numbers[id(tensor)] = len(self.tape.shapes)
        self.tape.shapes.append(tensor.shape)
        self.tape.dtypes.append(tensor.dtype)
        return self.numbers[id(tensor)]

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs = kwargs or {}
        known = True

        def noted(leaf: Any) -> Any:
            nonlocal known
            if not isinstance(leaf, Tensor):
                return leaf
            if id(leaf) in self.numbers:
                return Ref(self.numbers[id(leaf)])
            if id(leaf) in self.held:
                return Held(self.held[id(leaf)])
            known = False
            return None

        before = tree_map(noted, (args, kwargs))
        result = func(*args, **kwargs)
        leaves, structure = tree_flatten(result)
        tensors = [leaf for leaf in leaves if isinstance(leaf, Tensor)]
        if tensors and len(tensors) == len(leaves):
            outputs = tuple(self.number(tensor) for tensor in tensors)
            pure = _pure(func)
            changes = pure is not func or bool(kwargs.get("inplace"))
            op = Op(pure, *_without_place(before), outputs, structure, _name(func), known)
            self.tape.ops.append(replace(op, changes=next(iter(op.inputs()), None)) if changes else op)
        return result


def _name(func: Any) -> str:
    return str(getattr(func, "__qualname__", None) or getattr(func, "__name__", func))


def _pure(func: Any) -> Function:
    """The same operation out of place; where there is none, on a copy of its first argument."""
    name = getattr(func, "__name__", "")
    plain = {"__iadd__": "add", "__isub__": "sub", "__imul__": "mul", "__itruediv__": "div"}.get(name, name.rstrip("_"))
    if name == plain or (name.startswith("__") and name not in ("__iadd__", "__isub__", "__imul__", "__itruediv__")):
        return func
    found = getattr(Tensor, plain, None) or getattr(torch, plain, None)
    return found if callable(found) else lambda first, *rest, **named: func(first.clone(), *rest, **named)


def _without_place(noted: Any) -> tuple[Any, Any]:
    args, kwargs = noted
    return args, kwargs | {"inplace": False} if kwargs.get("inplace") else kwargs


def record(model: Any, given: Tensor) -> Tape:
    """Note the pass of `model` over `given`, with fake tensors; the model must be frozen.

    Raises
    ------
    ModelError : the model cannot be called with fake tensors.
    """
    with simulation(model, given) as (double, fake):
        subject = subject_of(double)
        recorder = _Recorder(subject.module, fake)
        with _hooked(subject.module, recorder):
            try:
                with torch.no_grad(), recorder:
                    outputs = subject.forward(fake)
            except NEEDS_NUMBERS:
                raise
            except (RuntimeError, TypeError, NotImplementedError) as error:
                raise ModelError(f"{type(model).__name__} cannot be followed on fake tensors ({error})") from error
        ends = [leaf for leaf in tree_flatten(outputs)[0] if isinstance(leaf, Tensor)]
        recorder.tape.ends = tuple(recorder.numbers.get(id(leaf), -1) for leaf in ends)
    return recorder.tape


@contextmanager
def _hooked(module: nn.Module, recorder: _Recorder) -> Iterator[None]:
    """Note what each submodule returns."""

    def hook(name: str) -> Callable[..., None]:
        def note(_module: nn.Module, _args: Any, result: Any) -> None:
            recorder.tape.times[name] = recorder.tape.times.get(name, 0) + 1
            known = recorder.numbers.get(id(result), -1) if isinstance(result, Tensor) else -1
            recorder.tape.layers[name] = known

        return note

    handles = [part.register_forward_hook(hook(name)) for name, part in module.named_modules()]
    try:
        yield
    finally:
        for handle in handles:
            handle.remove()


def resolve(op: Op, values: dict[int, Any], held: dict[str, Tensor]) -> Any:
    """Call an operation with the given values; the result's tensors, in a list."""

    def filled(leaf: Any) -> Any:
        if isinstance(leaf, Ref):
            return values[leaf.number]
        return held[leaf.name] if isinstance(leaf, Held) else leaf

    args, kwargs = tree_map(filled, (op.args, op.kwargs))
    return tree_flatten(op.function(*args, **kwargs))[0]


class _Following(TorchFunctionMode):
    """Go along a pass, up to an operation of it: `next_op` is that which the model calls now.

    What is called in between is none of the model's, but of who watches it: reading a shape, say, in a hook.
    """

    def __init__(self, tape: Tape, ops: int) -> None:
        super().__init__()
        self.tape, self.ops, self.done = tape, ops, 0

    def next_op(self, func: Any) -> Op | None:
        """The operation that this call of `func` is; None where it is none, or after the last."""
        if self.done == self.ops or self.tape.ops[self.done].name != _name(func):
            return None
        self.done += 1
        return self.tape.ops[self.done - 1]


class _Answering(_Following):
    """Answer the first operations of a pass without computing them; the last of them with the features."""

    def __init__(self, tape: Tape, ops: int, features: Tensor) -> None:
        super().__init__(tape, ops)
        self.features = features

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        op = self.next_op(func)
        if op is None:
            return func(*args, **(kwargs or {}))
        if self.done == self.ops:
            return self.features
        shapes, dtypes = self.tape.shapes, self.tape.dtypes
        empty = [_nothing(self.features, shapes[value], dtypes[value]) for value in op.outputs]
        return tree_unflatten(empty, op.structure)


def _nothing(like: Tensor, shape: torch.Size, dtype: torch.dtype) -> Tensor:
    """A tensor of this shape that takes no memory; its NaN would tell if it were used after all."""
    return like.new_full((), math.nan if dtype.is_floating_point else 0, dtype=dtype).expand(shape)


@dataclass(frozen=True)
class Tail:
    """A model without its first `ops` operations: features, the last one's output -> what the model returns.

    To `longtake.bounded.gradient` it is an adapter.
    """

    model: Any
    tape: Tape
    ops: int

    @property
    def module(self) -> nn.Module:
        """The module that holds the parameters."""
        return subject_of(self.model).module

    def scores(self, features: Tensor) -> Any:
        """What the model returns for a volume whose features these are."""
        given = _nothing(features, self.tape.shapes[0], self.tape.dtypes[0])
        with _Answering(self.tape, self.ops, features):
            return subject_of(self.model).forward(given)


class _Reached(Exception):
    def __init__(self, result: Tensor) -> None:
        super().__init__()
        self.result = result


class _Stopping(_Following):
    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        result = func(*args, **(kwargs or {}))
        if self.next_op(func) is not None and self.done == self.ops:
            raise _Reached(result)
        return result


def until(model: Any, given: Tensor, tape: Tape, ops: int) -> Tensor:
    """What the model's own code has computed of `given`, of any size, after `ops` operations; with its graph."""
    try:
        with _Stopping(tape, ops):
            subject_of(model).forward(given)
    except _Reached as reached:
        return reached.result
    raise ExactnessError("the model did not come to the operation that it came to before")
