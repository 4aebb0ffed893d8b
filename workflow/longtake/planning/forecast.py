"""What a job will need of memory, said before it runs: by owner, for each way it could be run.

Each analysis that uses a model has such a table (``plan/{analysis}.forecast.tsv``), the plan reads them, and the job's
record holds what was forecast beside what was measured.
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
COLUMNS = "analysis case device chunk way load host_mb gpu_mb pace source key host gpu".split()


@dataclass(frozen=True)
class Forecast:
    """The peak of one job, run in one way.

    Attributes
    ----------
    analysis : whose jobs it is for
    case : of which units (`longtake.unit.Unit.forecast`): by default those of one subject
    device : ``cpu`` or ``cuda``
    chunk : how much is computed at a time: objects, frames, slabs
    way : in words, for people
    load : what is held at a time, by name, as far as it is not said of each unit (`longtake.unit.Unit.load`)
    host, gpu : bytes at the peak by owner (`longtake.memory.owners.OWNERS`); `gpu` is empty on the CPU
    pace : seconds expected for each of a unit's work (a frame, a clip) of this machine's processor; None where nobody
        timed it
    source : ``simulated``, ``calibrated`` (corrected by runs on this machine), or ``measured`` (by earlier jobs)
    key : digest of everything that the peak depends on, by which measured peaks are found again (`key_of`)
    """

    analysis: str
    case: str
    device: str
    chunk: int
    way: str
    host: Mapping[str, int]
    gpu: Mapping[str, int] = field(default_factory=dict)
    load: Mapping[str, int] = field(default_factory=dict)
    pace: float | None = None
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
        seconds = "" if self.pace is None else f"{self.pace:.4g}"
        return plain | {"pace": seconds, **{name: json.dumps(dict(plain[name])) for name in ("load", "host", "gpu")}}


def key_of(**facts: Any) -> str:
    """Return a short digest of `facts`: the analysis, the model's digest, shapes, objects, chunk, precision, device.

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
                analysis=row["analysis"],
                case=row["case"],
                device=row["device"],
                chunk=int(row["chunk"]),
                way=row["way"],
                load=json.loads(row["load"]),
                host=json.loads(row["host"]),
                gpu=json.loads(row["gpu"]),
                pace=float(row["pace"]) if row["pace"] else None,
                source=row["source"],
                key=row["key"],
            )
        except (TypeError, ValueError) as error:
            raise SchemaError(f"{path}, line {number} is no forecast ({error}). Delete the file.") from error
