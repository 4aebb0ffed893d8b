"""Exact frames of a video, by number, in memory that does not depend on its length."""

from __future__ import annotations

import logging
import queue
import threading
from collections.abc import Generator, Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from av.video.frame import VideoFrame
from av.video.reformatter import ColorRange, Colorspace, Interpolation

from longtake.errors import FrameUnavailable
from longtake.media.decode import Decoded, Decoder, decode_one
from longtake.media.geometry import to_display
from longtake.media.index import VideoIndex
from longtake.media.plan import Interval, plan_reads, start_packet

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
        A decoding error between the keyframe and this frame can have changed its pixels.
    """

    frame: int
    time_s: float
    pixels: np.ndarray
    tainted: bool


def read_frames(
    index: VideoIndex, frames: Sequence[int], *, size: tuple[int, int] | None = None, threads: int = 1
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

    Raises
    ------
    FrameUnavailable
        A frame does not exist or does not decode, even from earlier keyframes. The frames before it
        have been given; a new call with the frames after it goes on.
    ValueError
        The frames do not ascend.
    """
    intervals = plan_reads(index, frames)
    scale = size or (index.width, index.height)
    if min(scale) < 1:
        raise ValueError(f"{index.path}: frames cannot be scaled to {scale[0]} x {scale[1]} pixels.")
    if threads > 1 and len(intervals) > 1:
        return _read_parallel(index, intervals, scale, min(threads, len(intervals)))
    return _read_serial(index, intervals, scale)


def _read_serial(index: VideoIndex, intervals: Sequence[Interval], size: tuple[int, int]) -> Generator[Frame]:
    with Decoder(index) as decoder:
        for interval in intervals:
            for decoded in complete(decoder, interval):
                yield _convert(index, decoded, size)


def complete(decoder: Decoder, interval: Interval) -> Iterator[Decoded]:
    """All frames of an interval in order; one that the decoder passed over is retried, never replaced."""
    index = decoder.index
    missing = list(reversed(interval.frames))
    for decoded in decoder.decode(interval):
        while missing and missing[-1] < decoded.frame:
            yield _retry(index, missing.pop())
        if missing and missing[-1] == decoded.frame:
            missing.pop()
            yield decoded
    while missing:
        yield _retry(index, missing.pop())


def _retry(index: VideoIndex, frame: int) -> Decoded:
    reached = set()
    for earlier in range(_RETRIES + 1):
        first = start_packet(index, frame, earlier)
        if first in reached:
            break
        reached.add(first)
        try:
            decoded = decode_one(index, frame, first)
        except FrameUnavailable:
            continue
        log.info("%s: frame %d decoded from %d keyframes earlier", index.path, frame, earlier)
        return decoded
    raise FrameUnavailable(
        f"{index.path}: frame {frame} (at {index.time_s(frame):.3f} s) does not decode from any of {len(reached)} "
        "keyframes before it; the file is damaged there. Leave the span out or repair the file."
    )


def _convert(index: VideoIndex, decoded: Decoded, size: tuple[int, int]) -> Frame:
    picture = decoded.picture
    facts = index.facts
    if (picture.width, picture.height) != (facts.coded_width, facts.coded_height):
        raise FrameUnavailable(
            f"{index.path}: frame {decoded.frame} has {picture.width} x {picture.height} pixels where the video began "
            f"with {facts.coded_width} x {facts.coded_height}. Split or re-encode it to one size."
        )
    width, height = size if facts.rotation in (0, 180) else size[::-1]
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
    pixels = to_display(rgb.to_ndarray(), facts.rotation, facts.mirrored)
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


class _Stopped(Exception):
    """The consumer went away."""


def _read_parallel(
    index: VideoIndex, intervals: Sequence[Interval], size: tuple[int, int], threads: int
) -> Iterator[Frame]:
    """Interval i goes to worker i mod threads; frames come in order through one short queue a worker."""
    queues: list[queue.Queue[Frame | Exception | None]] = [queue.Queue(_QUEUE_FRAMES) for _ in range(threads)]
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
                item = queues[number % threads].get()
                if isinstance(item, Exception):
                    raise item
                if item is not None:
                    yield item
    finally:
        stop.set()
        for worker in workers:
            worker.join()


def _work(
    index: VideoIndex,
    intervals: Sequence[Interval],
    size: tuple[int, int],
    out: queue.Queue[Frame | Exception | None],
    stop: threading.Event,
) -> None:
    def put(item: Frame | Exception) -> None:
        while not stop.is_set():
            try:
                return out.put(item, timeout=0.1)
            except queue.Full:
                continue
        raise _Stopped

    frames = _read_serial(index, intervals, size)
    try:
        for frame in frames:
            put(frame)
    except _Stopped:
        return
    except Exception as error:  # noqa: BLE001 - handed to the consumer, who raises it
        try:
            put(error)
        except _Stopped:
            log.debug("%s: reading stopped before an error was seen: %s", index.path, error)
    finally:
        frames.close()
