"""What a table of detections says about each object, read once and in order, a batch of rows at a time.

Holds one batch, an open visit of each object, and 4 bytes per source frame and species; numbers per detection (for
the medians) and per visit go to a `ArraySpill`.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from longtake.errors import SchemaError
from longtake.species.moments import area_and_centroid
from longtake.species.plan import Processed
from longtake.status import Status
from longtake.store.spill import ArraySpill

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


VISIT = np.dtype(
    [
        ("first_frame", "i8"), ("last_frame", "i8"), ("start_s", "f8"), ("stop_s", "f8"), ("duration_s", "f8"),
        ("n_frames", "i8"), ("entry_seen", "?"), ("exit_seen", "?"),
    ]
)  # fmt: skip
MEASURED = ("area", "diagonal", "speed", "body_speed", "jerk")


@dataclass
class Visit:
    """A run of processed frames on which the object is visible, but for misses of `Processed.visit_gap` frames."""

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
    """What has been read of one object so far; sums are over the visits that have ended."""

    object: str
    species: str
    last: Rows | None = None
    tail: Rows | None = None
    missed: int = 0
    n_looked: int = 0
    visit: Visit | None = None
    prompts: list[tuple[int, float]] = field(default_factory=list)
    n_visible: int = 0
    n_visits: int = 0
    dwell_s: float = 0.0
    longest_s: float | None = None
    entries: int = 0
    exits: int = 0
    first_s: float | None = None
    last_s: float | None = None


@dataclass
class Scene:
    """What has been read of one video: its tracks, and visible objects per source frame and species.

    `looked` says on which source frames an object of the species was looked for: from its first prompt on.

    `values` has the finite numbers of (object, one of `MEASURED`) as float32, `visits` those of each object as `VISIT`.
    """

    processed: Processed
    tracks: dict[str, Track]
    counts: dict[str, NDArray[np.int16]]
    looked: dict[str, NDArray[np.bool_]]
    frames: NDArray[np.bool_]
    window_status: dict[str, dict[int, str]]
    values: ArraySpill
    visits: ArraySpill

    @property
    def n_frames(self) -> int:
        """Processed frames: the grid of all windows that did not fail, and any other frame that has a row."""
        return int(np.count_nonzero(self.frames))


_RANK: dict[str, int] = {Status.OK: 0, Status.APPROXIMATE: 1, Status.FAILED: 2}


def read_tracks(batches: Iterable[pa.RecordBatch], plan: Processed, values: ArraySpill, visits: ArraySpill) -> Scene:
    """Read a video's detections into tracks.

    Parameters
    ----------
    batches
        The table DETECTIONS of one video; the frames of each object ascend. Rows of status ``failed`` count
        as not processed.
    values, visits
        Empty, of float32 and of `VISIT`.

    Raises
    ------
    SchemaError
        If a row belongs to another video, lies outside the plan, or comes twice.
    """
    frames = np.zeros(plan.n_source_frames, dtype=bool)
    for grid in plan.frames():
        frames[grid.start : grid.stop : grid.step] = True
    scene = Scene(plan, {}, {}, {}, frames, {}, values, visits)
    for batch in batches:
        if batch.num_rows:
            _add_batch(scene, batch)
    for track in scene.tracks.values():
        _close(scene, track)
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
    usable = column["status"].to_numpy(zero_copy_only=False) != Status.FAILED
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
        told = status if status in _RANK else Status.APPROXIMATE
        known[window] = max(told, known.get(window, Status.OK), key=_RANK.__getitem__)


def _add_rows(scene: Scene, track: Track, new: Rows) -> None:
    """Extend a track by its next rows; the last row known so far is put in front, so that no step is lost."""
    plan = scene.processed
    counts = scene.counts.setdefault(track.species, np.zeros(scene.frames.size, dtype=np.int16))
    np.add.at(counts, new.frame[new.visible], 1)
    scene.looked.setdefault(track.species, np.zeros(scene.frames.size, dtype=bool))[new.frame] = True
    track.n_looked += new.frame.size
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
    _keep(scene, track, area=new.area[seen], diagonal=new.diagonal[seen])
    track.n_visible += int(np.count_nonzero(seen))
    _add_speeds(scene, track, new)
    _add_visits(scene, track, rows, near, carried)


def _keep(scene: Scene, track: Track, **values: Reals) -> None:
    for name, numbers in values.items():
        rounded = numbers.astype(np.float32)
        scene.values.add((track.object, name), rounded[np.isfinite(rounded)])


def _add_speeds(scene: Scene, track: Track, new: Rows) -> None:
    """Centroid displacement per second over `Processed.lag` steps, on all of which the object is visible.

    And the length of the second difference of consecutive centroids, by which the noise of their places is known.
    """
    lag = scene.processed.lag
    rows, known = new.after(track.tail), 0 if track.tail is None else track.tail.frame.size
    track.tail = rows.take(slice(-max(lag, 2), None))
    seen = rows.visible[1:] & rows.visible[:-1] & (np.diff(rows.frame) <= scene.processed.frame_interval)
    gaps = np.concatenate([[0], np.cumsum(~seen)])
    starts = np.arange(max(0, known - lag), rows.frame.size - lag)
    starts = starts[gaps[starts + lag] == gaps[starts]]
    ends = starts + lag
    length = (rows.diagonal[ends] + rows.diagonal[starts]) / 2
    with np.errstate(divide="ignore", invalid="ignore"):
        speed = np.hypot(rows.x[ends] - rows.x[starts], rows.y[ends] - rows.y[starts])
        speed = speed / (rows.time_s[ends] - rows.time_s[starts])
        _keep(scene, track, speed=speed, body_speed=speed / length)
    middle = np.arange(max(1, known - 1), rows.frame.size - 1)
    middle = middle[seen[middle - 1] & seen[middle]]
    bend = [places[middle + 1] - 2 * places[middle] + places[middle - 1] for places in (rows.x, rows.y)]
    _keep(scene, track, jerk=np.hypot(*bend))


def _add_visits(scene: Scene, track: Track, rows: Rows, near: NDArray[np.bool_], carried: bool) -> None:
    step_s = scene.processed.step_s
    for i in range(1 if carried else 0, rows.frame.size):
        joined = i > 0 and bool(near[i - 1])
        before, gone = i > 0 and bool(rows.visible[i - 1]), track.missed
        if before and track.visit is not None:
            seconds = float(rows.time_s[i] - rows.time_s[i - 1])
            _extend(track.visit, rows, i - 1, seconds if joined else min(step_s, seconds))
            track.visit.exit_seen = joined and not bool(rows.visible[i])
        track.missed = track.missed + 1 if joined and not rows.visible[i] else 0
        if not rows.visible[i] or (before and joined):
            continue
        if joined and track.visit is not None and gone <= scene.processed.visit_gap:
            # Missed, not gone: the visit goes on, and lasted meanwhile.
            track.visit.duration_s += max(0.0, float(rows.time_s[i]) - track.visit.stop_s)
            track.visit.exit_seen = False
        else:
            _end(scene, track)
            track.visit = Visit(int(rows.frame[i]), float(rows.time_s[i]), joined and not before)


def _end(scene: Scene, track: Track) -> None:
    """Sum up the track's visit, which will not be extended any more."""
    visit = track.visit
    if visit is None:
        return
    track.n_visits += 1
    track.dwell_s += visit.duration_s
    track.longest_s = max(visit.duration_s, track.longest_s or 0.0)
    track.entries += visit.entry_seen
    track.exits += visit.exit_seen
    track.first_s = visit.start_s if track.first_s is None else track.first_s
    track.last_s = visit.stop_s
    row = np.array([tuple(getattr(visit, name) for name in VISIT.names or ())], VISIT)
    scene.visits.add(track.object, row)


def _extend(visit: Visit, rows: Rows, i: int, seconds: float) -> None:
    """A processed frame stands for the time until the next one, or for one step where there is none.

    The step before a gap ends no later than the gap, the last one no later than the video.
    """
    visit.last_frame = int(rows.frame[i])
    visit.stop_s = float(rows.time_s[i]) + seconds
    visit.duration_s += seconds
    visit.n_frames += 1


def _close(scene: Scene, track: Track) -> None:
    if track.last is not None and track.last.visible[-1] and track.visit is not None:
        left_s = max(0.0, scene.processed.end_s - float(track.last.time_s[-1]))
        _extend(track.visit, track.last, -1, min(scene.processed.step_s, left_s))
    _end(scene, track)
