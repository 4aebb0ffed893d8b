"""The pixels, masks and motion of a window's clips, in one pass over the video.

Clips of several animals share frames. The video is read once, in order; a clip is handed on as soon as its last frame
has come, so that memory holds the clips that are open at the moment and no more.
"""

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from functools import partial

import numpy as np

from longtake import masks
from longtake.errors import FrameUnavailable
from longtake.gradients.clips import Clip, ObjectTrack, Region, crop, crop_mask
from longtake.gradients.motion import mean_over_mask, mean_over_region, motion_field
from longtake.media.flow import METHODS, Method
from longtake.media.index import VideoIndex
from longtake.media.reader import Frame, read_frames
from longtake.memory.ledger import holds, look
from longtake.status import Status


@dataclass
class GatheredClip:
    """A clip with all that was seen of it; lists have one entry per frame.

    Attributes
    ----------
    clip : as chosen; its status is lowered if frames were damaged or not to be had
    pixels : (T, h, w, 3) uint8 RGB at the model's size
    inside : the animal's mask (h, w) bool at the model's size, None where none is known
    motion_frame, motion_region, motion_object : source pixels per frame step; None on the first frame and, for the
        object, where no mask is known
    """

    clip: Clip
    pixels: np.ndarray
    inside: list[np.ndarray | None] = field(default_factory=list)
    time_s: list[float] = field(default_factory=list)
    motion_frame: list[float | None] = field(default_factory=list)
    motion_region: list[float | None] = field(default_factory=list)
    motion_object: list[float | None] = field(default_factory=list)
    n_tainted: int = 0

    @property
    def region(self) -> Region:
        if self.clip.region is None:
            raise ValueError(f"clip {self.clip.clip} of {self.clip.object} has no region: {self.clip.reason}")
        return self.clip.region


def gather_clips(
    index: VideoIndex,
    clips: Sequence[Clip],
    tracks: dict[str, ObjectTrack],
    *,
    input_size: Callable[[int, int], tuple[int, int]],
    flow_width: int,
    flow: Method = METHODS["dis"],
    progress: Callable[[int, int], None] | None = None,
) -> Iterator[GatheredClip]:
    """Read all `clips` (one stride for all, none of them failed) and yield each when its last frame has come.

    A clip with a frame that cannot be had is yielded failed, with that reason.

    Memory: one clip's pixels for each clip that is open, and `stride` + 1 source frames.
    """
    wanted = sorted({frame for clip in clips for frame in clip.frames})
    waiting = sorted(clips, key=lambda clip: (clip.frames[0], clip.object, clip.clip))
    stride = waiting[0].stride if waiting else 1
    opened: list[GatheredClip] = []
    recent: dict[int, np.ndarray] = {}
    with holds("frames", lambda: sum(each.nbytes for each in (*(entry.pixels for entry in opened), *recent.values()))):
        for done, (number, frame, reason) in enumerate(_each_frame(index, wanted), start=1):
            while waiting and waiting[0].frames[0] == number:
                opened.append(_open(waiting.pop(0), input_size))
            due = [entry for entry in opened if number in _rest(entry)]
            if frame is None:
                for entry in due:
                    opened.remove(entry)
                    yield replace(entry, clip=replace(entry.clip, status=Status.FAILED, reason=reason))
            else:
                recent = {at: pixels for at, pixels in recent.items() if at >= number - stride}
                previous = recent.get(number - stride)
                _add(due, frame, previous, tracks, partial(motion_field, width=flow_width, method=flow))
                recent[number] = frame.pixels
                look()
                for entry in due:
                    if len(entry.time_s) == len(entry.clip.frames):
                        opened.remove(entry)
                        yield _closed(entry)
            if progress is not None:
                progress(done, len(wanted))


def _each_frame(index: VideoIndex, wanted: list[int]) -> Iterator[tuple[int, Frame | None, str | None]]:
    """Every wanted frame, or None and the reason why it cannot be had."""
    place = 0
    while place < len(wanted):
        try:
            for frame in read_frames(index, wanted[place:]):
                place += 1
                yield frame.frame, frame, None
        except FrameUnavailable as error:
            place += 1
            yield wanted[place - 1], None, str(error)


def _open(clip: Clip, input_size: Callable[[int, int], tuple[int, int]]) -> GatheredClip:
    entry = GatheredClip(clip, np.empty(0, np.uint8))
    height, width = input_size(entry.region.height, entry.region.width)
    entry.pixels = np.empty((len(clip.frames), height, width, 3), np.uint8)
    return entry


def _rest(entry: GatheredClip) -> tuple[int, ...]:
    return entry.clip.frames[len(entry.time_s) :]


def _add(
    due: Iterable[GatheredClip],
    frame: Frame,
    previous: np.ndarray | None,
    tracks: dict[str, ObjectTrack],
    moving: Callable[[np.ndarray, np.ndarray], np.ndarray],
) -> None:
    """Append one frame to each of the clips that it belongs to; flow is computed once for all of them."""
    moved: np.ndarray | None = None
    source_height, source_width = frame.pixels.shape[:2]
    for entry in due:
        offset, (height, width) = len(entry.time_s), entry.pixels.shape[1:3]
        mask = _mask(tracks[entry.clip.object], frame.frame)
        entry.pixels[offset] = crop(frame.pixels, entry.region, height, width)
        entry.inside.append(None if mask is None else crop_mask(mask, entry.region, height, width))
        entry.time_s.append(frame.time_s)
        entry.n_tainted += frame.tainted
        if offset == 0 or previous is None:
            entry.motion_frame.append(None)
            entry.motion_region.append(None)
            entry.motion_object.append(None)
            continue
        if moved is None:
            moved = moving(previous, frame.pixels)
        entry.motion_frame.append(float(moved.mean(dtype=np.float64)))
        entry.motion_region.append(mean_over_region(moved, entry.region, source_height, source_width))
        entry.motion_object.append(None if mask is None else mean_over_mask(moved, mask))


def _mask(track: ObjectTrack, frame: int) -> np.ndarray | None:
    counts = track.masks.get(frame)
    return None if counts is None else masks.decode(counts, *track.size)


def _closed(entry: GatheredClip) -> GatheredClip:
    if not entry.n_tainted:
        return entry
    reasons = [entry.clip.reason] if entry.clip.reason else []
    reasons.append(f"{entry.n_tainted} of {len(entry.time_s)} frames follow a decoding error and may be damaged")
    return replace(entry, clip=replace(entry.clip, status=Status.APPROXIMATE, reason="; ".join(reasons)))
