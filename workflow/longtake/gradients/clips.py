"""Which clips of a window the model is asked about, and which part of the picture it sees.

A clip is `n_frames` source frames at a fixed stride in which one object stays visible, seen through one fixed crop: a
crop that moved along with the object would take away the motion that the model is asked about. Clips are chosen where
the object is (not at the start of the file), spread over the window, and never padded: an object that is not visible
for long enough gives a failed clip with the reason.
"""

import os
from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import cv2
import numpy as np

from longtake.media.windows import Window
from longtake.status import Status
from longtake.store.schemas import DETECTIONS
from longtake.store.tables import scan_frames

MOST_CANDIDATES = 512


@dataclass(frozen=True)
class Region:
    """A rectangle of whole source pixels, maxima exclusive."""

    x_min: int
    y_min: int
    x_max: int
    y_max: int

    @property
    def width(self) -> int:
        return self.x_max - self.x_min

    @property
    def height(self) -> int:
        return self.y_max - self.y_min


@dataclass(frozen=True)
class ObjectTrack:
    """One object's detections in a window.

    Attributes
    ----------
    frames : (n,) int64, the processed frames on which it is visible, ascending
    boxes : (n, 4) float64, x_min, y_min, x_max, y_max in source pixels, maxima exclusive
    masks : frame -> COCO RLE counts of the whole source frame
    size : height and width of the source in pixels
    """

    object: str
    label: str
    frames: np.ndarray
    boxes: np.ndarray
    masks: dict[int, str]
    size: tuple[int, int]


@dataclass(frozen=True)
class Clip:
    """One question to the model, or the reason why it cannot be asked.

    Attributes
    ----------
    clip : number within window and object, from 0
    frames : source frames, ascending; empty if failed
    stride : source frames from one to the next
    region : what the model sees of each frame; None if failed
    status : ok, approximate or failed; `reason` says why if not ok
    """

    object: str
    label: str
    clip: int
    frames: tuple[int, ...]
    stride: int
    region: Region | None
    status: str = Status.OK
    reason: str | None = None


def read_tracks(path: str | os.PathLike[str], window: Window) -> tuple[np.ndarray, list[ObjectTrack]]:
    """Read the detections of the frames that a window emits, from the table of its whole video.

    Returns
    -------
    processed : (n,) int64, every frame that was looked at, ascending
    tracks : the objects that are visible at least once, by name

    Memory: the boxes and encoded masks of one window.
    """
    seen: dict[str, dict[int, tuple[tuple[float, float, float, float], str | None]]] = defaultdict(dict)
    labels: dict[str, str] = {}
    processed: set[int] = set()
    size = (0, 0)
    for batch in scan_frames(path, DETECTIONS, window.emit_start, window.emit_stop):
        for row in batch.to_pylist():
            processed.add(row["frame"])
            if row["visible"]:
                box = (row["x_min"], row["y_min"], row["x_max"], row["y_max"])
                seen[row["object"]][row["frame"]] = (box, row["mask"])
                labels[row["object"]] = row["label"]
                size = (row["height"], row["width"])
    tracks = []
    for name in sorted(seen):
        frames = np.array(sorted(seen[name]), dtype=np.int64)
        boxes = np.array([seen[name][frame][0] for frame in frames.tolist()], dtype=np.float64)
        masks = {frame: mask for frame, (_, mask) in seen[name].items() if mask is not None}
        tracks.append(ObjectTrack(name, labels[name], frames, boxes, masks, size))
    return np.array(sorted(processed), dtype=np.int64), tracks


