"""What a job will need of memory, said before it runs: by owner, for each way it could be run.

The steps that use a model write these tables (`longtake.annotate.forecast`, `longtake.gradients.forecast`), the plan
reads them, and the job's record holds what was forecast beside what was measured. Standard library only: the Snakefile
reads what the plan made of it in every job.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from functools import cache
from importlib.metadata import version
from pathlib import Path
from typing import Any

from longtake.cells import read_cells
from longtake.errors import SchemaError
from longtake.memory.budget import MIB

SIMULATED, CALIBRATED = "simulated", "calibrated"
FOUND = 16
"""Objects that are seen at a time where nobody counted them; measured peaks of jobs correct it."""
DECODER_PICTURES = 8
"""Pictures that a decoder holds: those others refer to, and those that wait for their turn."""
COLUMNS = "step video device chunk way host_mb gpu_mb seconds_per_frame source key host gpu".split()


@dataclass(frozen=True)
class Forecast:
    """The peak of one job, run in one way.

    Attributes
    ----------
    step : ``annotate`` or ``gradients``
    video : the video whose windows it is for
    device : ``cpu`` or ``cuda``
    chunk : objects (annotate) or frames (gradients) computed at a time
    way : in words, for people
    host, gpu : bytes at the peak by owner (`longtake.memory.owners.OWNERS`); `gpu` is empty on the CPU
    seconds_per_frame : expected, of this machine's processor; None where nobody timed it
    source : ``simulated``, ``calibrated`` (corrected by runs on this machine), or ``measured`` (by earlier jobs)
    key : digest of everything that the peak depends on, by which measured peaks are found again (`key_of`)
    """

    step: str
    video: str
    device: str
    chunk: int
    way: str
    host: Mapping[str, int]
    gpu: Mapping[str, int] = field(default_factory=dict)
    seconds_per_frame: float | None = None
    source: str = "simulated"
    key: str = ""

    @property
    def host_mb(self) -> int:
        """MiB of host memory, rounded up."""
        return -(-sum(self.host.values()) // MIB)

    @property
    def gpu_mb(self) -> int:
        """MiB of GPU memory, rounded up."""
        return -(-sum(self.gpu.values()) // MIB)

    def row(self) -> dict[str, Any]:
        """Return the forecast as a row of a table with `COLUMNS`."""
        plain = {name: getattr(self, name) for name in COLUMNS}
        seconds = "" if self.seconds_per_frame is None else f"{self.seconds_per_frame:.4g}"
        return plain | {"seconds_per_frame": seconds, "host": json.dumps(self.host), "gpu": json.dumps(self.gpu)}


def key_of(**facts: Any) -> str:
    """Return a short digest of `facts`: the step, the model's digest, shapes, objects, chunk, precision, device.

    Versions of the libraries are added; times and paths do not belong to them.
    """
    text = json.dumps({**facts, "libraries": _libraries()}, sort_keys=True, default=str)
    return hashlib.sha256(text.encode()).hexdigest()[:16]


# Looking a version up reads a file, and thousands of videos have a row each.
@cache
def _libraries() -> dict[str, str]:
    return {name: version(name) for name in ("torch", "transformers", "numpy", "av")}


def read_forecasts(path: str | Path) -> list[Forecast]:
    """Read a table of forecasts.

    Raises
    ------
    SchemaError
        The table has other columns than `COLUMNS`, or a row that is none.
    """
    with Path(path).open(newline="", encoding="utf-8") as file:
        columns = file.readline().rstrip("\n").split("\t")
        if columns != COLUMNS:
            raise SchemaError(f"{path} is no table of forecasts: its columns are {columns}. Delete it.")
        file.seek(0)
        return list(_parsed(read_cells(file), path))


def _parsed(rows: Iterable[dict[str, str]], path: str | Path) -> Iterator[Forecast]:
    for number, row in enumerate(rows, start=2):
        try:
            yield Forecast(
                step=row["step"],
                video=row["video"],
                device=row["device"],
                chunk=int(row["chunk"]),
                way=row["way"],
                host=json.loads(row["host"]),
                gpu=json.loads(row["gpu"]),
                seconds_per_frame=float(row["seconds_per_frame"]) if row["seconds_per_frame"] else None,
                source=row["source"],
                key=row["key"],
            )
        except (TypeError, ValueError) as error:
            raise SchemaError(f"{path}, line {number} is no forecast ({error}). Delete the file.") from error
