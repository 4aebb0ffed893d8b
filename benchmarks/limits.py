"""A hard limit on the memory of a command, as a cluster sets it: by a control group, or on address space.

A control group of version 1 or 2 needs root and the memory controller at the root of its tree. It counts the memory of
all processes of the command together and the pages of the files that they touch first; nothing goes to swap. Elsewhere
RLIMIT_AS stands in, which counts address space, of each process by itself.
"""

from __future__ import annotations

import os
import subprocess
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

V1, V2 = Path("/sys/fs/cgroup/memory"), Path("/sys/fs/cgroup")


@dataclass(frozen=True)
class Confinement:
    """By what a command is confined: ``cgroup v1``, ``cgroup v2`` or ``RLIMIT_AS``; the group's folder, if any."""

    by: str
    nbytes: int
    group: Path | None = None

    def facts(self) -> dict[str, Any]:
        """Say what limits the command and what the kernel has counted: its peak in MiB, and how often it was hit."""
        told: dict[str, Any] = {"by": self.by, "limit_mb": self.nbytes // 2**20}
        if self.group is None:
            return told
        peak, events = ("memory.max_usage_in_bytes", "memory.oom_control") if self.by == "cgroup v1" else _OF_V2
        with suppress(OSError, ValueError):
            told["peak_with_files_mb"] = int((self.group / peak).read_text()) >> 20
        with suppress(OSError):
            counted = dict(line.split() for line in (self.group / events).read_text().splitlines())
            told["kernel_kills"] = int(counted.get("oom_kill", 0))
        return told


_OF_V2 = ("memory.peak", "memory.events")


@contextmanager
def confined(nbytes: int, name: str = "longtake") -> Iterator[Confinement]:
    """Make a place in which the processes of a command can use at most `nbytes`, and take it away at the end."""
    group = _made(name)
    if group is None:
        yield Confinement("RLIMIT_AS", nbytes)
        return
    first = group.parent == V1
    try:
        if first:
            (group / "memory.limit_in_bytes").write_text(str(nbytes))
            with suppress(OSError):  # where swap is accounted for
                (group / "memory.memsw.limit_in_bytes").write_text(str(nbytes))
        else:
            (group / "memory.max").write_text(str(nbytes))
            with suppress(OSError):
                (group / "memory.swap.max").write_text("0")
        yield Confinement("cgroup v1" if first else "cgroup v2", nbytes, group)
    finally:
        for _ in range(100):  # the last of its processes may still be ending
            with suppress(OSError):
                group.rmdir()
                break
            time.sleep(0.05)


def start(command: Sequence[str], place: Confinement, **options: Any) -> subprocess.Popen[str]:
    """Start a command in the place, as `subprocess.Popen` does; it is inside before its program begins."""

    enter = f"ulimit -v {place.nbytes // 1024}" if place.group is None else f"echo $$ > '{place.group}/cgroup.procs'"
    return subprocess.Popen(["sh", "-c", f'{enter} && exec "$@"', "sh", *command], text=True, **options)


def _made(name: str) -> Path | None:
    """A control group for memory of our own, at the root of a tree; None where we may not."""
    controllers = V2 / "cgroup.subtree_control"
    if (V1 / "memory.limit_in_bytes").exists():
        root = V1
    elif controllers.exists() and "memory" in controllers.read_text().split():
        root = V2
    else:
        return None
    group = root / f"{name}-{os.getpid()}-{time.monotonic_ns()}"
    try:
        group.mkdir()
    except OSError:
        return None
    return group
