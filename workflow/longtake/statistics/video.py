"""Statistics of one video: each object, each visit, each species, each importance curve."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from longtake.statistics import tables
from longtake.statistics.plan import Processed, processed
from longtake.statistics.temporal import clip_means, curve_means, perturbation_means
from longtake.statistics.tracks import Scene, Track, joined, read_tracks
from longtake.store.schemas import DETECTIONS
from longtake.store.tables import scan_batches
from longtake.windows import Window

logger = logging.getLogger(__name__)


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
) -> None:
    """Reduce one video's tables to the small ones that species statistics and figures read.

    Writes ``objects``, ``visits``, ``prompts``, ``species`` and ``curves`` to the folder `out`, each as
    Parquet and CSV. Memory is bounded by one batch of detections and a few bytes per visible detection (see
    ``read_tracks``).

    Parameters
    ----------
    windows
        The planned windows of `video`.
    frame_interval
        Source frames between processed ones.
    clips, curves, perturbations
        The gradient tables of this video; without them the gradient columns are empty.
    window_status
        Window -> ok, approximate, failed or missing; frames of windows that failed do not count as processed.
    """
    plan = processed(video, windows, frame_interval, window_status)
    scene = read_tracks(scan_batches(detections, DETECTIONS), plan)
    objects = [_object_row(scene, track) for track in _ordered(scene)]
    means = clip_means(clips) if clips else {}
    for name, more in (perturbation_means(perturbations) if perturbations else {}).items():
        means[name] = means.get(name, {}) | more
    species = [_species_row(scene, name, objects, means.get(name, {})) for name in _names(scene, means)]
    tables.write_rows(out / "objects.parquet", objects, tables.OBJECTS)
    tables.write_rows(out / "visits.parquet", _visit_rows(scene), tables.VISITS)
    tables.write_rows(out / "prompts.parquet", _prompt_rows(scene), tables.PROMPTS)
    tables.write_rows(out / "species.parquet", species, tables.VIDEO_SPECIES)
    shapes = curve_means(curves, clips, video) if curves and clips else []
    tables.write_rows(out / "curves.parquet", shapes, tables.VIDEO_CURVES)
    logger.info("%s: %d objects of %d species on %d frames", video, len(objects), len(species), scene.n_frames)


def _ordered(scene: Scene) -> list[Track]:
    return sorted(scene.tracks.values(), key=lambda track: (track.species, track.object))


def _names(scene: Scene, means: Mapping[str, Any]) -> list[str]:
    return sorted({track.species for track in scene.tracks.values()} | set(means))


def _object_row(scene: Scene, track: Track) -> dict[str, Any]:
    visits = track.visits
    durations = [visit.duration_s for visit in visits]
    areas, diagonals = joined(track.areas), joined(track.diagonals)
    speeds, body = joined(track.speeds), joined(track.body_speeds)
    return {
        "video": scene.processed.video,
        "object": track.object,
        "species": track.species,
        "n_frames": scene.n_frames,
        "n_visible": track.n_visible,
        "presence": track.n_visible / scene.n_frames if scene.n_frames else 0.0,
        "first_s": visits[0].start_s if visits else None,
        "last_s": visits[-1].stop_s if visits else None,
        "dwell_s": sum(durations),
        "visit_s": sum(durations) / len(durations) if visits else None,
        "visit_max_s": max(durations, default=None),
        "n_visits": len(visits),
        "entries": sum(visit.entry_seen for visit in visits),
        "exits": sum(visit.exit_seen for visit in visits),
        "area_px": _mean(areas),
        "area_median_px": _median(areas),
        "box_diagonal_px": _median(diagonals),
        "n_steps": int(speeds.size),
        "speed_px_s": _mean(speeds),
        "speed_median_px_s": _median(speeds),
        "speed_bl_s": _mean(body),
        "speed_median_bl_s": _median(body),
    }


def _mean(values: np.ndarray) -> float | None:
    return float(values.mean()) if values.size else None


def _median(values: np.ndarray) -> float | None:
    return float(np.median(values)) if values.size else None


def _visit_rows(scene: Scene) -> list[dict[str, Any]]:
    return [
        {
            "video": scene.processed.video,
            "object": track.object,
            "species": track.species,
            "visit": number,
            **vars(visit),
        }
        for track in _ordered(scene)
        for number, visit in enumerate(track.visits)
    ]


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
    row |= {f"clips_{status}": 0 for status in ("ok", "approximate", "failed")}
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
        if status in ("failed", "missing"):
            known[window] = "failed"
        elif status == "approximate" and known.get(window) == "ok":
            known[window] = "approximate"
    values = list(known.values())
    return {f"n_{status}": values.count(status) for status in ("ok", "approximate", "failed")}
