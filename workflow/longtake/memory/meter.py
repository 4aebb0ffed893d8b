"""Peaks of memory and time of this process, sampled while it runs."""

from __future__ import annotations

import logging
import os
import resource
import sys
import threading
import time
from contextlib import suppress
from pathlib import Path
from types import TracebackType

import psutil

log = logging.getLogger(__name__)
_MIB = 2**20
_CLOSE = 0.9


def peak_rss_mb() -> float:
    """Return the peak resident memory of this process in MiB.

    Linux's ``VmHWM`` starts anew with each program, whereas ``ru_maxrss`` still holds what the parent used
    before it started this one; so the latter is only for systems without ``/proc``.
    """
    try:
        for line in Path("/proc/self/status").read_text(encoding="ascii").splitlines():
            if line.startswith("VmHWM:"):
                return int(line.split()[1]) / 1024
    except OSError:
        pass
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak / _MIB if sys.platform == "darwin" else peak / 1024


def gpu_peaks_mb() -> tuple[float, float]:
    """Return the peak GPU memory (allocated, reserved) in MiB; zeros if this process never used a GPU.

    PyTorch is asked only if it is loaded already: a meter must not cost what it measures.
    """
    torch = sys.modules.get("torch")
    if torch is None or not torch.cuda.is_available() or not torch.cuda.is_initialized():
        return 0.0, 0.0
    return torch.cuda.max_memory_allocated() / _MIB, torch.cuda.max_memory_reserved() / _MIB


def _cpu_s() -> float:
    """Return the CPU seconds of this process and of its children that have ended."""
    spent = os.times()
    return spent.user + spent.system + spent.children_user + spent.children_system


def _rss_of(process: psutil.Process) -> int:
    """Return the resident bytes of the larger of a process and its children."""
    family = [process, *process.children(recursive=True)]
    found = [process.memory_info().rss]
    for member in family[1:]:
        with suppress(psutil.Error):  # ended in between
            found.append(member.memory_info().rss)
    return max(found)


class Meter:
    """Log memory every `interval` seconds while the block runs, and know the peaks at its end.

    Once, it warns that resident memory has passed nine tenths of `budget` bytes: whoever sets that limit kills without
    a word.

    Examples
    --------
    >>> with Meter(interval=30) as meter:
    ...     work()
    >>> meter.peaks()["rss_mb"]
    """

    def __init__(self, interval: float = 30.0, budget: int | None = None) -> None:
        self.interval = interval
        self.budget = budget
        self._warned = False
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, name="meter", daemon=True)
        self._wall = time.monotonic()
        self._cpu = _cpu_s()
        self._rss_mb = self._allocated_mb = self._reserved_mb = 0.0

    def __enter__(self) -> Meter:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stop.set()
        self._thread.join()

    def saw(self, rss_mb: float, allocated_mb: float = 0.0, reserved_mb: float = 0.0) -> None:
        """Take the peaks (MiB) of a child process into account.

        A forked child's resident memory holds what it shares with this process, so the larger of both counts, and not
        their sum.
        """
        self._rss_mb = max(self._rss_mb, rss_mb)
        self._allocated_mb = max(self._allocated_mb, allocated_mb)
        self._reserved_mb = max(self._reserved_mb, reserved_mb)

    def peaks(self) -> dict[str, float]:
        """Return peaks so far: `rss_mb`, `gpu_allocated_mb`, `gpu_reserved_mb` (MiB), `wall_s`, `cpu_s`."""
        self.saw(peak_rss_mb(), *gpu_peaks_mb())
        return {
            "rss_mb": round(self._rss_mb, 1),
            "gpu_allocated_mb": round(self._allocated_mb, 1),
            "gpu_reserved_mb": round(self._reserved_mb, 1),
            "wall_s": round(time.monotonic() - self._wall, 3),
            "cpu_s": round(_cpu_s() - self._cpu, 3),
        }

    def _run(self) -> None:
        process = psutil.Process()
        while not self._stop.wait(self.interval):
            now = _rss_of(process)
            self.saw(now / _MIB)
            peaks = self.peaks()
            log.info(
                "memory: RSS %.0f MiB now, %.0f peak; GPU %.0f allocated, %.0f reserved at peak; %.0f s",
                now / _MIB,
                peaks["rss_mb"],
                peaks["gpu_allocated_mb"],
                peaks["gpu_reserved_mb"],
                peaks["wall_s"],
            )
            self._watch(peaks["rss_mb"])

    def _watch(self, rss_mb: float) -> None:
        if self.budget is None or self._warned or rss_mb * _MIB < _CLOSE * self.budget:
            return
        self._warned = True
        log.warning("memory: %.0f MiB used of the %.0f this job may use", rss_mb, self.budget / _MIB)
