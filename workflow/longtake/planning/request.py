"""What a job of a model asks for: the row of the plan that is its own, and the resources that this makes on each try.

The plan's table, ``plan/jobs.tsv``, is read by the Snakefile in every job, so nothing large is imported, and a row is
taken apart only when its job asks.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from longtake.cells import split_lines
from longtake.planning.classes import GpuClass
from longtake.store.tsv import Parser

CPU = "CPU"
"""The class of a job without a GPU."""
PLANNED = ("gpu_class", "chunk", "gpu_mb", "host_mb", "gpu_limit_mb", "work", "rung", "forecast")
"""What the plan says of a job beyond what the scheduler is asked."""
TEXTS = ("gpu_class", "forecast", "expandable_segments")
"""Those of what is told that are no whole numbers (`in_words`)."""
ASKED = ("mem_mb", "runtime")
"""What every job asks the scheduler for, whatever class it is."""
UNKNOWN_MB, UNKNOWN_MINUTES = 4000, 120
"""What a job asks for where nobody could tell what it needs."""


@dataclass(frozen=True)
class Request:
    """A row of the plan: how one job is to be run, and what it needs for that.

    Attributes
    ----------
    rule, unit : which job (`longtake.unit.Unit.name`)
    subject : what it belongs to: a video, a case, a network
    work, counted : how much it has to do, and in what: frames, samples
    load : what it holds at a time, by name
    device : ``cpu`` or ``cuda``
    gpu_class : name of a `GpuClass`; empty on the CPU
    chunk, way : of the forecast, in numbers and in words; None and empty where there is no forecast
    gpu_mb, host_mb : forecast peaks in MiB; None where nobody could tell
    measured_gpu_mb, measured_host_mb : peaks of earlier jobs with the same key, in MiB; None where there was none
    mem_mb, runtime : asked for on the first try, in MiB and minutes
    key : of the forecast, by which its measured peaks are found
    source : where the forecast is from
    why : this class, chunk and memory, in words
    """

    rule: str
    unit: str
    subject: str
    work: int
    counted: str
    load: Mapping[str, int]
    device: str
    gpu_class: str
    chunk: int | None
    way: str
    gpu_mb: int | None
    host_mb: int | None
    measured_gpu_mb: int | None
    measured_host_mb: int | None
    mem_mb: int
    runtime: int
    key: str
    source: str
    why: str


class Requests:
    """The rows of the plan by job; a row is parsed when it is asked for.

    Memory: the text of the table.
    """

    def __init__(self, path: str | Path) -> None:
        """Read the table; a missing one has no rows.

        Raises
        ------
        SchemaError
            It is another table.
        """
        self.path = Path(path)
        self._lines: dict[tuple[str, ...], str] = {}
        if not self.path.exists():
            return
        header, *lines = self.path.read_text(encoding="utf-8").splitlines() or [""]
        self._parsed = Parser(header.split("\t"), Request, self.path, "Delete it: snakemake plan makes it anew.")
        self._lines = {tuple(line.split("\t", 2)[:2]): line for line in lines}

    def __len__(self) -> int:
        return len(self._lines)

    def get(self, rule: str, unit: str) -> Request | None:
        """Return the row of a job; None where it has none.

        Raises
        ------
        SchemaError
            The row is none.
        """
        line = self._lines.get((rule, unit))
        if line is None:
            return None
        return self._parsed(next(split_lines([line])), f"the row of {rule}, {unit}")


def resources(
    request: Request | None, classes: Sequence[GpuClass], attempt: int, gpu_limit_mb: int | None = None
) -> dict[str, int | str | None]:
    """Return what a job asks for, in the names of Snakemake's resources; None for what it does not ask.

    A later try asks for as many times the memory and time, for the next larger class, and starts as many rungs down the
    ladder.

    Parameters
    ----------
    request
        The job's row of the plan; None where there is none, and the job asks for what it would without a forecast.
    classes
        Those that may be asked for, smallest first; none on the CPU.
    attempt
        From 1.
    gpu_limit_mb
        What the user allows of a GPU, handed on to the job; of a class that others share, no more than its own.
    """
    chosen = _class(request, classes, attempt)
    asked: dict[str, int | str | None] = {
        "mem_mb": (request.mem_mb if request else UNKNOWN_MB) * attempt,
        "runtime": (request.runtime if request else UNKNOWN_MINUTES) * attempt,
        **(chosen.resources() if chosen else {}),
        "gpu_class": chosen.name if chosen else CPU,
        "gpu_limit_mb": _limit(chosen, gpu_limit_mb),
        "rung": attempt - 1,
    }
    if request is not None:
        named = {"gpu_mb": request.gpu_mb, "host_mb": request.host_mb, "chunk": request.chunk, "work": request.work}
        asked |= {**named, "forecast": request.key or None}
    return asked


def _class(request: Request | None, classes: Sequence[GpuClass], attempt: int) -> GpuClass | None:
    if not classes or (request is not None and request.device == "cpu"):
        return None
    names = [each.name for each in classes]
    # Without a forecast, and for a class that is no longer there, the one with most memory.
    known = request is not None and request.gpu_class in names
    first = names.index(request.gpu_class) if request is not None and known else len(names) - 1
    return classes[min(first + attempt - 1, len(names) - 1)]


def _limit(chosen: GpuClass | None, limit_mb: int | None) -> int | None:
    if chosen is None or not chosen.shared:
        return limit_mb if chosen else None
    return min((limit for limit in (limit_mb, chosen.usable_mb) if limit is not None), default=None)


def requested(classes: Sequence[GpuClass]) -> tuple[dict[str, int | str], list[str]]:
    """Return what the scheduler is asked for alike for all `classes`, and the names of what it is asked for by some."""
    asked = [each.resources() for each in classes]
    values = {name: {each[name] for each in asked} for name in (asked[0] if asked else {})}
    alike = {name: value for name, (value, *others) in values.items() if not others and value is not None}
    return alike, sorted(name for name, found in values.items() if len(found) > 1)


def in_words(asked: Mapping[str, int | str | None], knobs: Mapping[str, int | str] | None = None) -> str:
    """Return what the plan says of a job (`PLANNED`), and `knobs` of its own, as one text.

    As ``gpu_class=a100; chunk=8; rung=0``; a knob stands for what the plan does not say. Snakemake calls a function for
    each resource of each job, which takes longer than all of a job's share of planning; so what no scheduler needs is
    one resource.
    """
    told = {**dict.fromkeys(PLANNED), **(knobs or {})}
    told |= {name: asked[name] for name in PLANNED if asked.get(name) is not None}
    return "; ".join(f"{name}={value}" for name, value in told.items() if value is not None)


def from_words(text: str) -> dict[str, int | str]:
    """Return what `in_words` put into a text; numbers as such."""
    pairs = (part.partition("=") for part in text.split("; ") if part)
    return {name: value if name in TEXTS else int(value) for name, _, value in pairs}


def table(rows: Sequence[Mapping[str, Any]], columns: Sequence[str]) -> str:
    """Return `rows` as text in columns, for a terminal."""
    cells = [list(columns), *([str(row.get(name, "")) for name in columns] for row in rows)]
    widths = [max(len(line[at]) for line in cells) for at in range(len(columns))]
    return "\n".join("  ".join(map(str.ljust, line, widths)).rstrip() for line in cells)
