"""Exact frames of a video, by number, in memory that does not depend on its length."""

from __future__ import annotations

import logging
import queue
import threading
from collections.abc import Callable, Generator, Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass

import numpy as np
from av.video.frame import VideoFrame
from av.video.reformatter import ColorRange, Colorspace, Interpolation

from longtake.errors import FrameUnavailable
from longtake.media.decode import Decoded, Decoder, decode_one
from longtake.media.index import VideoIndex
from longtake.media.intervals import Interval, plan_reads, start_packet
from longtake.media.pictures import CONTAINER, decode_pictures

log = logging.getLogger(__name__)

_HD_HEIGHT = 720
# ITU-T H.273 matrix coefficients to the names swscale knows.
_MATRICES = {
    1: Colorspace.ITU709,
    4: Colorspace.FCC,
    5: Colorspace.ITU601,
    6: Colorspace.ITU601,
    7: Colorspace.SMPTE240M,
    9: Colorspace.BT2020,
    10: Colorspace.BT2020,
}
_RETRIES = 3
_QUEUE_FRAMES = 2


@dataclass(frozen=True, eq=False)
class Frame:
    """A frame in display orientation.

    Attributes
    ----------
    frame
        Its number in presentation order.
    time_s
        Seconds since the first presented frame.
    pixels
        (h, w, 3) uint8 RGB, contiguous.
    tainted
        Damage between the keyframe and this frame can have changed its pixels: packets that are corrupt, lost
        (by the demuxer's word, or by the numbering of H.264 pictures), refused or complained of by the decoder.
        Noise that happens to parse as video is beyond what any reader can notice.
    """

    frame: int
    time_s: float
    pixels: np.ndarray
    tainted: bool


@dataclass(frozen=True)
class Missing:
    """A frame that does not decode, and why."""

    frame: int
    reason: str


def read_frames(
    index: VideoIndex,
    frames: Sequence[int],
    *,
    size: tuple[int, int] | None = None,
    threads: int = 1,
    on_missing: Callable[[int, str], None] | None = None,
) -> Iterator[Frame]:
    """Read frames by number, each matched by its timestamp and never by counting.

    Memory: the pictures one decoder refers to, times ``threads``, and at most 3 converted frames a thread.

    Parameters
    ----------
    index
        Of the video, from ``index_video`` or ``load_index``.
    frames
        Frame numbers, strictly ascending.
    size
        (width, height) of the output in display orientation, scaled inside the colour conversion;
        default the display size.
    threads
        Decoders that work on disjoint groups of pictures at once, each with one thread.
    on_missing
        Called with (frame, reason) for a frame that does not decode, which is then left out; by default
        such a frame raises.

    Raises
    ------
    FrameUnavailable
        A frame does not exist; or, without ``on_missing``, does not decode even from earlier keyframes.
    ValueError
        The frames do not ascend, or the size is no size.
    """
    intervals = plan_reads(index, frames)
    scale = size or (index.width, index.height)
    if min(scale) < 1:
        raise ValueError(f"{index.path}: frames cannot be scaled to {scale[0]} x {scale[1]} pixels.")
    results: Generator[Frame | Missing]
    if index.facts.container == CONTAINER:
        results = _read_pictures(index, frames, scale)
    elif threads > 1 and len(intervals) > 1:
        results = _read_parallel(index, intervals, scale, min(threads, len(intervals)))
    else:
        results = _read_serial(index, intervals, scale)
    return _deliver(results, on_missing)


def _deliver(results: Generator[Frame | Missing], on_missing: Callable[[int, str], None] | None) -> Iterator[Frame]:
    with closing(results):
        for result in results:
            if isinstance(result, Frame):
                yield result
            elif on_missing is None:
                raise FrameUnavailable(result.reason)
            else:
                on_missing(result.frame, result.reason)


def _read_pictures(index: VideoIndex, frames: Sequence[int], size: tuple[int, int]) -> Generator[Frame | Missing]:
    for frame, found in decode_pictures(index.path, (index.width, index.height), map(int, frames), size):
        if isinstance(found, str):
            yield Missing(frame, found)
        else:
            yield Frame(frame, index.time_s(frame), found, tainted=False)


def _read_serial(index: VideoIndex, intervals: Sequence[Interval], size: tuple[int, int]) -> Generator[Frame | Missing]:
    with Decoder(index) as decoder:
        for interval in intervals:
            for result in _complete(decoder, interval):
                yield result if isinstance(result, Missing) else _convert(index, result, size)


