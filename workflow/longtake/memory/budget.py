"""What this job may use: every limit that is set on it, the smallest of which counts.

Only the standard library is imported: the Snakefile asks for the GPUs of the machine in every job.
"""

from __future__ import annotations

import os
import resource
import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

GIB, MIB = 2**30, 2**20
FREE_NOW = "what other processes leave free now"
CONTEXT = 500 * MIB
"""What the driver takes of a GPU for each process, kernels loaded: some 300 to 600 MiB by model and version."""
CUDA_LIBRARIES = GIB
"""Bytes of the host's memory that a process takes more once it uses a GPU, for the driver's libraries; not measured."""
# Kernels say "no limit" by a number near 2**63, rounded down to a page.
_NO_LIMIT = 2**62


@dataclass(frozen=True)
class Limit:
    """One limit on a job's memory: how many bytes, and what sets it, in words for a log.

    `hard` says that whoever sets it kills, or refuses memory, beyond it; a request alone does not. `group` is the
    folder of the control group whose processes it is for, all together; without one, it is for a process alone.
    """

    nbytes: int
    source: str
    hard: bool = True
    group: Path | None = None


@dataclass(frozen=True)
class Budget:
    """What a job may use of one kind of memory (``host`` or ``GPU``): all limits found, smallest first."""

    kind: str
    limits: tuple[Limit, ...]

    @property
    def nbytes(self) -> int:
        """The smallest limit, in bytes."""
        return self.limits[0].nbytes

    def describe(self) -> str:
        """Return one line for a log: the smallest limit and what sets it, then the others."""
        first, *rest = (f"{limit.nbytes / GIB:.1f} GiB ({limit.source})" for limit in self.limits)
        return f"{self.kind} memory: {first}" + (f"; larger: {', '.join(rest)}" if rest else "")


def local_gpus(devices: Path = Path("/dev")) -> int:
    """Return how many NVIDIA GPUs this machine shows as device files; under Windows' Linux one file stands for all.

    The Snakefile asks this in every job, so no driver library is loaded for it.
    """
    found = sum(1 for path in devices.glob("nvidia[0-9]*") if path.name.removeprefix("nvidia").isdigit())
    return found or int((devices / "dxg").exists())


def host_budget(
    requested_mb: float | None = None,
    *,
    root: Path = Path("/"),
    environment: Mapping[str, str] | None = None,
    gpus: int = 0,
) -> Budget:
    """Find what this process may use of the host's memory.

    Parameters
    ----------
    requested_mb
        What was asked for this job, in MiB: its resource ``mem_mb``; None if nothing was.
    root
        Where ``/proc`` and ``/sys`` lie.
    environment
        Where the scheduler's variables stand; this process's own by default.
    gpus
        How many GPUs the job holds, for a scheduler that grants memory per GPU.

    Returns
    -------
    Budget
        From the request, the scheduler, cgroups of both versions (each ancestor's limit holds too), the limit on
        address space, and the machine's memory.
    """
    found = [] if requested_mb is None else [Limit(int(requested_mb * MIB), "mem_mb of this job", hard=False)]
    found += _scheduler(os.environ if environment is None else environment, gpus)
    found += _cgroups(root)
    found += _address_space()
    found += _physical(root)
    return Budget("host", _ordered(found))


def hold_to_gpu_limit(limit_mb: int | None, *, device: int = 0) -> Budget | None:
    """Have PyTorch take no more than `limit_mb` MiB of a GPU (None: whatever is free), and return `gpu_budget`.

    Beyond it PyTorch raises its own out-of-memory error, as on a GPU that has no more. The driver's part (`CONTEXT`)
    counts towards the limit.
    """
    torch: Any = sys.modules.get("torch")
    if torch is None or not torch.cuda.is_available():
        return None
    if limit_mb is not None:
        torch.cuda.init()
        _, total = torch.cuda.mem_get_info(device)
        torch.cuda.set_per_process_memory_fraction(gpu_fraction(limit_mb, total), device)
    return gpu_budget(limit_mb, device=device)


def gpu_fraction(limit_mb: int, total: int, context: int = CONTEXT) -> float:
    """Return the share of a GPU of `total` bytes that PyTorch's allocator may take, for `limit_mb` MiB in all."""
    return min(1.0, max(0, limit_mb * MIB - context) / total)


