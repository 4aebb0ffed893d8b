"""What a table of detections says about each object, read once and in order, a batch of rows at a time.

Holds one batch, 16 bytes per visible detection (for the medians) and 3 bytes per source frame and species:
tens of megabytes for a video of hours at every frame, and no mask at all.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from longtake.errors import SchemaError
from longtake.statistics.moments import area_and_centroid
from longtake.statistics.plan import Processed

UNLABELLED = "unlabelled"

Reals = NDArray[np.float64]


@dataclass
class Rows:
    """Consecutive rows of one object as columns: frame (n,) int64, visible (n,) bool, the others (n,)
    float64."""

    frame: NDArray[np.int64]
    time_s: Reals
    visible: NDArray[np.bool_]
    area: Reals
    x: Reals
    y: Reals
    diagonal: Reals

    def take(self, rows: Any) -> Rows:
        """Return the rows selected by a slice or an index array."""
        return Rows(**{name: column[rows] for name, column in vars(self).items()})

    def after(self, other: Rows | None) -> Rows:
        """Return `other` followed by these rows."""
        if other is None:
            return self
        return Rows(**{n: np.concatenate([getattr(other, n), column]) for n, column in vars(self).items()})


@dataclass
class Visit:
    """An unbroken run of processed frames on which the object is visible."""

    first_frame: int
    start_s: float
    entry_seen: bool
    last_frame: int = 0
    stop_s: float = 0.0
    duration_s: float = 0.0
    n_frames: int = 0
    exit_seen: bool = False


@dataclass
class Track:
    """What has been read of one object so far."""

    object: str
    species: str
    last: Rows | None = None
    visits: list[Visit] = field(default_factory=list)
    prompts: list[tuple[int, float]] = field(default_factory=list)
    areas: list[NDArray[np.float32]] = field(default_factory=list)
    diagonals: list[NDArray[np.float32]] = field(default_factory=list)
    speeds: list[NDArray[np.float32]] = field(default_factory=list)
    body_speeds: list[NDArray[np.float32]] = field(default_factory=list)
    n_visible: int = 0


@dataclass
class Scene:
    """What has been read of one video: its tracks, and visible objects per source frame and species."""

    processed: Processed
    tracks: dict[str, Track]
    counts: dict[str, NDArray[np.int16]]
    frames: NDArray[np.bool_]
    window_status: dict[str, dict[int, str]]

    @property
    def n_frames(self) -> int:
        """Processed frames: the grid of all windows that did not fail, and any other frame that has a row."""
        return int(np.count_nonzero(self.frames))


_RANK = {"ok": 0, "approximate": 1, "failed": 2}


def read_tracks(batches: Iterable[pa.RecordBatch], plan: Processed) -> Scene:
    """Read a video's detections into tracks.

    Parameters
    ----------
    batches
        The table DETECTIONS of one video; the frames of each object ascend. Rows of status ``failed`` count
        as not processed.

    Raises
    ------
    SchemaError
        If a row belongs to another video, lies outside the plan, or comes twice.
    """
    frames = np.zeros(plan.n_source_frames, dtype=bool)
    for grid in plan.frames():
        frames[grid.start : grid.stop : grid.step] = True
    scene = Scene(plan, {}, {}, frames, {})
    for batch in batches:
        if batch.num_rows:
            _add_batch(scene, batch)
    for track in scene.tracks.values():
        _close(track, plan.step_s)
    return scene


def _add_batch(scene: Scene, batch: pa.RecordBatch) -> None:
    column = {name: batch.column(name) for name in batch.schema.names}
    strangers = set(column["video"].unique().to_pylist()) - {scene.processed.video}
    if strangers:
        raise SchemaError(
            f"detections of {scene.processed.video!r} hold rows of {sorted(strangers)}; merge each video on its own."
        )
    frame = column["frame"].to_numpy(zero_copy_only=False)
    if frame.min() < 0 or frame.max() >= scene.frames.size:
        raise SchemaError(
            f"detections of {scene.processed.video!r} reach from frame {frame.min()} to {frame.max()}, but its plan "
            f"ends at frame {scene.frames.size}; the plan and the detections belong to different runs."
        )
    objects = column["object"].dictionary_encode()
    codes = objects.indices.to_numpy(zero_copy_only=False)
    order = np.argsort(codes, kind="stable")
    bounds = np.searchsorted(codes[order], np.arange(len(objects.dictionary) + 1))
    rows = _columns(column)
    usable = column["status"].to_numpy(zero_copy_only=False) != "failed"
    scene.frames[frame[usable]] = True
    for code, name in enumerate(objects.dictionary.to_pylist()):
        picked = order[bounds[code] : bounds[code + 1]]
        track = scene.tracks.get(name)
        if track is None:
            species = column["label"][int(picked[0])].as_py() or UNLABELLED
            track = scene.tracks[name] = Track(name, species)
        _note(scene, track, column, picked)
        picked = picked[usable[picked]]
        if picked.size:
            _add_rows(scene, track, rows.take(picked))


def _columns(column: dict[str, pa.Array]) -> Rows:
    x_min, y_min, x_max, y_max = (
        column[name].to_numpy(zero_copy_only=False).astype(np.float64) for name in ("x_min", "y_min", "x_max", "y_max")
    )
    moments = np.full((len(x_min), 3), np.nan)
    masks = zip(column["mask"].to_pylist(), column["height"].to_pylist(), strict=True)
    for row, (counts, height) in enumerate(masks):
        if counts is not None:
            moments[row] = area_and_centroid(counts, height)
    # A visible row without a mask (boxes only) has the centre of its box.
    unknown = np.isnan(moments[:, 1])
    return Rows(
        frame=column["frame"].to_numpy(zero_copy_only=False),
        time_s=column["time_s"].to_numpy(zero_copy_only=False),
        visible=column["visible"].to_numpy(zero_copy_only=False),
        area=moments[:, 0],
        x=np.where(unknown, (x_min + x_max) / 2, moments[:, 1]),
        y=np.where(unknown, (y_min + y_max) / 2, moments[:, 2]),
        diagonal=np.hypot(x_max - x_min, y_max - y_min),
    )


def _note(scene: Scene, track: Track, column: dict[str, pa.Array], picked: NDArray[np.intp]) -> None:
    """Keep the prompts of a track, and the worst status of its species in each window."""
    prompted = column["prompted"].to_numpy(zero_copy_only=False)
    for row in picked[prompted[picked]]:
        track.prompts.append((column["frame"][int(row)].as_py(), column["time_s"][int(row)].as_py()))
    windows = column["window"].to_numpy(zero_copy_only=False)[picked]
    statuses = column["status"].to_numpy(zero_copy_only=False)[picked]
    known = scene.window_status.setdefault(track.species, {})
    for window, status in {(int(w), str(s)) for w, s in zip(windows, statuses, strict=True)}:
        # Whatever a row says beyond ok and failed (a decoding error before its frame) makes it approximate.
        told = status if status in _RANK else "approximate"
        known[window] = max(told, known.get(window, "ok"), key=_RANK.__getitem__)


def _add_rows(scene: Scene, track: Track, new: Rows) -> None:
    """Extend a track by its next rows; the last row known so far is put in front, so that no step is lost."""
    plan = scene.processed
    counts = scene.counts.setdefault(track.species, np.zeros(scene.frames.size, dtype=np.int16))
    np.add.at(counts, new.frame[new.visible], 1)
    rows, carried = new.after(track.last), track.last is not None
    track.last = new.take(slice(-1, None))
    gap = np.diff(rows.frame)
    if (gap <= 0).any():
        at = int(rows.frame[1:][gap <= 0][0])
        raise SchemaError(
            f"detections of {plan.video!r}: object {track.object!r} has frame {at} twice or out of order; "
            "every frame must be emitted once."
        )
    near = gap <= plan.frame_interval
    seen = new.visible
    track.areas.append(new.area[seen].astype(np.float32))
    track.diagonals.append(new.diagonal[seen].astype(np.float32))
    track.n_visible += int(np.count_nonzero(seen))
    _add_speeds(track, rows, near)
    _add_visits(track, rows, near, carried, plan.step_s)


def _add_speeds(track: Track, rows: Rows, near: NDArray[np.bool_]) -> None:
    """Centroid displacement per second between consecutive processed frames on which the object is
    visible."""
    step = np.flatnonzero(near & rows.visible[1:] & rows.visible[:-1])
    seconds = rows.time_s[step + 1] - rows.time_s[step]
    distance = np.hypot(rows.x[step + 1] - rows.x[step], rows.y[step + 1] - rows.y[step])
    length = (rows.diagonal[step + 1] + rows.diagonal[step]) / 2
    with np.errstate(divide="ignore", invalid="ignore"):
        speed = distance / seconds
        track.speeds.append(speed.astype(np.float32))
        track.body_speeds.append((speed / length).astype(np.float32))


def _add_visits(track: Track, rows: Rows, near: NDArray[np.bool_], carried: bool, step_s: float) -> None:
    for i in range(1 if carried else 0, rows.frame.size):
        joined = i > 0 and bool(near[i - 1])
        before = i > 0 and bool(rows.visible[i - 1])
        if before:
            _extend(
                track.visits[-1],
                rows,
                i - 1,
                float(rows.time_s[i] - rows.time_s[i - 1]) if joined else step_s,
            )
            track.visits[-1].exit_seen = joined and not bool(rows.visible[i])
        if rows.visible[i] and not (before and joined):
            track.visits.append(Visit(int(rows.frame[i]), float(rows.time_s[i]), joined and not before))


def _extend(visit: Visit, rows: Rows, i: int, seconds: float) -> None:
    """A processed frame stands for the time until the next one, or for one step where there is none."""
    visit.last_frame = int(rows.frame[i])
    visit.stop_s = float(rows.time_s[i]) + seconds
    visit.duration_s += seconds
    visit.n_frames += 1


def _close(track: Track, step_s: float) -> None:
    if track.last is not None and track.last.visible[-1]:
        _extend(track.visits[-1], track.last, -1, step_s)


def joined(chunks: Iterable[NDArray[np.float32]]) -> Reals:
    """Concatenate the finite values of chunks as (n,) float64."""
    parts: Iterator[NDArray[np.float32]] = (chunk[np.isfinite(chunk)] for chunk in chunks)
    return np.concatenate([np.empty(0, np.float32), *parts]).astype(np.float64)
