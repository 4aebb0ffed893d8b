"""Sums over many gradients that lie in a file, replaced whole after each: memory does not depend on how many there are.

A job that is killed goes on with the next one, to the same bytes. The file is older than the note that counts it, and
its predecessor goes last, so that whenever the job ends, the note names a file that is whole.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from torch import Tensor

from longtake.store.atomic import atomic_path, write_json

Update = Callable[[int, np.ndarray, Sequence[np.ndarray] | None], Sequence[np.ndarray]]
"""Number of the gradient, counted from 1; its slice (C, d1, d2) in float64; the arrays so far or None -> the arrays."""


@dataclass(frozen=True)
class Running:
    """Arrays (C, d0, d1, d2) float64 on disk, slice by slice.

    Attributes
    ----------
    shape : (C, d0, d1, d2)
    arrays : how many of them
    done : how many gradients are in them
    """

    path: Path
    shape: tuple[int, ...]
    arrays: int
    done: int

    def slices(self) -> Iterator[list[np.ndarray]]:
        """The arrays' slices (C, d1, d2), one index after the other."""
        channels, depth, height, width = self.shape
        size = (channels, height, width)
        with self.path.open("rb") as file:
            for _ in range(depth):
                yield [np.fromfile(file, np.float64, int(np.prod(size))).reshape(size) for _ in range(self.arrays)]


def accumulated(
    gradient: Callable[[int], Tensor],
    update: Update,
    *,
    shape: tuple[int, ...],
    arrays: int,
    count: int,
    folder: Path,
    key: str,
    told: Callable[[int, int], None] | None = None,
) -> Running:
    """The arrays after `count` gradients.

    Parameters
    ----------
    gradient : number, counted from 0 -> (1, C, d0, d1, d2)
    update : how a slice of the arrays changes with one more
    folder : of these sums alone
    key : everything that the gradients depend on but their number: sums of another key are not gone on with
    told : called with gradients done and all

    Memory: one gradient, and a slice of the arrays.
    """
    folder.mkdir(parents=True, exist_ok=True)
    now = _found(folder, key, shape, arrays, count)
    for number in range(now.done, count):
        found = gradient(number)[0].detach().cpu()
        after = Running(folder / f"{number + 1}.sums", shape, arrays, number + 1)
        before = now.slices() if now.done else None
        with atomic_path(after.path) as temporary, temporary.open("wb") as file:
            for at in range(shape[1]):
                held = next(before) if before is not None else None
                for array in update(number + 1, found[:, at].double().numpy(), held):
                    file.write(np.ascontiguousarray(array, np.float64).tobytes())
        del found
        write_json(folder / "state.json", {"key": key, "done": number + 1})
        if now.done:
            now.path.unlink(missing_ok=True)
        now = after
        if told is not None:
            told(number + 1, count)
    return now


def _found(folder: Path, key: str, shape: tuple[int, ...], arrays: int, count: int) -> Running:
    """What an earlier job of the same key left; all else is removed."""
    try:
        state = json.loads((folder / "state.json").read_text(encoding="utf-8"))
    except (OSError, ValueError):
        state = {}
    done = int(state.get("done", 0)) if state.get("key") == key else 0
    path = folder / f"{done}.sums"
    if done > count or not path.is_file() or path.stat().st_size != 8 * arrays * int(np.prod(shape)):
        done = 0
    for other in folder.glob("*.sums"):
        if other != path or not done:
            other.unlink()
    return Running(path, shape, arrays, done)
