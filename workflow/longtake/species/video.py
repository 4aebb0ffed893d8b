"""Statistics of one video: each object, each visit, each species, each importance curve."""

from __future__ import annotations

import json
import logging
import math
from collections.abc import Collection, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from longtake.media.windows import Window
from longtake.species import tables
from longtake.species.perturbed import perturbation_means
from longtake.species.plan import Processed, processed
from longtake.species.temporal import clip_means, curve_means
from longtake.species.tracks import MEASURED, VISIT, Scene, Track, read_tracks
from longtake.statistics.spilled import mean, median
from longtake.status import ENDS, Status
from longtake.store.schemas import DETECTIONS, HOLES
from longtake.store.spill import ArraySpill
from longtake.store.tables import read_metadata, scan_batches
from longtake.verdicts import USUAL, Borders

logger = logging.getLogger(__name__)
MAXN_S = 10.0
"""Seconds of the stretches in each of which the most visible at once are counted."""
NOISE = math.sqrt(math.pi) / math.sqrt(12.0 * math.log(2.0))
"""Of places with a noise of s per axis, second differences have a median length of s sqrt(12 ln 2), and displacements
where nothing moves a mean of s sqrt(pi)."""
# Names of columns of DETECTIONS; the others are not read.
_READ = tuple(
    "video frame time_s object label x_min y_min x_max y_max mask height visible prompted window status".split()
)


def video_statistics(
    *,
    video: str,
    detections: Path,
    windows: Sequence[Window],
    frame_interval: int,
    out: Path,
    clips: Path | None = None,
    curves: Path | None = None,
    perturbations: Path | None = None,
    window_status: Mapping[int, str] | None = None,
    duration_s: float | None = None,
    borders: Borders = USUAL,
    surveyed: Collection[str] = (),
    visit_gap: int = 1,
    speed_step_s: float = 1.0,
) -> None:
    """Reduce one video's tables to the small ones that species statistics and figures read.

    Writes ``objects``, ``visits``, ``prompts``, ``species`` and ``curves`` to the folder `out`, each as
    Parquet and CSV. Memory: one batch of detections, what ``read_tracks`` keeps of each object and frame, and what
    ``curve_means`` keeps of each clip; nothing per detection.

    Parameters
    ----------
    windows
        The planned windows of `video`.
    frame_interval
        Source frames between processed ones.
    clips, curves, perturbations
        The gradient tables of this video; without them the gradient columns are empty.
    window_status
        Window -> ok, approximate, failed or missing; frames of windows that failed do not count as processed. Else the
        holes that the metadata of `detections` name are missing.
    duration_s
        How long the video lasts; no visit, dwell time or last sight passes it.
    borders
        Where the words of the verdicts begin.
    surveyed
        Species that were looked for throughout the video: those that are not in it have a zero there.
    visit_gap
        Processed frames on which an object may be missed within a visit.
    speed_step_s
        Seconds over which speed is measured, the same for all videos.
    """
    if window_status is None:
        holes = json.loads(read_metadata(detections).get(HOLES, "[]"))
        window_status = {number: Status.MISSING for number, *_ in holes}
    plan = processed(
        video, windows, frame_interval, window_status, duration_s, visit_gap=visit_gap, speed_step_s=speed_step_s
    )
    means = clip_means(clips) if clips else {}
    disturbed = perturbation_means(perturbations, clips, borders=borders) if perturbations and clips else {}
    for name, more in disturbed.items():
        means[name] = means.get(name, {}) | more
    shapes, series = curve_means(curves, clips, video) if curves and clips else ([], [])
    out.mkdir(parents=True, exist_ok=True)
    with ArraySpill(np.float32, out) as values, ArraySpill(VISIT, out) as visits:
        scene = read_tracks(scan_batches(detections, DETECTIONS, 8192, _READ), plan, values, visits)
        objects = [_object_row(scene, track) for track in _ordered(scene)]
        tables.write_tables(out / "visits.parquet", _visit_tables(scene), tables.VISITS)
    species = [
        _species_row(scene, name, objects, means.get(name, {}), surveyed) for name in _names(scene, {*means, *surveyed})
    ]
    tables.write_rows(out / "objects.parquet", objects, tables.OBJECTS)
    tables.write_rows(out / "prompts.parquet", _prompt_rows(scene), tables.PROMPTS)
    tables.write_rows(out / "species.parquet", species, tables.VIDEO_SPECIES)
    tables.write_rows(out / "curves.parquet", shapes, tables.VIDEO_CURVES)
    tables.write_rows(out / "series.parquet", series, tables.SERIES)
    logger.info("%s: %d objects of %d species on %d frames", video, len(objects), len(species), scene.n_frames)


def _ordered(scene: Scene) -> list[Track]:
    return sorted(scene.tracks.values(), key=lambda track: (track.species, track.object))


def _names(scene: Scene, others: Collection[str]) -> list[str]:
    return sorted({track.species for track in scene.tracks.values()} | set(others))


