"""Statistics of one video: each object, each visit, each species, each importance curve."""

from __future__ import annotations

import json
import logging
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from longtake.media.windows import Window
from longtake.species import tables
from longtake.species.perturbed import perturbation_means
from longtake.species.plan import Processed, processed
from longtake.species.temporal import clip_means, curve_means
from longtake.species.tracks import MEASURED, VISIT, Scene, Track, read_tracks
from longtake.statistics.spool import Spool, mean, median
from longtake.status import ENDS, Status
from longtake.store.schemas import DETECTIONS, HOLES
from longtake.store.tables import read_metadata, scan_batches
from longtake.verdicts import USUAL, Borders

logger = logging.getLogger(__name__)
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
    """
    if window_status is None:
        holes = json.loads(read_metadata(detections).get(HOLES, "[]"))
        window_status = {number: Status.MISSING for number, *_ in holes}
    plan = processed(video, windows, frame_interval, window_status, duration_s)
    means = clip_means(clips) if clips else {}
    disturbed = perturbation_means(perturbations, clips, borders=borders) if perturbations and clips else {}
    for name, more in disturbed.items():
        means[name] = means.get(name, {}) | more
    shapes, series = curve_means(curves, clips, video) if curves and clips else ([], [])
    out.mkdir(parents=True, exist_ok=True)
    with Spool(np.float32, out) as values, Spool(VISIT, out) as visits:
        scene = read_tracks(scan_batches(detections, DETECTIONS, 8192, _READ), plan, values, visits)
        objects = [_object_row(scene, track) for track in _ordered(scene)]
        tables.write_tables(out / "visits.parquet", _visit_tables(scene), tables.VISITS)
    species = [_species_row(scene, name, objects, means.get(name, {})) for name in _names(scene, means)]
    tables.write_rows(out / "objects.parquet", objects, tables.OBJECTS)
    tables.write_rows(out / "prompts.parquet", _prompt_rows(scene), tables.PROMPTS)
    tables.write_rows(out / "species.parquet", species, tables.VIDEO_SPECIES)
    tables.write_rows(out / "curves.parquet", shapes, tables.VIDEO_CURVES)
    tables.write_rows(out / "series.parquet", series, tables.SERIES)
    logger.info("%s: %d objects of %d species on %d frames", video, len(objects), len(species), scene.n_frames)


def _ordered(scene: Scene) -> list[Track]:
    return sorted(scene.tracks.values(), key=lambda track: (track.species, track.object))


def _names(scene: Scene, means: Mapping[str, Any]) -> list[str]:
    return sorted({track.species for track in scene.tracks.values()} | set(means))


def _object_row(scene: Scene, track: Track) -> dict[str, Any]:
    def of(name: str) -> tuple[float | None, float | None]:
        return mean(scene.values, (track.object, name)), median(scene.values, (track.object, name))

    (area, area_median), (_, diagonal), (speed, speed_median), (body, body_median) = (of(name) for name in MEASURED)
    return {
        "video": scene.processed.video,
        "object": track.object,
        "species": track.species,
        "n_frames": scene.n_frames,
        "n_visible": track.n_visible,
        "presence": track.n_visible / scene.n_frames if scene.n_frames else 0.0,
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


def _species_row(scene: Scene, species: str, objects: list[dict[str, Any]], means: Mapping[str, Any]) -> dict[str, Any]:
    mine = [row for row in objects if row["species"] == species]
    row: dict[str, Any] = {"video": scene.processed.video, "species": species, "n_frames": scene.n_frames}
    if mine:
        row |= _annotation(scene, species, mine)
    row |= _window_counts(scene.processed, scene.window_status.get(species, {}))
    row |= {f"clips_{status}": 0 for status in ENDS}
    return row | dict(means)


def _annotation(scene: Scene, species: str, objects: list[dict[str, Any]]) -> dict[str, Any]:
    """Sums over the objects for counts and dwell, means over the objects for what each of them has."""
    counts = scene.counts.get(species)
    seen = counts[scene.frames] if counts is not None else np.zeros(0, dtype=np.int16)

    def over_objects(name: str) -> float | None:
        values = [row[name] for row in objects if row[name] is not None]
        return sum(values) / len(values) if values else None

    return {
        "n_objects": float(sum(row["n_visible"] > 0 for row in objects)),
        "max_count": float(seen.max()) if seen.size else 0.0,
        "mean_count": float(seen.mean()) if seen.size else 0.0,
        "presence": float(np.count_nonzero(seen) / seen.size) if seen.size else 0.0,
        "dwell_s": sum(row["dwell_s"] for row in objects),
        "entries": float(sum(row["entries"] for row in objects)),
        "exits": float(sum(row["exits"] for row in objects)),
        **{name: over_objects(name) for name in ("visit_s", "area_px", "box_diagonal_px", "speed_px_s", "speed_bl_s")},
    }


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