def choose_clips(
    processed: np.ndarray,
    track: ObjectTrack,
    window: Window,
    *,
    n_frames: int,
    stride: int,
    clips_per_window: int,
    aspect: float | None,
    margin: float,
    others: Sequence[ObjectTrack] = (),
) -> list[Clip]:
    """Choose up to `clips_per_window` clips of an object.

    The emitted range is cut into as many equal parts. In each part the clip is taken into whose crop `others` intrude
    least, to whole percents of the crop (a model cannot know which of two animals is meant); of equals the one whose
    boxes are largest on average (the animal is nearest and seen best), then the earliest. Clips of an object do not
    overlap. At most `MOST_CANDIDATES` evenly spaced starts are compared. A clip belongs to the part, and the window,
    in which its centre frame lies.

    Parameters
    ----------
    processed : (n,) int64, from `read_tracks`
    n_frames, stride : length of a clip, and source frames from one of its frames to the next
    aspect : width / height of the crop; None takes the whole frame
    margin : added on each side of the object's region, as a fraction of its longer side
    others : the window's other objects

    Returns
    -------
    Clips in order of time. One failed clip if the object is visible in the emitted range but never for long enough;
    none if it is not visible there at all.
    """
    span = (n_frames - 1) * stride + 1
    starts, areas, longest = [], [], 0
    for first, last in _runs(processed, track.frames):
        longest = max(longest, last - first + 1)
        low = max(first, window.emit_start - n_frames // 2 * stride)
        high = min(last - span + 1, window.emit_stop - 1 - n_frames // 2 * stride)
        if high >= low:
            starts.append(np.arange(low, high + 1))
            areas.append(_mean_areas(track, low, high, n_frames, stride))
    if not starts:
        if not np.any((track.frames >= window.emit_start) & (track.frames < window.emit_stop)):
            return []
        short = f"visible for at most {longest} frames in a row around here; a clip needs {span}"
        return [Clip(track.object, track.label, 0, (), stride, None, Status.FAILED, short)]
    thinned = slice(None, None, -(-sum(map(len, starts)) // MOST_CANDIDATES))
    candidates, sizes = np.concatenate(starts)[thinned], np.concatenate(areas)[thinned]
    offsets = np.arange(0, span, stride)
    company = _company(track, others, candidates, offsets, aspect=aspect, margin=margin)
    ranking = np.lexsort((candidates, -sizes, np.round(company, 2)))
    chosen = _spread(candidates, ranking, window, offsets, clips_per_window)
    clips = []
    for number, start in enumerate(chosen):
        frames = np.arange(start, start + span, stride)
        region, fits = clip_region(boxes_at(track, frames), aspect, margin, *track.size)
        reason = None if fits else "the object's way is too long for an undistorted crop inside the frame"
        status = Status.OK if fits else Status.APPROXIMATE
        label = track.label
        clips.append(Clip(track.object, label, number, tuple(frames.tolist()), stride, region, status, reason))
    return clips


def even_clips(
    window: Window, *, name: str, label: str, size: tuple[int, int], n_frames: int, stride: int, clips_per_window: int
) -> list[Clip]:
    """Spread up to `clips_per_window` clips of the whole frame evenly over a window, whatever is seen in it.

    The emitted range is cut into as many equal parts, and the centre frame of a clip lies in the middle of each, or as
    near as the window's frames allow. A part whose clip would overlap the one before has none.

    Parameters
    ----------
    name, label : what the clips are called, in place of an object and its label
    size : height and width of the source in pixels

    Returns
    -------
    Clips in order of time; one failed clip if the window covers too few frames.
    """
    span, half = (n_frames - 1) * stride + 1, n_frames // 2 * stride
    low = max(window.start, window.emit_start - half)
    high = min(window.stop - span, window.emit_stop - 1 - half)
    if high < low:
        cover = f"frames {window.start} to {window.stop - 1}"
        short = f"no clip of {span} frames with its centre in this window fits into {cover}"
        return [Clip(name, label, 0, (), stride, None, Status.FAILED, short)]
    length = window.emit_stop - window.emit_start
    clips: list[Clip] = []
    for part in range(clips_per_window):
        middle = window.emit_start + (2 * part + 1) * length // (2 * clips_per_window)
        frames = tuple(range(start := min(max(low, middle - half), high), start + span, stride))
        if not clips or start > clips[-1].frames[-1]:
            clips.append(Clip(name, label, len(clips), frames, stride, Region(0, 0, size[1], size[0])))
    return clips


def boxes_at(track: ObjectTrack, frames: np.ndarray) -> np.ndarray:
    """Boxes (n, 4) on source `frames`, linear between processed frames; for placing crops only."""
    return np.stack([np.interp(frames, track.frames, track.boxes[:, side]) for side in range(4)], axis=1)


def clip_region(boxes: np.ndarray, aspect: float | None, margin: float, height: int, width: int) -> tuple[Region, bool]:
    """The fixed crop of a clip: around the union of all `boxes` (n, 4), with a margin, inside the frame.

    The crop has the `aspect` (width / height) that the model wants. Near the frame's border it is shifted, and where
    the frame is too small the margin is given up.

    Returns
    -------
    The region, and whether it has the aspect; False if the union of the boxes is too large for that, so that the region
    is resized unevenly. The whole frame, always True, for `aspect` None.
    """
    if aspect is None:
        return Region(0, 0, width, height), True
    x_min, y_min = boxes[:, 0].min(), boxes[:, 1].min()
    x_max, y_max = boxes[:, 2].max(), boxes[:, 3].max()
    around = 2 * margin * max(x_max - x_min, y_max - y_min)
    tall = max(y_max - y_min + around, (x_max - x_min + around) / aspect)
    tall = min(tall, height, width / aspect)
    # Whole pixels: half a pixel of aspect is lost at most.
    crop_height, crop_width = max(1, round(tall)), max(1, round(tall * aspect))
    need_height = min(height, int(np.ceil(y_max) - np.floor(y_min)))
    need_width = min(width, int(np.ceil(x_max) - np.floor(x_min)))
    fits = need_height <= crop_height and need_width <= crop_width
    crop_height, crop_width = max(crop_height, need_height), max(crop_width, need_width)
    left = int(np.clip(round((x_min + x_max - crop_width) / 2), 0, width - crop_width))
    top = int(np.clip(round((y_min + y_max - crop_height) / 2), 0, height - crop_height))
    return Region(left, top, left + crop_width, top + crop_height), fits


def crop(pixels: np.ndarray, region: Region, height: int, width: int) -> np.ndarray:
    """Cut `region` out of pixels (H, W, 3) uint8 and scale it to (height, width, 3) uint8."""
    part = pixels[region.y_min : region.y_max, region.x_min : region.x_max]
    shrinks = region.height >= height and region.width >= width
    resized = cv2.resize(part, (width, height), interpolation=cv2.INTER_AREA if shrinks else cv2.INTER_LINEAR)
    return np.ascontiguousarray(resized)


def crop_mask(mask: np.ndarray, region: Region, height: int, width: int) -> np.ndarray:
    """Cut `region` out of mask (H, W) bool; a pixel of the result (height, width) bool is at least half covered."""
    part = mask[region.y_min : region.y_max, region.x_min : region.x_max].astype(np.float32)
    return np.asarray(cv2.resize(part, (width, height), interpolation=cv2.INTER_AREA) >= 0.5)


def _runs(processed: np.ndarray, visible: np.ndarray) -> Iterator[tuple[int, int]]:
    """First and last frame of each stretch of consecutive processed frames that are all visible."""
    places = np.searchsorted(processed, visible)
    breaks = np.flatnonzero(np.diff(places) > 1) + 1
    for part in np.split(visible, breaks):
        yield int(part[0]), int(part[-1])


def _mean_areas(track: ObjectTrack, low: int, high: int, n_frames: int, stride: int) -> np.ndarray:
    """Mean box area (high - low + 1,) in square pixels of the clips that start at low..high."""
    boxes = boxes_at(track, np.arange(low, high + (n_frames - 1) * stride + 1))
    area = (boxes[:, 2] - boxes[:, 0]) * (boxes[:, 3] - boxes[:, 1])
    span = (n_frames - 1) * stride + 1
    return np.asarray(np.lib.stride_tricks.sliding_window_view(area, span)[:, ::stride].mean(axis=1))


def _company(
    track: ObjectTrack,
    others: Sequence[ObjectTrack],
    starts: np.ndarray,
    offsets: np.ndarray,
    *,
    aspect: float | None,
    margin: float,
) -> np.ndarray:
    """Largest share, over a clip's frames, of its crop that others' boxes cover: (n,), one for each of `starts`."""
    found = np.zeros(len(starts))
    if aspect is None or not others:
        return found
    for number, start in enumerate(starts):
        frames = start + offsets
        region, _ = clip_region(boxes_at(track, frames), aspect, margin, *track.size)
        covered = np.zeros(len(frames))
        for other in others:
            there = (frames >= other.frames[0]) & (frames <= other.frames[-1])
            if not there.any():
                continue
            box = boxes_at(other, frames)
            wide = np.minimum(box[:, 2], region.x_max) - np.maximum(box[:, 0], region.x_min)
            tall = np.minimum(box[:, 3], region.y_max) - np.maximum(box[:, 1], region.y_min)
            covered += np.where(there, np.maximum(wide, 0) * np.maximum(tall, 0), 0)
        found[number] = covered.max() / (region.width * region.height)
    return found


def _spread(
    starts: np.ndarray, ranking: np.ndarray, window: Window, offsets: np.ndarray, clips_per_window: int
) -> list[int]:
    """First frames of the chosen clips, ascending; `ranking` lists the places of `starts` from best to worst."""
    centres = starts + offsets[len(offsets) // 2]
    length = window.emit_stop - window.emit_start
    part = (centres - window.emit_start) * clips_per_window // length
    chosen: list[int] = []
    for number in range(clips_per_window):
        free = part == number
        if chosen:
            free &= starts > chosen[-1] + offsets[-1]
        best = ranking[free[ranking]]
        if len(best):
            chosen.append(int(starts[best[0]]))
    return chosen
