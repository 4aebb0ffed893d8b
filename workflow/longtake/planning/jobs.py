"""The plan of jobs: for every window the way it will be run, the GPU it will ask for, its memory and its time.

And the same question asked of one machine: what fits on it, and why.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from longtake.media.windows import Window, read_windows
from longtake.memory.budget import FREE_NOW, MIB, host_budget
from longtake.memory.devices import installed_gpus
from longtake.planning import check
from longtake.planning.choice import Choice, Terms, choose, minutes
from longtake.planning.classes import OWN, GpuClass
from longtake.planning.forecast import Forecast, read_forecasts
from longtake.planning.history import read_history
from longtake.planning.request import COLUMNS, CPU, Request, table
from longtake.store.atomic import write_tsv

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Step:
    """A step that the plan is for: its rules, and what of it each video has."""

    rules: Sequence[str]
    videos: Sequence[str]
    objects: Mapping[str, int]


def plan_jobs(
    windows: str | Path,
    forecasts: Sequence[str | Path],
    *,
    steps: Mapping[str, Step],
    classes: Sequence[GpuClass],
    terms: Terms,
    runs: Sequence[str | Path],
    here: bool,
    frame_interval: int,
    out: str | Path,
) -> dict[str, Any]:
    """Write the table of all jobs of models (`longtake.planning.request.COLUMNS`); return how many of each class.

    Memory: the table of windows, and the forecasts.

    Parameters
    ----------
    windows
        The plan's table of windows.
    forecasts
        Tables of forecasts; a video that is in none asks for what jobs asked for before there were forecasts.
    steps
        By name, as the forecasts have it.
    runs
        Output folders of runs whose measurements count.
    here
        Whether the jobs will run on this machine, whose memory then limits them.
    """
    offers: dict[tuple[str, str], list[Forecast]] = {}
    for path in forecasts:
        for each in read_forecasts(path):
            offers.setdefault((each.step, each.video), []).append(each)
    cut = read_windows(windows)
    history = read_history(runs, [rule for step in steps.values() for rule in step.rules])
    counts: dict[str, int] = {}
    if here:
        terms = replace(terms, host_limit_mb=machine_mb())
        classes = [with_own_memory(each) for each in classes]

    def rows() -> Iterator[dict[str, Any]]:
        for name, step in steps.items():
            for video in step.videos:
                choice = choose(offers.get((name, video), []), classes, terms, history)
                for rule in step.rules:
                    for window in cut[video]:
                        request = _request(rule, window, choice, step.objects.get(video), frame_interval)
                        where = request.gpu_class or CPU
                        counts[where] = counts.get(where, 0) + 1
                        yield asdict(request)

    write_tsv(out, COLUMNS, rows())
    log.info("jobs by class: %s", counts)
    return {"jobs": counts, "forecasts": sum(map(len, offers.values())), "measured_keys": len(history)}


def machine_mb() -> int:
    """Return the MiB of host memory that jobs may share on this machine, whatever is in use just now."""
    return min(limit.nbytes for limit in host_budget().limits if limit.source != FREE_NOW) // MIB


def with_own_memory(gpu_class: GpuClass) -> GpuClass:
    """Return the class of this machine's own GPU with the memory that its driver tells, and any other as it is."""
    devices = installed_gpus() if gpu_class == OWN else []
    return replace(gpu_class, memory_gb=devices[0].total_mb / 1024) if devices else gpu_class


def check_memory(
    forecasts: Sequence[str | Path],
    *,
    classes: Sequence[GpuClass],
    terms: Terms,
    gpus: bool,
    rules: Sequence[str],
    runs: Sequence[str | Path],
    out: str | Path,
) -> str:
    """Write what fits on this machine and the cluster's classes (`longtake.planning.check.COLUMNS`); return it as text.

    Parameters
    ----------
    gpus
        Whether a GPU may be used.
    rules, runs
        Whose measurements count: jobs of these rules, in runs with these output folders.
    """
    offers = [each for path in forecasts for each in read_forecasts(path)]
    budget, devices = host_budget(), installed_gpus() if gpus else []
    named = [each for each in classes if each != OWN]
    where = check.places(budget, devices, named, terms, gpus=gpus)
    history = read_history(runs, rules)
    rows = list(check.check(offers, where, terms.margin, history))
    write_tsv(out, check.COLUMNS, rows)
    heads = [
        budget.describe(),
        *(f"GPU memory: {each.name}, {each.free_mb} of {each.total_mb} MiB free" for each in devices),
    ]
    if not devices:
        heads.append(f"GPU memory: none ({terms.no_gpu if not gpus else 'nvidia-smi finds no GPU here'})")
    return "\n".join([*heads, "", table(rows, check.SHOWN), ""])


def _request(rule: str, window: Window, choice: Choice, objects: int | None, frame_interval: int) -> Request:
    frames = len(window.frames(frame_interval))
    bare = Request(
        rule=rule,
        video=window.video,
        window=window.window,
        frames=frames,
        objects=objects,
        device="cuda" if choice.gpu_class else "cpu",
        gpu_class=choice.gpu_class.name if choice.gpu_class else "",
        chunk=None,
        way="",
        gpu_mb=None,
        host_mb=None,
        measured_gpu_mb=None,
        measured_host_mb=None,
        mem_mb=choice.mem_mb,
        runtime=minutes(choice, frames),
        key="",
        source="",
        why=choice.why,
    )
    if choice.need is None:
        return bare
    forecast = choice.need.forecast
    return replace(
        bare,
        chunk=forecast.chunk,
        way=forecast.way,
        gpu_mb=forecast.gpu_mb or None,
        host_mb=forecast.host_mb,
        measured_gpu_mb=choice.need.measured_gpu_mb,
        measured_host_mb=choice.need.measured_host_mb,
        key=forecast.key,
        source=forecast.source,
    )
