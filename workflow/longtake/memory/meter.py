"""Peaks of memory and time of this process, sampled while it runs."""

from __future__ import annotations

import logging
import os
import resource
import sys
import threading
import time
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any

import psutil

from longtake.memory.budget import kilobytes

log = logging.getLogger(__name__)
_MIB = 2**20
_CLOSE = 0.9
EVERY_S = 30.0
"""Seconds between two lines about memory in a log."""


@dataclass
class _Earlier:
    """Peaks (MiB) of process `pid` that a restart of its counters has hidden; a forked child begins anew."""

    pid: int = 0
    rss: float = 0.0
    allocated: float = 0.0
    reserved: float = 0.0


_EARLIER = _Earlier()


def _earlier() -> _Earlier:
    if _EARLIER.pid != os.getpid():
        _EARLIER.pid, _EARLIER.rss, _EARLIER.allocated, _EARLIER.reserved = os.getpid(), 0.0, 0.0, 0.0
    return _EARLIER


def restart_peaks() -> None:
    """Let `recent_peaks` begin here; the peaks so far stay in `peak_rss_mb` and `gpu_peaks_mb`.

    The kernel's own high-water mark starts anew (``clear_refs`` of proc(5)), where it lets itself be told.
    """
    earlier, (rss, allocated, reserved) = _earlier(), recent_peaks()
    earlier.rss, earlier.allocated = max(earlier.rss, rss), max(earlier.allocated, allocated)
    earlier.reserved = max(earlier.reserved, reserved)
    with suppress(OSError):
        Path("/proc/self/clear_refs").write_text("5", encoding="ascii")
    torch = _torch_on_gpu()
    if torch is not None:
        torch.cuda.reset_peak_memory_stats()


def recent_peaks() -> tuple[float, float, float]:
    """Return peaks in MiB since `restart_peaks`: resident, and of the GPU allocated and reserved."""
    torch = _torch_on_gpu()
    if torch is None:
        return _recent_rss_mb(), 0.0, 0.0
    return _recent_rss_mb(), torch.cuda.max_memory_allocated() / _MIB, torch.cuda.max_memory_reserved() / _MIB


def peak_rss_mb() -> float:
    """Return the peak resident memory of this process in MiB.

    Linux's ``VmHWM`` starts anew with each program, whereas ``ru_maxrss`` still holds what the parent used
    before it started this one; so the latter is only for systems without ``/proc``.
    """
    return max(_earlier().rss, _recent_rss_mb())


def _recent_rss_mb() -> float:
    peak = _status_mb("VmHWM")
    if peak is not None:
        return peak
    used = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return used / _MIB if sys.platform == "darwin" else used / 1024


def peak_vms_mb() -> float:
    """Return the peak address space of this process in MiB; where ``/proc`` does not tell, what it is now."""
    peak = _status_mb("VmPeak")
    return psutil.Process().memory_info().vms / _MIB if peak is None else peak


def _status_mb(name: str) -> float | None:
    kb = kilobytes(Path("/proc/self/status"), name)
    return None if kb is None else kb / 1024


def gpu_peaks_mb() -> tuple[float, float]:
    """Return the peak GPU memory (allocated, reserved) in MiB; zeros if this process never used a GPU."""
    earlier, (_, allocated, reserved) = _earlier(), recent_peaks()
    return max(earlier.allocated, allocated), max(earlier.reserved, reserved)


def gpu_state() -> dict[str, float]:
    """Return what PyTorch's allocator holds of the GPU now, in MiB; empty if this process never used a GPU.

    ``allocated`` is in tensors, ``reserved`` taken from the driver, ``split`` free in pieces of blocks whose other
    pieces are in use (``inactive_split_bytes``), so that only a smaller tensor can have it; ``split_share`` is its
    share of what is reserved. ``free`` is what the driver has left, ``context`` what is used of the GPU and not
    reserved: this process's context, and whatever other processes hold. ``ooms`` and ``retries`` count how often the
    allocator gave up, and how often it succeeded only after it had given back everything unused.
    """
    torch = _torch_on_gpu()
    if torch is None:
        return {}
    stats, (free, total) = torch.cuda.memory_stats(), torch.cuda.mem_get_info()
    reserved, split = (stats.get(f"{name}_bytes.all.current", 0) for name in ("reserved", "inactive_split"))
    return {
        "allocated": stats.get("allocated_bytes.all.current", 0) / _MIB,
        "reserved": reserved / _MIB,
        "split": split / _MIB,
        "split_share": split / reserved if reserved else 0.0,
        "free": free / _MIB,
        "context": max(0, total - free - reserved) / _MIB,
        "ooms": stats.get("num_ooms", 0),
        "retries": stats.get("num_alloc_retries", 0),
    }


