"""How close a job is to a limit beyond which somebody would kill it.

A control group counts what all its processes hold together, and the kernel's pages for files as well. Those it gives
back when memory is short, so they do not count here; and the kernel's own killer is better not waited for: SLURM takes
a job for failed once that has acted, whatever the job makes of it.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path

import psutil

from longtake.memory.budget import MIB, Limit

CLOSE = 0.97
"""A job is close to a limit above this part of it."""


def too_close(limits: Iterable[Limit], process: psutil.Process) -> str:
    """Say which of `limits` the process is close to; an empty text if none, or if it has ended."""
    try:
        rss = process.memory_info().rss
    except psutil.NoSuchProcess:
        return ""
    for limit in limits:
        held = rss if limit.group is None else held_by(limit.group)
        if held > CLOSE * limit.nbytes:
            return f"close to the limit of {limit.nbytes / MIB:.0f} MiB ({limit.source})"
    return ""


def left(limits: Iterable[Limit], process: psutil.Process) -> int:
    """Count the bytes that the process can still take before it is close to one of `limits`; not below 0."""
    rss = process.memory_info().rss
    rooms = (CLOSE * limit.nbytes - (rss if limit.group is None else held_by(limit.group)) for limit in limits)
    return max(0, int(min(rooms)))


def held_by(group: Path) -> int:
    """Count the bytes that the processes of a control group hold and the kernel cannot take back; 0 if it is gone."""
    try:
        stat = _statistics(group / "memory.stat")
        version_1 = group / "memory.usage_in_bytes"
        if version_1.exists():
            files = stat["total_inactive_file"] + stat["total_active_file"]
            return max(0, int(version_1.read_text()) - files)
        files = stat["inactive_file"] + stat["active_file"] + stat.get("slab_reclaimable", 0)
        return max(0, int((group / "memory.current").read_text()) - files)
    except (OSError, KeyError, ValueError):
        return 0


def _statistics(path: Path) -> Mapping[str, int]:
    pairs = (line.split() for line in path.read_text(encoding="ascii").splitlines())
    return {name: int(value) for name, value in pairs}
