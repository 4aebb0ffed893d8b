"""Counting the bytes of tensors that are alive.

A tensor's memory belongs to its *storage*, which views share. While the counter is active it sees every operation
that PyTorch dispatches, forward and backward, adds each new storage and takes it off again when it is freed. The same
counter works with real tensors, where it says what a run needed, and with fake ones, which have shapes and no memory,
where it says what a run would need. So a prediction and a measurement are the same quantity.

What an operation uses inside itself and frees before it returns (a convolution's workspace) is not seen, nor what an
allocator holds in reserve.
"""

import weakref
from typing import Any

from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves


class LiveBytes(TorchDispatchMode):
    """Bytes of storages made since the counter began: `now`, and at most so far, `peak`."""

    def __init__(self) -> None:
        super().__init__()
        self.now = 0
        self.peak = 0
        self._known: set[int] = set()

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs = kwargs or {}
        # What goes into an operation and has not been seen was there before.
        for tensor in tree_leaves((args, kwargs)):
            if isinstance(tensor, Tensor):
                self._know(tensor, 0)
        result = func(*args, **kwargs)
        for tensor in tree_leaves(result):
            if isinstance(tensor, Tensor):
                self._know(tensor, tensor.untyped_storage().nbytes())
        return result

    def _know(self, tensor: Tensor, nbytes: int) -> None:
        storage = tensor.untyped_storage()
        key = id(storage)
        if key in self._known:
            return
        self._known.add(key)
        self.now += nbytes
        self.peak = max(self.peak, self.now)
        weakref.finalize(storage, self._forget, key, nbytes)

    def _forget(self, key: int, nbytes: int) -> None:
        self._known.discard(key)
        self.now -= nbytes


def storage_key(tensor: Tensor) -> int:
    """Number that tensors share exactly as long as they are views of one living storage."""
    return id(tensor.untyped_storage())
