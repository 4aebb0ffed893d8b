"""Letting go of what a job holds and does not need, when it comes close to what it may use.

Two things free bytes, and neither changes a number. They were measured with two objects that a SAM 2 of 39 M parameters
tracks at 1024 px on a CPU, in MiB of resident memory (`benchmarks/heap.py`):

- *What the C library keeps of freed memory.* As a program frees ever larger blocks, glibc keeps blocks of up to 32 MiB
  in its heap instead of mapping each by itself, and holes between living blocks stay resident. Giving the holes back
  (``malloc_trim``, some 10 ms) leaves 667 between frames instead of 938. Done after each frame, with large blocks
  mapped again (``mallopt``), it takes the peak within a frame from 1266 down to 1039; from the process's start on, to
  939, which is about what the libraries, the model and the living tensors make. Mapping costs page faults, a sixth more
  CPU time measured so, and therefore begins only when memory is short, or after it has run out once.
- *What the work offers* (`longtake.memory.ledger.droppable`): so far frames that wait beyond the next one, 12 MiB each.

What was measured to free nothing is not done: collecting garbage, releasing Arrow's pool. Cached encodings of positions
and planned ways to a gradient are too small to matter. Nor is the GPU's cache cleared: PyTorch gives it back by itself
before it says that memory is out.
"""

from __future__ import annotations

import ctypes
import logging
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import psutil

from longtake.memory.budget import MIB
from longtake.memory.meter import recent_peaks

log = logging.getLogger(__name__)
MAPPED = MIB
"""Bytes from which a block of memory is mapped by itself, once memory is short."""
_M_MMAP_THRESHOLD = -3  # of mallopt(3)
# Of the budget: so much must have come on top since the last clean-up before there is another one.
_GROWN = 0.02


def give_back_freed() -> None:
    """Give freed memory back to the system, now and from now on, where the C library is glibc; else do nothing."""
    if sys.platform != "linux":
        return
    library = ctypes.CDLL(None)
    if hasattr(library, "mallopt") and hasattr(library, "malloc_trim"):
        library.mallopt(_M_MMAP_THRESHOLD, MAPPED)
        library.malloc_trim(0)


class CleanUp:
    """Lets go of what can be had again as soon as resident memory passes `share` of `budget` bytes.

    Each clean-up is measured. The next one comes when more than a little has come on top of what the last one left, so
    that a job that needs all its memory is not slowed down by looking for more.
    """

    def __init__(self, budget: int | None, share: float) -> None:
        self.threshold = None if budget is None else int(share * budget)
        self._grown = 0 if budget is None else int(_GROWN * budget)
        self._floor = 0
        self._offers: list[tuple[str, Callable[[], int]]] = []
        self._times = 0
        self._freed = 0
        self._let_go: dict[str, int] = {}

    @contextmanager
    def offered(self, what: str, drop: Callable[[], int]) -> Iterator[None]:
        """Take `drop` as a way to let go of `what` during the body; it returns how many bytes those were."""
        offer = (what, drop)
        self._offers.append(offer)
        try:
            yield
        finally:
            self._offers.remove(offer)

    def check(self) -> None:
        """Clean up if the process has held too much since the peaks were restarted, and holds more than it need."""
        if self.threshold is None or recent_peaks()[0] * MIB < self.threshold:
            return
        before = _rss()
        if before < self._floor:
            return
        for what, drop in self._offers:
            nbytes = drop()
            if nbytes:
                self._let_go[what] = self._let_go.get(what, 0) + nbytes
                log.info("memory: let go of %s, %.1f MiB", what, nbytes / MIB)
        give_back_freed()
        left = _rss()
        self._times += 1
        self._freed += before - left
        self._floor = left + self._grown
        words = "memory: %.0f MiB, and a peak close to what this job may use: %.0f freed"
        log.log(logging.INFO if self._times == 1 else logging.DEBUG, words, before / MIB, (before - left) / MIB)

    def facts(self) -> dict[str, Any]:
        """Return how often it cleaned up, what that freed of resident memory, and what it let go of, in MiB."""
        if not self._times:
            return {}
        let_go = {what: round(nbytes / MIB, 1) for what, nbytes in self._let_go.items()}
        return {"times": self._times, "freed_mb": round(self._freed / MIB, 1), "let_go_mb": let_go}


def _rss() -> int:
    return int(psutil.Process().memory_info().rss)
