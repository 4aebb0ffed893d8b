"""Which way of running a job, on which kind of GPU, with how much memory: the smallest that its forecast fits into."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from longtake.planning.classes import GpuClass
from longtake.planning.forecast import MIB, Forecast
from longtake.planning.history import Measured
from longtake.planning.request import UNKNOWN_MB, UNKNOWN_MINUTES

OVERHEAD_MB = 900
"""Host MiB beside the process that computes: the Snakemake that started it (205, and more with many videos), and the
one that watches it (450, nearly all of it shared with the first, which some schedulers count twice)."""
MEASURED_MARGIN = 1.05
"""Jobs of one key were alike to the byte in what they computed, and differed by this much in what they took."""
START_MINUTES, SLOWER = 10, 3
"""Minutes until a job computes, and how much slower than expected a node may be before its job is ended."""
LONGER = 2
"""How many times the time within which an earlier job did not end is asked for."""


@dataclass(frozen=True)
class Terms:
    """What is to be kept to.

    Attributes
    ----------
    margin : factor on a forecast
    gpu_limit_mb : MiB that the user allows of a GPU; None for all of it
    host_limit_mb : MiB of this machine, where jobs run on it; None on a cluster, whose nodes nobody described
    no_gpu : why no GPU may be used, where none may
    """

    margin: float
    gpu_limit_mb: int | None = None
    host_limit_mb: int | None = None
    no_gpu: str = "there is no GPU"


@dataclass(frozen=True)
class Need:
    """What one way of running takes, margin included, in MiB; and what earlier such jobs used (`jobs` 0: none did).

    `lighter` earlier jobs had less to do than is forecast; they are among those measured, but not among `jobs`.
    `measured_gpu_mb` counts the driver's context, as the forecast does. No job gets less than `least_minutes`;
    `short_minutes` are those within which an earlier one did not end.
    """

    forecast: Forecast
    host_mb: int
    gpu_mb: int
    jobs: int = 0
    lighter: int = 0
    measured_host_mb: int | None = None
    measured_gpu_mb: int | None = None
    pace: float | None = None
    least_minutes: int = 0
    short_minutes: int = 0


@dataclass(frozen=True)
class Choice:
    """How a job is to be run, on which class (None: on the CPU), and why, in words; `need` None without a forecast."""

    need: Need | None
    gpu_class: GpuClass | None
    mem_mb: int
    why: str


def need(
    forecast: Forecast,
    margin: float,
    history: Mapping[str, Measured],
    load: Mapping[str, int] | None = None,
    *,
    steady: bool = True,
) -> Need:
    """Return what to ask for: what was measured of such jobs, a little more; else the forecast times `margin`.

    Jobs that had less to do can only raise what is asked. In any case it is more than such a job once ran out of memory
    with, or did not end within.

    Parameters
    ----------
    load
        Of the job itself, by name; what it leaves out is as the forecast has it.
    steady
        Whether the time that earlier jobs took replaces the expected one, or can only raise it.
    """
    known = history.get(forecast.key, Measured()) if forecast.key else Measured()
    alike = known.with_at_least({**forecast.load, **(load or {})})
    host, gpu = forecast.host_mb * margin, forecast.gpu_mb * margin
    measured_host = measured_gpu = None
    if known.jobs:
        measured_host = math.ceil(known.host_mb)
        host = max(known.host_mb * MEASURED_MARGIN, 0 if alike.jobs else host)
    if known.gpu_mb and forecast.gpu:
        measured_gpu = math.ceil(known.gpu_mb + _context_mb(forecast))
        gpu = max((known.gpu_mb + _context_mb(forecast)) * MEASURED_MARGIN, 0 if alike.jobs else gpu)
    if known.short_gpu_mb:
        gpu = max(gpu, (known.short_gpu_mb + _context_mb(forecast)) * margin)
    pace, least = _pace(forecast, alike.pace, steady)
    return Need(
        forecast,
        math.ceil(max(host, known.short_host_mb * margin)),
        math.ceil(gpu),
        alike.jobs,
        known.jobs - alike.jobs,
        measured_host,
        measured_gpu,
        pace,
        max(least, math.ceil(LONGER * known.short_minutes)),
        math.ceil(known.short_minutes),
    )


def _pace(forecast: Forecast, timed: float | None, steady: bool) -> tuple[float | None, int]:
    """Seconds for each of a job's work, None where nobody knows; and minutes that a job gets at least.

    What was `timed` replaces the forecast where jobs are `steady`. Else it can only raise what is asked: there may have
    been little to do so far.
    """
    expected = forecast.pace
    if timed is None:
        return expected, 0
    if steady:
        return timed, 0
    return max(timed, expected or 0.0), 0 if expected else UNKNOWN_MINUTES


def _context_mb(forecast: Forecast) -> float:
    return forecast.gpu.get("context", 0) / MIB


def choose(
    forecasts: Sequence[Forecast],
    classes: Sequence[GpuClass],
    terms: Terms,
    history: Mapping[str, Measured],
    load: Mapping[str, int] | None = None,
    *,
    steady: bool = True,
) -> Choice:
    """Choose a way and a class for a job.

    Parameters
    ----------
    forecasts
        The ways that the job can be run, of each device the wanted one first and then what needs less and less.
    classes
        GPUs that may be asked for, smallest first.
    load, steady
        As of `need`.

    Returns
    -------
    Choice
        The wanted way on the smallest class that holds it; else the first way that any class holds; else the last way
        on the largest class, where the job steps down by itself. On the CPU the first way that the machine holds.
    """
    device = "cuda" if classes else "cpu"
    needs = [need(each, terms.margin, history, load, steady=steady) for each in forecasts if each.device == device]
    if not needs:
        return Choice(None, classes[-1] if classes else None, UNKNOWN_MB, "there is no forecast for it")
    if not classes:
        return _on_the_cpu(needs, terms)
    for wanted in needs:
        for each in classes:
            room = usable_mb(each, terms)
            if room is None or wanted.gpu_mb <= room:
                return _chosen(wanted, each, _fits(wanted, needs[0], each, room, classes))
    least, largest = needs[-1], classes[-1]
    room = usable_mb(largest, terms)
    why = f"no class holds {least.gpu_mb} MiB, {largest.name} has {room}: the job will step down the ladder"
    return _chosen(least, largest, why)


def usable_mb(gpu_class: GpuClass, terms: Terms) -> int | None:
    """Return what a job may take of a class, in MiB; None where nobody knows."""
    limits = [limit for limit in (gpu_class.usable_mb, terms.gpu_limit_mb) if limit is not None]
    return min(limits, default=None)


def minutes(choice: Choice, work: int) -> int:
    """Return how long a job of so much work may take; what it asks for without a forecast, where nobody timed it."""
    if choice.need is None:
        return UNKNOWN_MINUTES
    pace, least = choice.need.pace, choice.need.least_minutes
    usual = UNKNOWN_MINUTES if pace is None else START_MINUTES + math.ceil(pace * work * SLOWER / 60)
    return max(usual, least)


def _on_the_cpu(needs: Sequence[Need], terms: Terms) -> Choice:
    limit = terms.host_limit_mb
    for wanted in needs:
        if limit is None or asked_mb(wanted) <= limit:
            smaller = (
                "" if wanted is needs[0] else f"; {needs[0].forecast.way} needs {asked_mb(needs[0])} of {limit} MiB"
            )
            return _chosen(wanted, None, f"{terms.no_gpu}{smaller}")
    least = needs[-1]
    why = f"{terms.no_gpu}, and this machine has {limit} of {asked_mb(least)} MiB: the job will step down the ladder"
    return _chosen(least, None, why)


def _fits(wanted: Need, first: Need, chosen: GpuClass, room: int | None, classes: Sequence[GpuClass]) -> str:
    if room is None:
        return f"{chosen.name}: its memory is not known, and the job steps down the ladder where it does not suffice"
    smallest = "the smallest class that holds" if len(classes) > 1 else "holds"
    why = f"{chosen.name}, {smallest} {wanted.gpu_mb} MiB ({room} usable)"
    return why if wanted is first else f"{why}; {first.forecast.way} needs {first.gpu_mb}"


def _chosen(wanted: Need, gpu_class: GpuClass | None, why: str) -> Choice:
    if wanted.jobs:
        why = f"{why}; as {wanted.jobs} earlier jobs used"
    elif wanted.lighter:
        why = f"{why}; {wanted.lighter} earlier jobs had less to do than is forecast"
    if wanted.short_minutes:
        why = f"{why}; one did not end within {wanted.short_minutes} min"
    return Choice(wanted, gpu_class, asked_mb(wanted), why)


def asked_mb(wanted: Need) -> int:
    """Return what is asked of the host, in MiB: what the computing process takes, and those beside it."""
    return -(-(wanted.host_mb + OVERHEAD_MB) // 100) * 100
