"""One job's videos: measured one after the other, each kept on disk as soon as it is done.

What was measured of a video lies in a work folder under a digest of what it depends on: its files' sizes and times, the
choices and the code. So a job that was killed goes on with the next video, and a job with one video more measures that.
"""

from __future__ import annotations

import hashlib
import json
import logging
import math
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import psutil

from longtake.errors import LatentError
from longtake.latents import tables
from longtake.latents.bounds import held_by, read_ahead_within
from longtake.latents.index import stored
from longtake.latents.metrics.complexity import ZLIB
from longtake.latents.metrics.latent import Choices
from longtake.latents.metrics.measure import Measured, measure
from longtake.latents.metrics.plane import ring_frequencies
from longtake.latents.names import metrics
from longtake.latents.options import Options
from longtake.latents.readers import ahead
from longtake.latents.trajectories import follow
from longtake.store.atomic import write_text
from longtake.store.tables import read_table, write_table
from longtake.unit import Done

log = logging.getLogger(__name__)
PARTS = ("metrics", "channels", "spectra", "trajectories", "trajectory_steps")
Rows = dict[str, list[dict[str, Any]]]


def choices_of(options: Options) -> Choices:
    """What of the settings changes the numbers of a latent."""
    named = {name: getattr(options, name) for name in ("edge_threshold", "bins", "span", "scale")}
    return Choices(patch_sizes=tuple(options.patch_sizes), **named)


def measure_shard(
    index: Path | str,
    kept_in: Path | str,
    out: Mapping[str, str],
    *,
    options: Options | Mapping[str, Any],
    code: str,
    device: str = "cpu",
    memory_mb: int = 0,
    progress: Callable[[int, int], None] | None = None,
) -> dict[str, Any]:
    """Measure the videos of an index and write their tables; return what was done, as JSON values.

    Memory: one latent a dozen times, those read ahead, and the rows of the job.

    Parameters
    ----------
    index
        Table of ``INDEX``.
    kept_in
        Folder in which each video's rows are kept; it may be that of other jobs, too.
    out
        Paths by name: ``videos`` and each of `PARTS`.
    code
        Digest of the code: rows that another one made are made again.
    memory_mb
        MiB that this process may take, 0 for as many as it needs; fewer latents are then read ahead.

    Raises
    ------
    BudgetError
        It would take more all the same.
    """
    options = options if isinstance(options, Options) else Options(**options)
    videos = read_table(index, tables.INDEX).to_pylist()
    base = psutil.Process().memory_info().rss
    within = read_ahead_within(held_by(videos), options.read_ahead, memory_mb, base)
    options = options.model_copy(update={"read_ahead": within})
    began, found = time.monotonic(), []
    counts = {"measured": 0, "kept": 0, "failed": 0}
    total = sum(len(video["held"]) for video in videos)
    for video in videos:
        rows = _of_video(video, Path(kept_in), options, counts, code=code, device=device)
        found.append(rows)
        if progress is not None:
            progress(counts["measured"] + counts["kept"], total)
    names = metrics(options.families, options.patch_sizes)
    schemas = dict(zip(PARTS, (tables.metrics_table(names), tables.CHANNELS, tables.SPECTRA, tables.TRAJECTORIES,
                               tables.TRAJECTORY_STEPS), strict=True))  # fmt: skip
    for part, schema in schemas.items():
        write_table(out[part], (rows[part] for rows in found if rows[part]), schema)
    shown = [name for name in tables.VIDEOS.names if name != "compared"]
    write_table(
        out["videos"],
        [{name: video[name] for name in shown} | {"compared": video["status"] == "ok"} for video in videos],
        tables.VIDEOS,
        {"zlib": ZLIB},
    )
    seconds = time.monotonic() - began
    elements = max((math.prod(video["shape"]) for video in videos if video["status"] == "ok"), default=0)
    done = Done(work=counts["measured"], seconds=seconds, load={"elements": elements})
    return {
        "done": asdict(done), "latents": total, "read_ahead": within,
        "latents_measured": counts["measured"], "latents_kept": counts["kept"],
        "ok": sum(video["status"] == "ok" for video in videos), "failed": counts["failed"],
    }  # fmt: skip