def _torch_on_gpu() -> Any:
    """PyTorch, if this process has used a GPU with it.

    It is not loaded for that, nor is the driver asked: a meter must not cost anything, and a process in which the
    driver has begun cannot hand the GPU to a forked child.
    """
    torch: Any = sys.modules.get("torch")
    return torch if torch is not None and torch.cuda.is_initialized() else None


def _cpu_s() -> float:
    """Return the CPU seconds of this process and of its children that have ended."""
    spent = os.times()
    return spent.user + spent.system + spent.children_user + spent.children_system


def _size_of(process: psutil.Process) -> tuple[int, int]:
    """Return resident bytes and address space of the larger of a process and its children."""
    found = [process.memory_info()]
    for member in process.children(recursive=True):
        with suppress(psutil.Error):  # ended in between
            found.append(member.memory_info())
    return max((info.rss, info.vms) for info in found)


class Meter:
    """Log memory every `interval` seconds while the block runs, and know the peaks at its end.

    Once, it warns that resident memory has passed nine tenths of `budget` bytes: whoever sets that limit kills without
    a word. While `quiet`, it logs nothing else, because a child does (`longtake.memory.ledger`).

    Examples
    --------
    >>> with Meter(interval=30) as meter:
    ...     work()
    >>> meter.peaks()["rss_mb"]
    """

    def __init__(self, interval: float = EVERY_S, budget: int | None = None) -> None:
        self.interval = interval
        self.budget = budget
        self.quiet = False
        self._warned = False
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, name="meter", daemon=True)
        self._wall = time.monotonic()
        self._cpu = _cpu_s()
        self._rss_mb = self._vms_mb = self._allocated_mb = self._reserved_mb = 0.0

    def __enter__(self) -> Meter:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stop.set()
        self._thread.join()

    def saw(self, rss_mb: float, allocated_mb: float = 0.0, reserved_mb: float = 0.0, vms_mb: float = 0.0) -> None:
        """Take the peaks (MiB) of a child process into account.

        A forked child's resident memory holds what it shares with this process, so the larger of both counts, and not
        their sum.
        """
        self._rss_mb = max(self._rss_mb, rss_mb)
        self._vms_mb = max(self._vms_mb, vms_mb)
        self._allocated_mb = max(self._allocated_mb, allocated_mb)
        self._reserved_mb = max(self._reserved_mb, reserved_mb)

    def peaks(self) -> dict[str, float]:
        """Return peaks so far: `rss_mb`, `vms_mb`, `gpu_allocated_mb`, `gpu_reserved_mb` (MiB), `wall_s`, `cpu_s`."""
        self.saw(peak_rss_mb(), *gpu_peaks_mb(), peak_vms_mb())
        return {
            "rss_mb": round(self._rss_mb, 1),
            "vms_mb": round(self._vms_mb, 1),
            "gpu_allocated_mb": round(self._allocated_mb, 1),
            "gpu_reserved_mb": round(self._reserved_mb, 1),
            "wall_s": round(time.monotonic() - self._wall, 3),
            "cpu_s": round(_cpu_s() - self._cpu, 3),
        }

    def _run(self) -> None:
        process = psutil.Process()
        while not self._stop.wait(self.interval):
            rss, vms = _size_of(process)
            self.saw(rss / _MIB, vms_mb=vms / _MIB)
            peaks = self.peaks()
            log.log(
                logging.DEBUG if self.quiet else logging.INFO,
                "memory: RSS %.0f MiB now, %.0f peak; VMS %.0f; GPU %.0f allocated, %.0f reserved at peak; %.0f s",
                rss / _MIB,
                peaks["rss_mb"],
                vms / _MIB,
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
