"""What earlier jobs used, by the key of their forecast: it says more of the next such job than any forecast.

Read from the records that jobs leave (``logs/{rule}/{unit}.json``), of this run and of any other.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from longtake.memory.child import GPU_ALLOCATOR
from longtake.memory.ladder import AS_ASKED, OUT_OF_MEMORY
from longtake.memory.request import CPU
from longtake.store.records import number_of, scan_records


@dataclass(frozen=True)
class Measured:
    """What earlier jobs of one key used at most.

    Attributes
    ----------
    jobs : how many finished
    host_mb : peak resident MiB of the process that computed; 0 without one that finished
    gpu_mb : peak MiB that PyTorch reserved of the GPU, the driver's context not included; as `host_mb`
    short_host_mb, short_gpu_mb : peak MiB with which such a job ran out of memory; 0 if none did
    seconds_per_frame : of the slowest; None where nobody knows
    """

    jobs: int = 0
    host_mb: float = 0.0
    gpu_mb: float = 0.0
    short_host_mb: float = 0.0
    short_gpu_mb: float = 0.0
    seconds_per_frame: float | None = None


def read_history(results: Iterable[str | Path], rules: Iterable[str]) -> dict[str, Measured]:
    """Gather what the jobs of `rules` used in the runs whose output folders are `results`, by key.

    A record that is torn, of another version, or of a job whose forecast nobody made says nothing. Memory: one record,
    and what is returned.
    """
    found: dict[str, Measured] = {}
    folders = list(map(Path, results))
    for rule in rules:
        for folder in folders:
            for record in scan_records(folder / "logs" / rule):
                for key, attempt in _attempts(record):
                    found[key] = _with(found.get(key, Measured()), attempt, record)
    return found


def _attempts(record: Mapping[str, Any]) -> Iterator[tuple[str, Mapping[str, Any]]]:
    """Yield the attempts that ran as forecast, each with the forecast's key."""
    asked: Any = record.get("asked")
    attempts = record.get("attempts")
    key = asked.get("forecast") if isinstance(asked, dict) else None
    if not isinstance(key, str) or not isinstance(attempts, list):
        return
    facts = record.get("facts")
    if isinstance(facts, dict) and facts.get("device") == "cpu" and asked.get("gpu_class", CPU) != CPU:
        return  # planned for a GPU that was not there: another device, another need
    for attempt in attempts:
        if isinstance(attempt, dict) and attempt.get("rung") == AS_ASKED.name:
            yield key, attempt


def _with(known: Measured, attempt: Mapping[str, Any], record: Mapping[str, Any]) -> Measured:
    host, gpu = number_of(attempt.get("rss_mb")), number_of(attempt.get("gpu_reserved_mb"))
    if attempt.get("status") == OUT_OF_MEMORY:
        if attempt.get("reason") == GPU_ALLOCATOR:
            return replace(known, short_gpu_mb=max(known.short_gpu_mb, gpu))
        return replace(known, short_host_mb=max(known.short_host_mb, host))
    if attempt.get("status") != "ok":
        return known
    frames, wall = number_of(record["asked"].get("frames")), number_of(attempt.get("wall_s"))
    pace = wall / frames if frames and wall else None
    slowest = max((each for each in (pace, known.seconds_per_frame) if each is not None), default=None)
    return replace(
        known,
        jobs=known.jobs + 1,
        host_mb=max(known.host_mb, host),
        gpu_mb=max(known.gpu_mb, gpu),
        seconds_per_frame=slowest,
    )