def _of_video(
    video: dict[str, Any], work: Path, options: Options, counts: dict[str, int], *, code: str, device: str
) -> Rows:
    """The rows of a video, kept or made; a video that cannot be measured has none, and its row says why."""
    if video["status"] != "ok":
        counts["failed"] += 1
        return {part: [] for part in PARTS}
    path = work / video["group"] / f"{video['video'].partition('/')[2]}.json"
    key = _key(video, options, code)
    kept = _read(path, key)
    if kept is not None:
        counts["kept"] += len(video["held"])
        return kept
    try:
        rows = _measured(video, work, options, device)
    except LatentError as error:
        log.warning("%s is left out: %s", video["video"], error)
        video |= {"status": "failed", "reason": str(error)}
        counts["failed"] += 1
        return {part: [] for part in PARTS}
    counts["measured"] += len(video["held"])
    write_text(path, json.dumps({"key": key, "rows": rows}, allow_nan=False))
    return rows


def _key(video: Mapping[str, Any], options: Options, code: str) -> str:
    about = [video["video"], video["seed"], video["held"], asdict(choices_of(options)), list(options.families), code]
    return hashlib.sha256(json.dumps(about, sort_keys=True).encode()).hexdigest()


def _read(path: Path, key: str) -> Rows | None:
    try:
        held = json.loads(path.read_text(encoding="utf-8"))
        return held["rows"] if held["key"] == key else None
    except FileNotFoundError:
        return None
    except (OSError, ValueError, KeyError, TypeError) as error:
        log.warning("%s is looked over, and made again: %r", path, error)
        return None


def _measured(video: Mapping[str, Any], work: Path, options: Options, device: str) -> Rows:
    latents, held, choices = stored(video), video["held"], choices_of(options)
    rows: Rows = {part: [] for part in PARTS}
    steps, sigmas = [file["step"] for file in held], [file["sigma"] for file in held]
    for file, values in zip(held, ahead(latents, options.read_ahead), strict=True):
        if isinstance(values, LatentError):
            raise values
        name = f"{video['folder']}/{file['name']}"
        _add(rows, video, file, measure(values, choices, families=options.families, device=device, name=name))
    scratch = work / video["group"] / f"{video['video'].partition('/')[2]}.scratch"
    way = follow(latents, steps, sigmas, scratch, device=device)
    if scratch.is_dir():
        scratch.rmdir()
    unit = {name: video[name] for name in ("video", "group", "seed")}
    gaps = set(np.diff(steps).tolist())
    rows["trajectories"] = [
        {**unit, "n_steps": len(steps), "first_step": steps[0], "last_step": steps[-1],
         "step_gap": gaps.pop() if len(gaps) == 1 else None, **way.scalars}
    ]  # fmt: skip
    rows["trajectory_steps"] = [
        {**unit, "step": step, **{name: _plain(values[n]) for name, values in way.curves.items()}}
        for n, step in enumerate(steps)
    ]
    return rows


def _add(rows: Rows, video: Mapping[str, Any], file: Mapping[str, Any], found: Measured) -> None:
    unit = {"video": video["video"], "group": video["group"], "seed": video["seed"], "step": file["step"]}
    about = {"timestep": file["timestep"], "sigma": file["sigma"], "n_undefined": found.n_undefined}
    rows["metrics"].append({**unit, **about, **found.metrics})
    single = ("mean", "variance", "energy_share")
    for channel, correlation in enumerate(found.channels["correlation"]):
        of_channel = {name: _plain(found.channels[name][channel]) for name in single}
        rows["channels"].append(
            {**unit, "channel": channel, **of_channel, "correlation": list(map(_plain, correlation))}
        )
    radial, temporal = found.spectra["radial"], found.spectra["temporal"]
    frames = video["shape"][1]
    for kind, frequencies, power in (
        ("radial", ring_frequencies(len(radial)), radial),
        ("temporal", np.arange(len(temporal)) / frames, temporal),
    ):
        pairs: Iterable[Sequence[float]] = zip(frequencies.tolist(), power, strict=True)
        rows["spectra"] += [{**unit, "kind": kind, "frequency": f, "power": _plain(p)} for f, p in pairs]


def _plain(value: Any) -> float | None:
    number = float(value)
    return number if math.isfinite(number) else None
