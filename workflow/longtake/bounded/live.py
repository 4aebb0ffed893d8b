"""Counting the bytes of tensors that are alive.

A tensor's memory belongs to its *storage*, which views share. While the counter is active it sees every operation
that PyTorch dispatches, forward and backward, adds each new storage and takes it off again when it is freed. The same
counter works with real tensors, where it says what a run needed, and with fake ones, which have shapes and no memory,
where it says what a run would need. So a prediction and a measurement are the same quantity.

What an operation uses inside itself and frees before it returns (a convolution's workspace) is not seen, nor what an
allocator holds in reserve. Counting costs some 20 microseconds an operation.
"""

import weakref
from collections.abc import Iterator
from functools import partial
from typing import Any

import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode

_WHOLE = torch._C.DispatchKey.CompositeImplicitAutograd


class LiveBytes(TorchDispatchMode):
    """Bytes of storages made since the counter began: `now`, and at most so far, `peak`.

    `events` are what an allocator would have been asked for, where `keep_events`: (number, bytes) of each storage that
    was made, in order, and (number, -1) where it was freed. `longtake.planning.heap` says what they take of a heap.
    """

    def __init__(self, keep_events: bool = False) -> None:
        super().__init__()
        self.now = 0
        self.peak = 0
        self.events: list[tuple[int, int]] | None = [] if keep_events else None
        self._made = 0
        self._known: dict[int, weakref.ref[Any]] = {}

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        # What goes into an operation and has not been seen was there before.
        for tensor in _tensors(args):
            self._know(tensor, made=False)
        hidden = func.namespace == "aten" and torch.is_inference_mode_enabled()
        result = self._parts(func, args, kwargs or {}) if hidden else NotImplemented
        if result is NotImplemented:
            result = func(*args, **(kwargs or {}))
        for tensor in _tensors((result,)):
            self._know(tensor, made=True)
        return result

    def _parts(self, func: Any, args: Any, kwargs: Any) -> Any:
        """Call what an operation is made of: in inference mode, PyTorch shows the whole alone, and not its tensors.

        What it is made of in C++, as without a counter: some operations have a second form for compilers, in Python,
        which rounds otherwise.
        """
        if not torch._C._dispatch_has_kernel_for_dispatch_key(func.name(), _WHOLE):
            return NotImplemented
        with self:
            return func._op_dk(_WHOLE, *args, **kwargs)

    def _know(self, tensor: Tensor, made: bool) -> None:
        if tensor.layout is not torch.strided:  # its parts are tensors of their own
            return
        storage = tensor.untyped_storage()
        key = id(storage)
        if key in self._known:
            return
        nbytes = storage.nbytes() if made else 0
        self._made += 1
        self._known[key] = weakref.ref(storage, partial(self._forget, key, nbytes, self._made))
        self.now += nbytes
        self.peak = max(self.peak, self.now)
        if nbytes and self.events is not None:
            self.events.append((self._made, nbytes))

    def _forget(self, key: int, nbytes: int, number: int, _: Any) -> None:
        self._known.pop(key, None)
        self.now -= nbytes
        if nbytes and self.events is not None:
            self.events.append((number, -1))


def _tensors(values: Any) -> Iterator[Tensor]:
    """Tensors among what an operation takes or returns: by themselves or in one list, as operations have it."""
    for value in values:
        if isinstance(value, Tensor):
            yield value
        elif isinstance(value, list | tuple):
            yield from (part for part in value if isinstance(part, Tensor))


def storage_key(tensor: Tensor) -> int:
    """Number that tensors share exactly as long as they are views of one living storage."""
    return id(tensor.untyped_storage())
