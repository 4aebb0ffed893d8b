"""What PyTorch's allocator reserves of a GPU for a course of allocations.

It takes segments from the driver, serves tensors out of them, and keeps what is freed. So a job holds more than its
tensors: what lies between them, and what was larger before. The allocator's rules are few and its own, so they can be
followed without a GPU (``c10/cuda/CUDACachingAllocator.cpp`` of PyTorch 2; no GPU was at hand to compare):

- Sizes are rounded up to 512 bytes.
- Up to 1 MiB a tensor comes out of segments of 2 MiB, below 10 MiB out of segments of 20 MiB; a larger one gets a
  segment of its own size, rounded up to 2 MiB.
- The smallest free block that is large enough is taken, of the same kind (up to 1 MiB or above); what is left of it
  stays a block, if it is 512 bytes, or of the larger kind more than 1 MiB.
- Free neighbours in a segment become one block.
"""

from __future__ import annotations

from bisect import bisect_left, insort
from collections.abc import Sequence
from dataclasses import dataclass

_MIB = 2**20
_LEAST, _SMALL, _LARGE = 512, _MIB, 10 * _MIB
_SMALL_SEGMENT, _SEGMENT, _ROUND = 2 * _MIB, 20 * _MIB, 2 * _MIB

Event = tuple[int, int]
"""(number of the block, its bytes), or (number, -1) where it is freed."""


@dataclass(eq=False)
class _Block:
    """A piece of a segment, between two others of the same."""

    size: int
    small: bool
    number: int
    before: _Block | None = None
    after: _Block | None = None
    free: bool = False


def reserved(events: Sequence[Event]) -> int:
    """Return the bytes that are reserved at the end of `events`; as nothing is given back, that is the peak."""
    allocator = _Allocator()
    blocks: dict[int, _Block] = {}
    for number, nbytes in events:
        if nbytes < 0:
            allocator.free(blocks.pop(number))
        else:
            blocks[number] = allocator.take(nbytes)
    return allocator.reserved


class _Allocator:
    def __init__(self) -> None:
        self.reserved = 0
        self._made = 0
        # Free blocks of either kind, the smallest first; of equal ones the oldest.
        self._free: dict[bool, list[tuple[int, int]]] = {True: [], False: []}
        self._blocks: dict[int, _Block] = {}

    def take(self, nbytes: int) -> _Block:
        size = max(_LEAST, -(-nbytes // _LEAST) * _LEAST)
        small = size <= _SMALL
        block = self._smallest(size, small) or self._segment(size, small)
        left = block.size - size
        if left >= _LEAST if small else left > _SMALL:
            rest = self._new(left, small)
            rest.before, rest.after, block.after, block.size = block, block.after, rest, size
            if rest.after is not None:
                rest.after.before = rest
            self._put(rest)
        block.free = False
        return block

    def free(self, block: _Block) -> None:
        for other in (block.before, block.after):
            if other is not None and other.free:
                self._drop(other)
                block.size += other.size
                if other is block.before:
                    block.before = other.before
                    if block.before is not None:
                        block.before.after = block
                else:
                    block.after = other.after
                    if block.after is not None:
                        block.after.before = block
        self._put(block)

    def _smallest(self, size: int, small: bool) -> _Block | None:
        free = self._free[small]
        place = bisect_left(free, (size, 0))
        return self._blocks[free.pop(place)[1]] if place < len(free) else None

    def _segment(self, size: int, small: bool) -> _Block:
        segment = _SMALL_SEGMENT if small else _SEGMENT if size < _LARGE else -(-size // _ROUND) * _ROUND
        self.reserved += segment
        return self._new(segment, small)

    def _new(self, size: int, small: bool) -> _Block:
        self._made += 1
        block = self._blocks[self._made] = _Block(size, small, self._made)
        return block

    def _put(self, block: _Block) -> None:
        block.free = True
        insort(self._free[block.small], (block.size, block.number))

    def _drop(self, block: _Block) -> None:
        free = self._free[block.small]
        free.pop(bisect_left(free, (block.size, block.number)))
        del self._blocks[block.number]
