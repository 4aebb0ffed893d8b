"""What the parts of a model keep beside parameters, told so that a change shows.

A part that remembers its calls may do so in anything: a buffer, a number, a tuple that is replaced, a deque, a set, a
dictionary in an object of the user's own, a random generator. So everything that hangs on a part is looked through, as
pickle would do it, without making a copy of a tensor: of these it is noted which they are, and how often they were
changed in place.

What is not seen: variables of Python's modules, files, and hooks, which are the caller's.
"""

import enum
import logging
import random
import types
import weakref
import zlib
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from functools import partial
from itertools import chain
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

TORCH_KEEPS = frozenset(vars(nn.Module()))
"""What torch itself keeps in every module: its parts, parameters and hooks."""
EXCHANGED = "forward"
"""What is exchanged for a while to checkpoint a module."""
PLAIN = (
    type(None),
    bool,
    int,
    str,
    bytes,
    torch.dtype,
    torch.device,
    torch.layout,
    torch.Size,
    enum.Enum,
    range,
    slice,
)
SEALED = (type, types.ModuleType, types.BuiltinFunctionType, logging.Logger, weakref.ref)
"""Of these it only counts which one it is."""
MOST, DEEPEST = 200_000, 100
"""Objects, and how far inside each other, that are looked at; of others it only counts which they are."""


@dataclass
class Memory:
    """What is kept at one moment, by a part's name and its attribute's.

    It holds on to what it saw, so that no new object can be taken for an old one that was freed.
    """

    owner: object = None
    kept: dict[tuple[str, str], Any] = field(default_factory=dict)
    alive: list[Any] = field(default_factory=list)
    seen: set[int] = field(default_factory=set)

    def of(self, value: Any, depth: int = 0) -> Any:
        """What to compare `value` by; an object that was met before counts by its identity."""
        if isinstance(value, PLAIN):
            return type(value), value
        if isinstance(value, float | complex):
            return type(value), repr(value)  # not a number is itself
        if id(value) in self.seen or isinstance(value, SEALED) or len(self.seen) > MOST or depth > DEEPEST:
            self.alive.append(value)
            return id(value)
        if not isinstance(value, tuple | frozenset):  # one that cannot change may stand in many places
            self.seen.add(id(value))
        self.alive.append(value)
        if isinstance(value, Tensor):
            return id(value), value._version
        return type(value), tuple(self._inside(value, depth + 1))

    def _inside(self, value: Any, depth: int) -> Iterator[Any]:
        if isinstance(value, set | frozenset):
            yield frozenset(self.of(each, depth) for each in value)
        for kinds, contents in CONTENTS:
            if isinstance(value, kinds):
                yield from (self.of(each, depth) for each in contents(value))
                break
        if hasattr(value, "__dict__") and not isinstance(value, nn.Module):
            yield self.of(vars(value), depth)


def _of_function(value: types.FunctionType) -> Iterator[Any]:
    """What a function keeps from call to call: variables of the functions around it, and what stands for an argument
    that is not given."""
    for cell in value.__closure__ or ():
        with suppress(ValueError):  # not filled yet
            yield cell.cell_contents
    yield from (id(value.__code__), value.__defaults__)


def _of_object(value: Any) -> Iterator[Any]:
    """What pickle would write of an object without a dictionary (a counter, a generator of random numbers); itself, if
    it cannot."""
    slots = [key for kind in type(value).__mro__ for key in getattr(kind, "__slots__", ())]
    if slots:
        yield {key: getattr(value, key) for key in slots if hasattr(value, key)}
    elif not hasattr(value, "__dict__"):
        try:
            yield value.__reduce_ex__(4)[1:]
        except Exception:  # whatever it says to that
            yield id(value)


CONTENTS: tuple[tuple[Any, Callable[[Any], Iterable[Any]]], ...] = (
    (Mapping, lambda value: chain.from_iterable(value.items())),
    ((list, tuple, deque), iter),
    ((set, frozenset), lambda _: ()),
    (nn.Module, lambda value: (each for key, each in vars(value).items() if key != EXCHANGED)),
    (partial, lambda value: (value.func, value.args, value.keywords)),
    (types.MethodType, lambda value: (value.__func__, value.__self__)),
    (types.FunctionType, _of_function),
    (types.GeneratorType, lambda value: (id(value), value.gi_frame and value.gi_frame.f_lasti)),
    (torch.Generator, lambda value: (value.get_state().numpy(),)),
    (random.Random, lambda value: (value.getstate(),)),
    (np.ndarray, lambda value: (value.shape, zlib.crc32(value.tobytes()))),
    (object, _of_object),
)
"""What is inside of an object, by its type; the first that fits."""


def memory_of(module: nn.Module, owner: object = None) -> Memory:
    """Note what each part of `module` keeps, what its classes do, and what the object keeps that offers the module."""
    memory = Memory(owner)
    parts = dict(module.named_modules())
    # A part of the module is looked at by its own name, not as an attribute of another's.
    memory.seen.update(id(part) for part in parts.values())
    for name, part in parts.items():
        for key, value in [*part._buffers.items(), *vars(part).items()]:
            if key not in TORCH_KEEPS and key != EXCHANGED:
                memory.kept[name, key] = memory.of(value)
        for kind in type(part).__mro__:
            if kind.__module__.partition(".")[0] in ("torch", "builtins", "typing", "abc") or id(kind) in memory.seen:
                continue
            memory.seen.add(id(kind))
            for key, value in vars(kind).items():
                if not key.startswith("__") and not callable(value) and not hasattr(value, "__get__"):
                    memory.kept[name, f"{kind.__name__}.{key}"] = memory.of(value)
    if owner is not None and owner is not module:
        for key, value in vars(owner).items() if hasattr(owner, "__dict__") else ():
            memory.kept["", f"{type(owner).__name__}.{key}"] = memory.of(value)
    return memory


def changed(before: Memory, after: Memory) -> tuple[str, str] | None:
    """The first part and attribute that is not as it was; None if all are."""
    missing = object()
    for place in sorted(before.kept.keys() | after.kept.keys()):
        if before.kept.get(place, missing) != after.kept.get(place, missing):
            return place
    return None
