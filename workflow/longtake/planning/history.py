"""What earlier jobs used, by the key of their forecast: it says more of the next such job than any forecast.

Read from the records that jobs leave (``logs/{rule}/{unit}.json``), of this run and of any other. All units of a case
have one key, whatever there is to do in them: a window in which nothing is tracked yet says little of the next.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from functools import reduce
from pathlib import Path
from typing import Any

from longtake.planning.request import CPU
from longtake.status import Status
from longtake.store.records import number_of, scan_records
from longtake.supervise.child import GPU_ALLOCATOR
from longtake.supervise.ladder import AS_ASKED, OUT_OF_MEMORY, on_the_cpu

_ON_THE_CPU = on_the_cpu({"device": "cuda"})[0].name
_ENDED, _SPENT = "SIGTERM", 0.8
"""By which schedulers end a job; and the share of its time after which it was for that, and nobody cancelled it."""


Load = frozenset[tuple[str, int]] | None
"""What a job held at a time, by name; None where there was next to nothing to do, or it does not say what it did."""


@dataclass(frozen=True)
class Timed:
    """How many jobs finished, and how long the slowest of them took.

    `slowest`: seconds for each piece of work that was done, and before it whether there was enough of it: a few pieces
    say little, and count where there are no others. `share`: at most so many pieces were done for each of the work that
    was planned (`longtake.unit.Done`).
    """

    jobs: int = 0
    slowest: tuple[bool, float] = (False, 0.0)
    share: float = 0.0

    @property
    def pace(self) -> float | None:
        """Seconds for each of a unit's work, with as much to do as in the fullest; None where nobody knows."""
        return self.slowest[1] * self.share or None

    def and_also(self, other: Timed) -> Timed:
        """Return what holds of these jobs and others."""
        return Timed(self.jobs + other.jobs, max(self.slowest, other.slowest), max(self.share, other.share))


@dataclass(frozen=True)
class Measured:
    """What earlier jobs of one key used at most.

    Attributes
    ----------
    finished : those that did, by their load
    host_mb : peak resident MiB of the process that computed; 0 without one that finished
    gpu_mb : peak MiB that PyTorch reserved of the GPU, the driver's context not included; as `host_mb`
    short_host_mb, short_gpu_mb : peak MiB with which such a job ran out of memory; 0 if none did
    short_minutes : most that such a job was given and did not end within; 0 if all did
    """

    finished: Mapping[Load, Timed] = field(default_factory=dict)
    host_mb: float = 0.0
    gpu_mb: float = 0.0
    short_host_mb: float = 0.0
    short_gpu_mb: float = 0.0
    short_minutes: float = 0.0

    def with_at_least(self, load: Mapping[str, int]) -> Timed:
        """Return how many had such a load, as much or more of each name, and how long they took."""
        alike = (it for had, it in self.finished.items() if had is not None and _as_large(dict(had), load))
        return reduce(Timed.and_also, alike, Timed())

    @property
    def jobs(self) -> int:
        """How many finished, whatever they had to do."""
        return sum(it.jobs for it in self.finished.values())


def _as_large(had: Mapping[str, int], load: Mapping[str, int]) -> bool:
    return all(had.get(name, 0) >= number for name, number in load.items())


def read_history(results: Iterable[str | Path], rules: Iterable[str]) -> dict[str, Measured]:
    """Gather what the jobs of `rules` used in the runs whose output folders are `results`, by key.

    A record that is torn, of another version, or of a job whose forecast nobody made says nothing. Memory: one record,
    the names of one folder's, and what is returned.
    """
    found: dict[str, Measured] = {}
    folders = list(map(Path, results))
    for rule in rules:
        for folder in folders:
            for record in scan_records(folder / "logs" / rule):
                if key := _key(record):
                    known = found.get(key, Measured())
                    for attempt in _attempts(record, AS_ASKED.name):
                        known = _with(known, attempt, record)
                    minutes = max(known.short_minutes, _short_minutes(record))
                    known = replace(known, short_minutes=minutes)
                    if known != Measured():
                        found[key] = known
    return found


def _key(record: Mapping[str, Any]) -> str:
    """The key of a job's forecast; empty where there is none, or it ran on another device than was planned.

    Another device, another need: a GPU was planned that was not there, or one was found that nobody had planned.
    """
    asked = _part(record, "asked")
    key, device = asked.get("forecast"), _device(record)
    planned = "cpu" if asked.get("gpu_class", CPU) == CPU else "cuda"
    return key if isinstance(key, str) and device in ("", planned) else ""


def _device(record: Mapping[str, Any]) -> str:
    """The device on which a job began; empty where its record does not tell."""
    # The facts are those of the last way that was tried, and only from a GPU does a ladder lead to the CPU.
    if any(_attempts(record, _ON_THE_CPU)):
        return "cuda"
    return str(_part(record, "facts").get("device") or "").partition(":")[0]


def _attempts(record: Mapping[str, Any], rung: str) -> Iterator[Mapping[str, Any]]:
    attempts = record.get("attempts")
    for attempt in attempts if isinstance(attempts, list) else []:
        if isinstance(attempt, dict) and attempt.get("rung") == rung:
            yield attempt


def _with(known: Measured, attempt: Mapping[str, Any], record: Mapping[str, Any]) -> Measured:
    host, gpu = number_of(attempt.get("rss_mb")), number_of(attempt.get("gpu_reserved_mb"))
    if attempt.get("status") == OUT_OF_MEMORY:
        if attempt.get("reason") == GPU_ALLOCATOR:
            return replace(known, short_gpu_mb=max(known.short_gpu_mb, gpu))
        return replace(known, short_host_mb=max(known.short_host_mb, host))
    if attempt.get("status") != Status.OK:
        return known
    load, timed = _done(record, number_of(attempt.get("wall_s")))
    return replace(
        known,
        finished={**known.finished, load: known.finished.get(load, Timed()).and_also(timed)},
        host_mb=max(known.host_mb, host),
        gpu_mb=max(known.gpu_mb, gpu),
    )


def _done(record: Mapping[str, Any], wall_s: float) -> tuple[Load, Timed]:
    """What a job that finished had to do, and how long that took; of its `wall_s` where it does not say."""
    done, planned = _part(record, "done"), number_of(_part(record, "asked").get("work"))
    work, load = number_of(done.get("work")), _part(done, "load")
    if not work or not all(isinstance(number, int) for number in load.values()):
        return None, Timed(1)
    seconds = number_of(done.get("seconds")) or wall_s
    share = 1.0 if done.get("alike", True) else (work / planned if planned else 0.0)
    return frozenset(load.items()), Timed(1, (bool(done.get("settled", True)), seconds / work), share)


def _short_minutes(record: Mapping[str, Any]) -> float:
    """Minutes that a job was given which the scheduler ended for it; 0 if it ended in another way."""
    given = number_of(_part(record, "asked").get("runtime"))
    spent = number_of(record.get("wall_s")) >= _SPENT * 60 * given
    return given if spent and record.get("status") == Status.FAILED and _ENDED in str(record.get("reason")) else 0.0


def _part(record: Mapping[str, Any], name: str) -> Mapping[str, Any]:
    part = record.get(name)
    return part if isinstance(part, dict) else {}