def _object_row(scene: Scene, track: Track) -> dict[str, Any]:
    def of(name: str) -> tuple[float | None, float | None]:
        return mean(scene.values, (track.object, name)), median(scene.values, (track.object, name))

    (area, area_median), (_, diagonal), (speed, speed_median), (body, body_median), (_, jerk) = (
        of(name) for name in MEASURED
    )
    plan = scene.processed
    return {
        "video": scene.processed.video,
        "object": track.object,
        "species": track.species,
        "n_frames": scene.n_frames,
        "n_visible": track.n_visible,
        "n_looked": track.n_looked,
        "looked_s": track.n_looked * plan.step_s,
        "presence": track.n_visible / track.n_looked if track.n_looked else 0.0,
        "first_s": track.first_s,
        "last_s": track.last_s,
        "dwell_s": track.dwell_s,
        "visit_s": track.dwell_s / track.n_visits if track.n_visits else None,
        "visit_max_s": track.longest_s,
        "n_visits": track.n_visits,
        "entries": track.entries,
        "exits": track.exits,
        "area_px": area,
        "area_median_px": area_median,
        "box_diagonal_px": diagonal,
        "n_steps": scene.values.count((track.object, "speed")),
        "speed_px_s": speed,
        "speed_median_px_s": speed_median,
        "speed_bl_s": body,
        "speed_median_bl_s": body_median,
        "speed_step_s": plan.lag * plan.step_s,
        "speed_noise_px_s": None if jerk is None else jerk * NOISE / (plan.lag * plan.step_s),
    }


def _visit_tables(scene: Scene) -> Iterator[pa.Table]:
    """Rows of ``VISITS``, object by object."""
    yield tables.VISITS.empty_table()
    for track in _ordered(scene):
        number = 0
        for rows in scene.visits.chunks(track.object):
            n = len(rows)
            named: dict[str, Any] = {"video": [scene.processed.video] * n, "object": [track.object] * n}
            named |= {"species": [track.species] * n, "visit": np.arange(number, number + n)}
            columns = named | {name: rows[name] for name in VISIT.names or ()}
            yield pa.table({field.name: pa.array(columns[field.name], field.type) for field in tables.VISITS}).cast(
                tables.VISITS
            )
            number += n


def _prompt_rows(scene: Scene) -> list[dict[str, Any]]:
    return [
        {
            "video": scene.processed.video,
            "object": track.object,
            "species": track.species,
            "frame": frame,
            "time_s": time_s,
        }
        for track in _ordered(scene)
        for frame, time_s in track.prompts
    ]


def _species_row(
    scene: Scene,
    species: str,
    objects: list[dict[str, Any]],
    means: Mapping[str, Any],
    surveyed: Collection[str],
) -> dict[str, Any]:
    mine = [row for row in objects if row["species"] == species]
    row: dict[str, Any] = {"video": scene.processed.video, "species": species, "n_frames": scene.n_frames}
    if mine:
        row |= _annotation(scene, species, mine)
    elif species in surveyed:
        row |= dict.fromkeys(ABSENT, 0.0)
    row["surveyed"] = species in surveyed
    row |= _window_counts(scene.processed, scene.window_status.get(species, {}))
    row |= {f"clips_{status}": 0 for status in ENDS}
    return row | dict(means)


def _annotation(scene: Scene, species: str, objects: list[dict[str, Any]]) -> dict[str, Any]:
    """Sums over the objects for counts and dwell, means over the objects for what each of them has.

    Effort is the time in which the species was looked for: from the first prompt of its first object on.
    """
    looked = scene.looked.get(species)
    seen = scene.counts[species][looked & scene.frames] if looked is not None else np.zeros(0, dtype=np.int16)
    seconds = seen.size * scene.processed.step_s

    def over_objects(name: str) -> float | None:
        values = [row[name] for row in objects if row[name] is not None]
        return sum(values) / len(values) if values else None

    dwell = sum(row["dwell_s"] for row in objects)
    entries, exits = (float(sum(row[name] for row in objects)) for name in ("entries", "exits"))
    averaged = ("visit_s", "area_px", "box_diagonal_px", "speed_px_s", "speed_bl_s", "speed_noise_px_s")
    return {
        "n_objects": float(sum(row["n_visible"] > 0 for row in objects)),
        **_counted(seen, scene.processed.step_s),
        "dwell_s": dwell,
        "dwell_share": dwell / seconds if seconds else None,
        "entries": entries,
        "exits": exits,
        "entries_per_min": 60.0 * entries / seconds if seconds else None,
        "exits_per_min": 60.0 * exits / seconds if seconds else None,
        **{name: over_objects(name) for name in averaged},
    }


def _counted(seen: NDArray[np.int16], step_s: float) -> dict[str, float]:
    """The most at once in all and in each ten seconds, the mean, and the share of frames with any: of (frames,)."""
    if not seen.size:
        return dict.fromkeys(("max_count", "max_per_10s", "mean_count", "presence"), 0.0)
    size = max(1, round(MAXN_S / step_s)) if step_s else seen.size
    # A last stretch that is not whole would have a smaller maximum, so it counts only where there is no other.
    whole = seen[: seen.size // size * size].reshape(-1, size) if seen.size >= size else seen[None]
    return {
        "max_count": float(seen.max()),
        "max_per_10s": float(whole.max(axis=1).mean()),
        "mean_count": float(seen.mean()),
        "presence": float(np.count_nonzero(seen) / seen.size),
    }


ABSENT = (
    "n_objects", "max_count", "max_per_10s", "mean_count", "presence", "dwell_s", "dwell_share", "entries", "exits",
    "entries_per_min", "exits_per_min",
)  # fmt: skip
"""What is zero of a species that was looked for throughout a video and not seen."""


def _window_counts(plan: Processed, seen: Mapping[int, str]) -> dict[str, int]:
    """Windows of each status: the worst of what the species' rows and the run itself say of each."""
    known = dict(seen.items())
    for window, status in plan.statuses.items():
        if status in (Status.FAILED, Status.MISSING):
            known[window] = Status.FAILED
        elif status == Status.APPROXIMATE and known.get(window) == Status.OK:
            known[window] = Status.APPROXIMATE
    values = list(known.values())
    return {f"n_{status}": values.count(status) for status in ENDS}
