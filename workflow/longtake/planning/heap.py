"""What the C library's heap takes from the system for a course of allocations; nothing is written into it.

A heap holds more than what is alive: gaps between blocks, and what was freed below something that still lives. How much
depends on sizes and order and on the library's rules. So these rules are not imitated: a fresh process asks the same
allocator for the same blocks in the same order. As nobody writes to them, the system gives no memory for them, and a
job of gigabytes is replayed in a few milliseconds and megabytes.

    python -m longtake.planning.heap < events.json
"""

from __future__ import annotations

import ctypes
import json
import os
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

# PyTorch aligns its tensors so on a CPU.
_ALIGNMENT = 64
# From the largest block that glibc keeps on its heap it learns, once one was freed, to keep all smaller ones there.
_LARGEST_KEPT = 32 * 2**20 - 2**13
# Of each size up to about 1 kB, it keeps seven freed blocks for itself (mallopt(3) and glibc.malloc.tcache_count).
_KEPT_SMALL, _KEPT_OF_A_SIZE = 1040, 7
_PAGE, _HEADER = 4096, 16
# How the process ends where there is nothing to ask, or no answer.
_NOT_TOLD = 3

Event = tuple[int, int]
"""(number of the block, its bytes), or (number, -1) where it is freed."""


def live_peak(events: Sequence[Event]) -> int:
    """Return the most bytes that are alive at a time."""
    sizes: dict[int, int] = {}
    now = peak = 0
    for number, nbytes in events:
        now += -sizes.pop(number) if nbytes < 0 else nbytes
        if nbytes >= 0:
            sizes[number] = nbytes
        peak = max(peak, now)
    return peak


def footprint(events: Sequence[Event]) -> int:
    """Return the most bytes that the heap of a process on this machine takes from the system for `events`.

    Where the C library does not tell (it is not glibc, or older than 2.33), or the system refuses a block that is
    larger than itself, the bytes alive.
    """
    done = subprocess.run(
        [sys.executable, "-S", "-m", "longtake.planning.heap"],
        input=json.dumps(events),
        capture_output=True,
        text=True,
        env=with_this_library(),
        check=False,
    )
    if done.returncode == _NOT_TOLD:
        return live_peak(events)
    done.check_returncode()
    return int(done.stdout)


def with_this_library() -> dict[str, str]:
    """Return the environment of a process that is to find this library."""
    path = str(Path(__file__).parents[2])
    return {**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, [path, os.environ.get("PYTHONPATH")]))}


class _Told(ctypes.Structure):
    """``struct mallinfo2`` of mallinfo(3)."""

    _fields_ = [
        (name, ctypes.c_size_t)
        for name in "arena ordblks smblks hblks hblkhd usmblks fsmblks uordblks fordblks keepcost".split()
    ]


def _replay(events: Sequence[Event]) -> int:
    library = ctypes.CDLL(None)
    library.mallinfo2.restype = _Told
    library.malloc.restype, library.malloc.argtypes = ctypes.c_void_p, [ctypes.c_size_t]
    library.free.argtypes = [ctypes.c_void_p]
    library.posix_memalign.argtypes = [ctypes.POINTER(ctypes.c_void_p), ctypes.c_size_t, ctypes.c_size_t]
    # All that this function keeps is made before it looks at the heap, which is then that of the events alone.
    block = ctypes.c_void_p()
    blocks: list[int | None] = [None] * (1 + max((number for number, _ in events), default=0))
    # A job has freed large blocks before: its weights were read.
    library.free(library.malloc(_LARGEST_KEPT))
    _settle(library)

    def taken() -> int:
        told = library.mallinfo2()
        return int(told.arena + told.hblkhd)

    start = peak = taken()
    for number, nbytes in events:
        if nbytes < 0:
            library.free(blocks[number])
            continue
        if library.posix_memalign(ctypes.byref(block), _ALIGNMENT, nbytes):
            raise MemoryError(f"the system refuses a block of {nbytes} bytes")
        blocks[number] = block.value
        peak = max(peak, taken())
    return peak - start


def _settle(library: ctypes.CDLL) -> None:
    """Bring the heap into one and the same state, whatever Python's start has left in it.

    What is free between blocks is filled. What glibc keeps of small blocks for their next use is full, as it is in a
    process that has worked for a while: else the ends that alignment cuts off go there, several times of each size, and
    keep the block beside them from being used again.
    """
    for size in (2**power for power in range(20, 5, -1)):
        for _ in range(library.mallinfo2().fordblks // size):
            before = library.mallinfo2()
            block = library.malloc(size)
            after = library.mallinfo2()
            if (before.arena, before.keepcost) != (after.arena, after.keepcost):
                library.free(block)  # no gap was left for it: it is of the heap's free end
                break
    for size in range(16, _KEPT_SMALL, 16):
        for block in [library.malloc(size) for _ in range(_KEPT_OF_A_SIZE)]:
            library.free(block)
    # The next block's header then begins a page. Both of these are larger than what is kept, so they lie at the end.
    following = library.malloc(2 * _PAGE) + 2 * _PAGE + _HEADER
    library.malloc(_PAGE + (_HEADER - following) % _PAGE - _HEADER // 2)
    library.malloc_trim(0)


if __name__ == "__main__":
    try:
        sys.stdout.write(str(_replay(json.load(sys.stdin))))
    except (AttributeError, MemoryError):  # no such function in this C library; no such block in this system
        sys.exit(_NOT_TOLD)
