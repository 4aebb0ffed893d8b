"""What the C library's heap takes from the system for a course of allocations; nothing is written into it.

A heap holds more than what is alive: gaps between blocks, and what was freed below something that still lives. How much
depends on sizes and order and on the library's rules. So these rules are not imitated: a fresh process asks the same
allocator for the same blocks in the same order. As nobody writes to them, the system gives no memory for them, and a
job of gigabytes is replayed in a few milliseconds and megabytes.

    python -m longtake.memory.heap < events.json
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
    path = str(Path(__file__).parents[2])
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(filter(None, [path, os.environ.get("PYTHONPATH")]))}
    done = subprocess.run(
        [sys.executable, "-S", "-m", "longtake.memory.heap"],
        input=json.dumps(events),
        capture_output=True,
        text=True,
        env=environment,
        check=False,
    )
    return int(done.stdout) if done.returncode == 0 else live_peak(events)


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
    # A job has freed large blocks before: its weights were read.
    library.free(library.malloc(_LARGEST_KEPT))
    library.malloc_trim(0)  # what reading the events has left free is not theirs

    def taken() -> int:
        told = library.mallinfo2()
        return int(told.arena + told.hblkhd)

    blocks: dict[int, ctypes.c_void_p] = {}
    start = peak = taken()
    for number, nbytes in events:
        if nbytes < 0:
            library.free(blocks.pop(number))
            continue
        block = blocks[number] = ctypes.c_void_p()
        if library.posix_memalign(ctypes.byref(block), _ALIGNMENT, nbytes):
            raise MemoryError(f"the system refuses a block of {nbytes} bytes")
        peak = max(peak, taken())
    return peak - start


if __name__ == "__main__":
    sys.stdout.write(str(_replay(json.load(sys.stdin))))