def _complete(decoder: Decoder, interval: Interval) -> Iterator[Decoded | Missing]:
    """All frames of an interval in order; one that the decoder passed over is retried, never replaced."""
    index = decoder.index
    waiting = list(reversed(interval.frames))
    hopeless: set[int] = set()
    for decoded in decoder.decode(interval):
        while waiting and waiting[-1] < decoded.frame:
            yield _retry(index, waiting.pop(), hopeless)
        if waiting and waiting[-1] == decoded.frame:
            waiting.pop()
            yield decoded
    while waiting:
        yield _retry(index, waiting.pop(), hopeless)


def _retry(index: VideoIndex, frame: int, hopeless: set[int]) -> Decoded | Missing:
    """Decode one frame alone, from ever earlier keyframes; ``hopeless`` are keyframes that failed before."""
    starts = dict.fromkeys(start_packet(index, frame, earlier) for earlier in range(_RETRIES + 1))
    nearest = next(iter(starts))
    for first in starts if nearest not in hopeless else ():
        decoded = decode_one(index, frame, first)
        if decoded is not None:
            log.info("%s: frame %d decoded from packet %d", index.path, frame, first)
            return decoded
    hopeless.add(nearest)
    reason = (
        f"{index.path}: frame {frame} (at {index.time_s(frame):.3f} s) does not decode from any of {len(starts)} "
        "keyframes before it; the file is damaged there. Leave the span out or repair the file."
    )
    return Missing(frame, reason)


def _convert(index: VideoIndex, decoded: Decoded, size: tuple[int, int]) -> Frame | Missing:
    picture = decoded.picture
    facts = index.facts
    if (picture.width, picture.height) != (facts.coded_width, facts.coded_height):
        reason = (
            f"{index.path}: frame {decoded.frame} has {picture.width} x {picture.height} pixels where the video began "
            f"with {facts.coded_width} x {facts.coded_height}. Split or re-encode it to one size."
        )
        return Missing(decoded.frame, reason)
    geometry = facts.geometry
    width, height = geometry.before_turning(size)
    rgb = picture.reformat(
        width=width,
        height=height,
        format="rgb24",
        src_colorspace=_matrix(picture, facts.coded_width, facts.coded_height),
        src_color_range=_range(picture),
        dst_color_range=ColorRange.JPEG,
        interpolation=Interpolation.BILINEAR,
        threads=1,
    )
    pixels = geometry.to_display(rgb.to_ndarray())
    return Frame(decoded.frame, index.time_s(decoded.frame), pixels, decoded.tainted)


def _matrix(picture: VideoFrame, width: int, height: int) -> Colorspace:
    """The tagged matrix; untagged video of 720 lines or more is BT.709, smaller is BT.601."""
    tagged = _MATRICES.get(int(picture.colorspace))
    if tagged is not None:
        return tagged
    return Colorspace.ITU709 if min(width, height) >= _HD_HEIGHT else Colorspace.ITU601


def _range(picture: VideoFrame) -> ColorRange:
    if int(picture.color_range) == int(ColorRange.JPEG) or picture.format.name.startswith("yuvj"):
        return ColorRange.JPEG
    return ColorRange.JPEG if picture.format.is_rgb else ColorRange.MPEG


def _read_parallel(
    index: VideoIndex, intervals: Sequence[Interval], size: tuple[int, int], threads: int
) -> Generator[Frame | Missing]:
    """Interval i goes to worker i mod threads; frames come in order through one short queue a worker."""
    queues: list[queue.Queue[Frame | Missing | Exception]] = [queue.Queue(_QUEUE_FRAMES) for _ in range(threads)]
    stop = threading.Event()
    workers = [
        threading.Thread(target=_work, args=(index, intervals[k::threads], size, queues[k], stop), daemon=True)
        for k in range(threads)
    ]
    for worker in workers:
        worker.start()
    try:
        for number, interval in enumerate(intervals):
            for _ in interval.frames:
                result = queues[number % threads].get()
                if isinstance(result, Exception):
                    raise result
                yield result
    finally:
        stop.set()
        for worker in workers:
            worker.join()


def _work(
    index: VideoIndex,
    intervals: Sequence[Interval],
    size: tuple[int, int],
    out: queue.Queue[Frame | Missing | Exception],
    stop: threading.Event,
) -> None:
    """Fill a queue until done or told to stop; an error goes to the consumer, who raises it."""
    with closing(_read_serial(index, intervals, size)) as results:
        try:
            for result in results:
                if not _put(out, result, stop):
                    return
        except Exception as error:
            _put(out, error, stop)


def _put(
    out: queue.Queue[Frame | Missing | Exception], item: Frame | Missing | Exception, stop: threading.Event
) -> bool:
    while not stop.is_set():
        try:
            out.put(item, timeout=0.1)
        except queue.Full:
            continue
        return True
    return False
