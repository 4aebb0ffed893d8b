"""Tensors that autograd saves for the backward pass, kept in files instead of memory.

PyTorch lets one put something else in the place of a saved tensor (``saved_tensors_hooks``): here a file, from which
the tensor is read back when the backward pass asks for it. What is written is the *storage*, the memory that views
share, so that many views of one tensor make one file; a view that is asked for reads no more of the file than it
covers. PyTorch conjugates and negates lazily, by a bit of the view: these bits are part of what is noted. Parameters,
buffers and the frames stay where they are: they are in memory anyway. So do sparse tensors, which have no one storage.

A file is deleted when the last that refers to it is gone, and their folder at the end, also after an error. The folder
must be on a disk: on a file system in memory (``/dev/shm``, on some machines ``/tmp``) nothing is won.
"""

import tempfile
import weakref
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from os import PathLike
from pathlib import Path
from typing import Self

import torch
from torch import Tensor, nn
from torch.autograd.graph import saved_tensors_hooks

from longtake.bounded.guard import fingerprint, has_values, simulating
from longtake.bounded.live import storage_key
from longtake.store.leftovers import SCRATCH, mark

SMALLEST = 1 << 14
"""Storages of fewer bytes stay in memory: a file would cost more than it frees."""


@dataclass
class Spilled:
    """Counts of a run: files written, and their bytes."""

    files: int = 0
    nbytes: int = 0


@dataclass
class _File:
    """A storage on disk; the file goes when nobody refers to this any more. `path` is None in a simulation.

    `content` tells whether the storage is still what was written. A tensor's version does not: an LSTM changes parts of
    one storage in place that count their versions each for itself.
    """

    path: Path | None
    content: tuple[int, ...]

    def __post_init__(self) -> None:
        if self.path is not None:
            weakref.finalize(self, self.path.unlink, missing_ok=True)

    __hash__ = object.__hash__


@dataclass(frozen=True)
class _View:
    """A tensor as a view of a file: what it takes to make it again."""

    file: _File
    shape: torch.Size
    stride: tuple[int, ...]
    offset: int
    dtype: torch.dtype
    device: torch.device
    conjugated: bool
    negated: bool

    @classmethod
    def of(cls, tensor: Tensor, file: _File) -> Self:
        """The view of the file of its storage that `tensor` is."""
        return cls(
            file,
            tensor.shape,
            tensor.stride(),
            int(tensor.storage_offset()),
            tensor.dtype,
            tensor.device,
            tensor.is_conj(),
            tensor.is_neg(),
        )

    @property
    def reach(self) -> int:
        """Elements from the first to the last that the view covers."""
        if 0 in self.shape:
            return 0
        return sum((size - 1) * step for size, step in zip(self.shape, self.stride, strict=True)) + 1

    def over(self, span: Tensor) -> Tensor:
        """The view over the `reach` elements that were read."""
        view = span.as_strided(self.shape, self.stride)
        if self.conjugated:
            view = view.conj()
        return torch._neg_view(view) if self.negated else view


@dataclass
class _Store:
    folder: Path
    stay: set[int]
    counts: Spilled = field(default_factory=Spilled)
    files: dict[int, weakref.ref[_File]] = field(default_factory=dict)

    def pack(self, tensor: Tensor) -> Tensor | _View:
        if tensor.layout is not torch.strided or (has_values(tensor) and simulating()):
            return tensor
        storage = tensor.untyped_storage()
        key = storage_key(tensor)
        if key in self.stay or storage.nbytes() < SMALLEST:
            return tensor
        known = self.files.get(key)
        file, content = known() if known is not None else None, _content(tensor)
        if file is None or file.content != content:
            file = self._write(tensor, content)
            self.files[key] = weakref.ref(file)
            weakref.finalize(storage, self.files.pop, key, None)
        return _View.of(tensor, file)

    def unpack(self, saved: Tensor | _View) -> Tensor:
        if isinstance(saved, Tensor):
            return saved
        span = torch.empty(saved.reach, dtype=saved.dtype, device=saved.device if saved.file.path is None else "cpu")
        if saved.file.path is not None:
            with saved.file.path.open("rb") as stored:
                stored.seek(saved.offset * span.element_size())
                if stored.readinto(span.view(torch.uint8).numpy().data) != span.nbytes:
                    raise OSError(f"{saved.file.path} is shorter than what was written to it: is the disk full?")
        return saved.over(span.to(saved.device))

    def _write(self, tensor: Tensor, content: tuple[int, ...]) -> _File:
        self.counts.files += 1
        self.counts.nbytes += tensor.untyped_storage().nbytes()
        if not has_values(tensor):
            return _File(None, content)
        path = self.folder / f"{self.counts.files}.bin"
        _bytes(tensor).cpu().numpy().tofile(path)
        return _File(path, content)


def _content(tensor: Tensor) -> tuple[int, ...]:
    """What tells one content of the tensor's storage from another."""
    return tuple(fingerprint(_bytes(tensor)).tolist()) if has_values(tensor) else (tensor._version,)


def _bytes(tensor: Tensor) -> Tensor:
    """The tensor's whole storage."""
    return torch.empty(0, dtype=torch.uint8, device=tensor.device).set_(tensor.untyped_storage())


@contextmanager
def spilled(module: nn.Module, *held: Tensor, folder: PathLike[str] | str | None = None) -> Iterator[Spilled]:
    """Write what autograd saves in this block to files; the backward pass belongs into the block as well.

    Parameters
    ----------
    module : its parameters and buffers are not written
    held : nor are these, which the caller holds anyway: the frames
    folder : where to make the folder of files; the system's place for temporary files if None

    Raises
    ------
    OSError : the disk is full or cannot be written.
    """
    stay = {storage_key(tensor) for tensor in [*module.parameters(), *module.buffers(), *held]}
    with tempfile.TemporaryDirectory(prefix=f"{SCRATCH}{mark()}-", dir=folder) as made:
        store = _Store(Path(made), stay)
        with saved_tensors_hooks(store.pack, store.unpack):
            yield store.counts
