"""Which frames of a video a clip holds, by time, and how they are brought to one size."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import cv2
import numpy as np

from longtake.errors import FrameUnavailable, UnreadableVideo
from longtake.media.index import VideoIndex
from longtake.media.reader import read_frames

FITS = ("letterbox", "crop")


@dataclass(frozen=True)
class Sampling:
    """How clips are taken: `frames` a clip, `size` its side in pixels, `fit` and `short` as in the settings."""

    frames: int
    size: int
    fit: str = "letterbox"
    short: str = "refuse"

    @property
    def name(self) -> str:
        """What the tables call clips of this length and size."""
        return f"{self.frames}x{self.size}"


@dataclass(frozen=True, eq=False)
class Clip:
    """The sampled frames of a video, before any border is added.

    Attributes
    ----------
    pixels : (T, h, w, 3) uint8 RGB; the picture alone, so that augmentations never move its borders
    frames : number of each frame in the video, ascending; repeated where the video is shorter than the clip
    tainted : how many of them damage in the file can have changed
    """

    pixels: np.ndarray
    frames: tuple[int, ...]
    tainted: int


def sample_times(duration_s: float, count: int) -> np.ndarray:
    """Return the `count` times i * D / k in seconds, (k,) float64."""
    return np.arange(count) * (duration_s / count)


def frame_numbers(index: VideoIndex, count: int) -> list[int]:
    """Return which frame is shown at each of `count` uniform times; D is the end of the last frame.

    By timestamps, not by counting: a video of variable rate gives frames evenly spaced in time.
    """
    ticks = float(index.time_base)
    shown_at = (np.asarray(index.pts) - index.pts[0]) * ticks
    # Half a tick, or a time that falls on a frame's own timestamp would find the one before it by rounding.
    times = sample_times(index.duration_s, count) + ticks / 2
    return [int(number) for number in np.searchsorted(shown_at, times, side="right") - 1]


def read_clip(index: VideoIndex, sampling: Sampling) -> Clip:
    """Read the sampled frames, scaled as `sampling` has it.

    Memory: the clip, and what one decoder holds; never the video.

    Raises
    ------
    UnreadableVideo
        The video has fewer frames than the clip and `short` is ``refuse``, or a frame does not decode.
    """
    numbers = frame_numbers(index, sampling.frames)
    distinct = sorted(set(numbers))
    if len(distinct) < sampling.frames and sampling.short == "refuse":
        raise UnreadableVideo(
            f"{index.path}: {sampling.frames} uniform times show {len(distinct)} different frames of {index.n_frames}. "
            "Set training.frames lower, or training.short to 'repeat', which marks such videos approximate."
        )
    try:
        read = {each.frame: each for each in read_frames(index, distinct, size=_scaled(index, sampling))}
    except FrameUnavailable as error:
        raise UnreadableVideo(str(error)) from error
    pixels = np.stack([_cropped(read[number].pixels, sampling) for number in numbers])
    return Clip(pixels, tuple(numbers), sum(each.tainted for each in read.values()))


def _scaled(index: VideoIndex, sampling: Sampling) -> tuple[int, int]:
    """Width and height that frames are decoded at: the longer side for a letterbox, the shorter for a crop."""
    side = max(index.width, index.height) if sampling.fit == "letterbox" else min(index.width, index.height)
    factor = sampling.size / side
    return max(1, round(index.width * factor)), max(1, round(index.height * factor))


def _cropped(pixels: np.ndarray, sampling: Sampling) -> np.ndarray:
    if sampling.fit == "letterbox":
        return pixels
    top, left = ((side - sampling.size) // 2 for side in pixels.shape[:2])
    return pixels[top : top + sampling.size, left : left + sampling.size]


def bordered(pixels: np.ndarray, size: int) -> np.ndarray:
    """Centre frames (T, h, w, 3) in black squares: (T, size, size, 3) uint8."""
    height, width = pixels.shape[1:3]
    top, left = (size - height) // 2, (size - width) // 2
    square = np.zeros((len(pixels), size, size, 3), np.uint8)
    square[:, top : top + height, left : left + width] = pixels
    return square


def thumbnails(pixels: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    """Return the frames (T, h, w, 3) as grey pictures (T, size[1], size[0]) float32, by area."""
    grey: Sequence[np.ndarray] = [
        cv2.resize(cv2.cvtColor(frame, cv2.COLOR_RGB2GRAY).astype(np.float32), size, interpolation=cv2.INTER_AREA)
        for frame in pixels
    ]
    return np.stack(grey)
