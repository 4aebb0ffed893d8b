"""What a job will need of memory, said before it runs: by owner, for each way it could be run.

Each analysis that uses a model has such a table (``plan/{analysis}.forecast.tsv``), the plan reads them, and the job's
record holds what was forecast beside what was measured.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cache
from importlib.metadata import version
from pathlib import Path
from typing import Any

from longtake.memory.budget import MIB
from longtake.store.tsv import read_records

SIMULATED, CALIBRATED = "simulated", "calibrated"
FOUND = 16
"""Objects that are seen at a time where nobody counted them; measured peaks of jobs correct it."""
DECODER_PICTURES = 8
"""Pictures that a decoder holds: those others refer to, and those that wait for their turn."""


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
        The table is another, or has a row that is none.
    """
    return list(read_records(path, Forecast))
