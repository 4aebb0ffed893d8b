"""The plan of jobs: for every window the way it will be run, the GPU it will ask for, its memory and its time."""

from __future__ import annotations

import logging
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from longtake.memory.choice import Choice, Measured, Terms, choose, minutes
from longtake.memory.classes import GpuClass
from longtake.memory.forecast import Forecast, read_forecasts
from longtake.memory.request import COLUMNS, Request
from longtake.store.atomic import write_tsv
from longtake.windows import Window, read_windows

log = logging.getLogger(__name__)
# By step: the rule whose jobs are a step's, and the same backward.
RULES = {"annotate": ("annotate_window", "annotate_window_backward"), "gradients": ("gradients_window",)}


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
    history: Mapping[str, Measured],
    frame_interval: int,
    out: str | Path,
) -> dict[str, Any]:
    """Write the table of all jobs of models (`longtake.memory.request.COLUMNS`); return how many of each class.

    Memory: the table of windows, and the forecasts.

    Parameters
    ----------
    windows
        The plan's table of windows.
    forecasts
        Tables of forecasts; a video that is in none asks for what jobs asked for before there were forecasts.
    steps
        By name, as the forecasts have it.
    """
    offers: dict[tuple[str, str], list[Forecast]] = {}
    for path in forecasts:
        for each in read_forecasts(path):
            offers.setdefault((each.step, each.video), []).append(each)
    cut = read_windows(windows)
    counts: dict[str, int] = {}

    def rows() -> Iterator[dict[str, Any]]:
        for name, step in steps.items():
            for video in step.videos:
                choice = choose(offers.get((name, video), []), classes, terms, history)
                for rule in step.rules:
                    for window in cut[video]:
                        request = _request(rule, window, choice, step.objects.get(video), frame_interval)
                        where = request.gpu_class or "CPU"
                        counts[where] = counts.get(where, 0) + 1
                        yield asdict(request)

    write_tsv(out, COLUMNS, rows())
    log.info("jobs by class: %s", counts)
    return {"jobs": counts, "forecasts": sum(map(len, offers.values())), "measured_keys": len(history)}


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
