"""Measuring what work takes of this machine's memory, and correcting a simulation by it.

A simulation knows tensors. What Python and the libraries hold, what the heap keeps, what an operation uses inside
itself, it does not; but these can be measured once, in a process that does such work at a small size, as jobs do it:
a fresh interpreter that imports what a job imports, and a supervised child (`longtake.supervise.ladder`) that does it.

    python -m longtake.planning.calibrate < task > measured
"""

from __future__ import annotations

import importlib
import os
import pickle
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from importlib.util import find_spec
from typing import Any

from longtake.errors import OutOfMemory
from longtake.memory.budget import MIB
from longtake.memory.meter import peak_rss_mb
from longtake.planning.heap import with_this_library
from longtake.supervise.ladder import Attempt, climb_down

# What every job has in memory before it looks at its arguments: the door, and Snakemake's own side of it.
_OF_ALL_JOBS = ("longtake.job", "snakemake.script")


@dataclass(frozen=True)
class Measured:
    """What a piece of work took of a process of its own: peak resident bytes, seconds, and what it returned."""

    rss: int
    wall_s: float
    result: Any


@dataclass(frozen=True)
class Line:
    """Peak resident bytes as a straight line over simulated ones: ``base + slope * simulated``."""

    base: float
    slope: float

    def at(self, simulated: float) -> int:
        """Return the peak that is expected where so many bytes were simulated."""
        return round(self.base + self.slope * simulated)


def measure(work: Callable[..., Any], arguments: Mapping[str, Any], *, threads: int = 1) -> Measured:
    """Do ``work(**arguments)`` in a fresh process as a job would, and return its peak.

    Parameters
    ----------
    work
        A function of a module; it and what it takes and returns must pickle.

    Raises
    ------
    OutOfMemory
        This machine's memory did not suffice.
    Exception
        What `work` raised.
    """
    environment = with_this_library() | {
        "OMP_NUM_THREADS": str(threads),
        # As rules/common.smk sets it for all jobs.
        "MALLOC_ARENA_MAX": os.environ.get("MALLOC_ARENA_MAX", "2"),
    }
    task = pickle.dumps((work.__module__, work.__qualname__, dict(arguments)))
    command = [sys.executable, "-m", "longtake.planning.calibrate"]
    done = subprocess.run(command, input=task, stdout=subprocess.PIPE, env=environment, check=False)
    if done.returncode:
        raise OutOfMemory(
            f"The process that was to measure {work.__module__}.{work.__qualname__} ended with exit code "
            f"{done.returncode}. Give this step more memory (mem_mb)."
        )
    found = pickle.loads(done.stdout)  # noqa: S301 - what a process of ours pickled a moment ago
    if isinstance(found, BaseException):
        raise found
    return Measured(*found)


def fit(
    points: Sequence[tuple[float, float]], least: float = 0.0, most: float = float("inf"), usual: float = 1.0
) -> Line:
    """Fit a line through (simulated bytes, measured bytes) by least squares, its slope between `least` and `most`.

    One point tells the base alone; the slope is the `usual` one.

    Raises
    ------
    ValueError
        There is no point.
    """
    if not points:
        raise ValueError("a line needs a point")
    mean_x = sum(x for x, _ in points) / len(points)
    mean_y = sum(y for _, y in points) / len(points)
    spread = sum((x - mean_x) ** 2 for x, _ in points)
    slope = sum((x - mean_x) * (y - mean_y) for x, y in points) / spread if spread else usual
    slope = min(max(slope, least), most)
    return Line(mean_y - slope * mean_x, slope)


def _main() -> None:
    """Do the task on the standard input, and write what it took, or the exception, to the standard output."""
    module, name, arguments = pickle.load(sys.stdin.buffer)  # noqa: S301 - from `measure`
    out = os.dup(sys.stdout.fileno())
    os.dup2(sys.stderr.fileno(), sys.stdout.fileno())  # whatever is printed is no result
    for each in _OF_ALL_JOBS:
        if find_spec(each.partition(".")[0]) is not None:
            importlib.import_module(each)
    work: Any = importlib.import_module(module)
    for part in name.split("."):
        work = getattr(work, part)
    attempts: list[Attempt] = []
    began = time.monotonic()
    found: Any
    try:
        result = climb_down(work, arguments, attempts=attempts).result
        found = (round(max(attempts[-1].rss_mb, peak_rss_mb()) * MIB), time.monotonic() - began, result)
    except Exception as error:  # it belongs to whoever asked
        found = error
    with os.fdopen(out, "wb") as pipe:
        pickle.dump(found, pipe)


if __name__ == "__main__":
    _main()