def gpu_budget(limit_mb: int | None = None, *, device: int = 0) -> Budget | None:
    """Find what this process may use of a GPU's memory; None where PyTorch sees no GPU, or is not loaded.

    What other processes hold of it now is not counted as usable. Asking starts the driver's context (some hundred
    MiB of the GPU), so it is asked only by a job that will use the GPU.
    """
    torch: Any = sys.modules.get("torch")
    if torch is None or not torch.cuda.is_available():
        return None
    free, total = torch.cuda.mem_get_info(device)
    mine = torch.cuda.memory_reserved(device)
    found = [] if limit_mb is None else [Limit(max(0, limit_mb * MIB - CONTEXT), "device.gpu_memory_gb")]
    found += [
        Limit(free + mine, f"free on {torch.cuda.get_device_name(device)}"),
        Limit(total, "all of it"),
    ]
    fraction = torch.cuda.get_per_process_memory_fraction(device)
    if fraction < 1:
        found.append(Limit(int(fraction * total), "the fraction set for this process"))
    return Budget("GPU", _ordered(found))


def _ordered(limits: list[Limit]) -> tuple[Limit, ...]:
    return tuple(sorted(limits, key=lambda limit: limit.nbytes))


def _scheduler(environment: Mapping[str, str], gpus: int) -> Iterator[Limit]:
    """SLURM's grants, in MiB; 0 means the whole node."""
    per_unit = (
        ("SLURM_MEM_PER_NODE", 1),
        ("SLURM_MEM_PER_CPU", _number(environment.get("SLURM_CPUS_ON_NODE"))),
        ("SLURM_MEM_PER_GPU", gpus or _number(environment.get("SLURM_GPUS_ON_NODE"))),
    )
    for name, units in per_unit:
        granted = _number(environment.get(name)) * units
        if granted:
            yield Limit(granted * MIB, name if units == 1 else f"{name} x {units}")


def _number(text: str | None) -> int:
    return int(text) if text is not None and text.isdigit() else 0


def _cgroups(root: Path) -> Iterator[Limit]:
    """Limits of this process's control groups and of all above them; version 2 is one tree, version 1 has its own."""
    for line in _lines(root / "proc/self/cgroup"):
        _, controllers, path = line.split(":", 2)
        if not controllers:
            yield from _ancestors(root / "sys/fs/cgroup", path.strip("/"), "memory.max")
            yield from _ancestors(root / "sys/fs/cgroup/unified", path.strip("/"), "memory.max")
        elif "memory" in controllers.split(","):
            yield from _ancestors(root / "sys/fs/cgroup/memory", path.strip("/"), "memory.limit_in_bytes")


def _ancestors(tree: Path, path: str, name: str) -> Iterator[Limit]:
    parts = path.split("/") if path else []
    for depth in range(len(parts), -1, -1):
        group = "/".join(parts[:depth])
        limit = _number("".join(_lines(tree / group / name)))
        if 0 < limit < _NO_LIMIT:
            yield Limit(limit, f"{name} of cgroup /{group}", group=tree / group)


def _address_space() -> Iterator[Limit]:
    soft, _ = resource.getrlimit(resource.RLIMIT_AS)
    if 0 < soft < _NO_LIMIT:
        yield Limit(soft, "RLIMIT_AS, which counts address space")


def _physical(root: Path) -> Iterator[Limit]:
    if total := kilobytes(root / "proc/meminfo", "MemTotal"):
        yield Limit(total * 1024, "the machine's memory")
    if free := kilobytes(root / "proc/meminfo", "MemAvailable"):
        # What this process holds is not available any more; pages of files are, while nobody needs more.
        yield Limit((free + (kilobytes(root / "proc/self/status", "RssAnon") or 0)) * 1024, FREE_NOW)
    if not (root / "proc/meminfo").exists():
        yield Limit(os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES"), "the machine's memory")


def kilobytes(path: Path, name: str) -> int | None:
    """Return the number of the line ``name: number kB`` of a file of proc(5); None where there is none."""
    return next((int(line.split()[1]) for line in _lines(path) if line.startswith(f"{name}:")), None)


def _lines(path: Path) -> list[str]:
    try:
        return path.read_text(encoding="ascii").splitlines()
    except OSError:
        return []
