"""Mean and median of numbers that wait on disk, as if they had been held."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from longtake.store import spill
from longtake.store.spill import ArraySpill


def mean(held: ArraySpill, key: Any) -> float | None:
    """Mean of the numbers of `key` in float64; None where there are none.

    The sum is NumPy's pairwise one over all of them, halved as NumPy halves until a piece fits into memory.
    """
    n = held.count(key)
    return float(_sum(held, key, 0, n) / n) if n else None


def _sum(held: ArraySpill, key: Any, start: int, stop: int) -> float:
    n = stop - start
    if n <= spill.CHUNK:
        return float(np.add.reduce(held.read(key, start, stop).astype(np.float64)))
    middle = start + n // 2 - n // 2 % 8
    return _sum(held, key, start, middle) + _sum(held, key, middle, stop)


def median(held: ArraySpill, key: Any) -> float | None:
    """Median of the float32 numbers of `key`, none of them NaN; None where there are none.

    Floats sort like the integers of their bits, negative ones in reverse. So the number at a rank is found by counting:
    first by the upper 16 bits of all, then by the lower 16 of those that share the upper ones.
    """
    n = held.count(key)
    if not n:
        return None
    lower, upper = _at_rank(held, key, (n - 1) // 2), _at_rank(held, key, n // 2)
    return (lower + upper) / 2


def _at_rank(held: ArraySpill, key: Any, rank: int) -> float:
    found, known = 0, 0
    for shift in (16, 0):
        counts = np.zeros(65_536, np.int64)
        for chunk in held.chunks(key):
            keys = _ordered(chunk)
            keys = keys[keys >> 16 == known] if shift == 0 else keys
            counts += np.bincount(keys >> shift & 0xFFFF, minlength=65_536)
        below = np.cumsum(counts)
        place = int(np.searchsorted(below, rank, "right"))
        rank -= int(below[place - 1]) if place else 0
        found, known = found << 16 | place, place
    bits = found ^ 0x80000000 if found & 0x80000000 else found ^ 0xFFFFFFFF
    return float(np.uint32(bits).view(np.float32))


def _ordered(values: NDArray[np.float32]) -> NDArray[np.int64]:
    """Integers that sort like the floats."""
    bits = values.view(np.uint32).astype(np.int64)
    return np.where(bits & 0x80000000, bits ^ 0xFFFFFFFF, bits | 0x80000000)
