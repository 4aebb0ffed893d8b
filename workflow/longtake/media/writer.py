"""Writing H.264 MP4 frame by frame, with the timestamps of the source."""

from __future__ import annotations

from collections.abc import Iterable
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
from av.container import OutputContainer
from av.video.frame import VideoFrame
from av.video.reformatter import ColorPrimaries, ColorRange, Colorspace, ColorTrc
from av.video.stream import VideoStream

from longtake.errors import MediaError
from longtake.store.atomic import atomic_path


def write_video(
    path: str | Path,
    frames: Iterable[tuple[int, np.ndarray]],
    *,
    time_base: Fraction,
    width: int,
    height: int,
    crf: int = 18,
    preset: str = "veryfast",
    keyframe_interval: int = 60,
) -> int:
    """Encode RGB frames as H.264 yuv420p MP4 (BT.709, limited range), whole by rename.

    Memory: the encoder's look-ahead, whatever the length.

    Parameters
    ----------
    path
        Of the MP4.
    frames
        (pts, pixels): pts int in ticks of ``time_base``, strictly ascending; pixels (height, width, 3) uint8 RGB.
    time_base
        Seconds a tick, of the source where its timestamps are kept.
    width, height
        Of the pixels. 4:2:0 needs even sizes: an odd one is padded by repeating the last column or row.
    crf, preset, keyframe_interval
        Of x264: quality (0 lossless to 51), effort, and the most frames between keyframes.

    Returns
    -------
    int
        Frames written.

    Raises
    ------
    MediaError
        A frame's size or type is another, timestamps do not ascend, or there are no frames.
    """
    path = Path(path)
    time_base = Fraction(time_base)
    count = 0
    previous: int | None = None
    with (
        atomic_path(path) as temporary,
        av.open(str(temporary), "w", format="mp4", options={"movflags": "+faststart"}) as container,
    ):
        stream = _add_stream(container, (width, height), time_base, {"crf": str(crf), "preset": preset})
        stream.codec_context.gop_size = keyframe_interval
        for pts, pixels in frames:
            step = 1 if previous is None else pts - previous
            if step <= 0:
                raise MediaError(f"{path}: timestamps must ascend, but {pts} follows {previous}.")
            picture = _picture(path, pixels, width, height)
            picture.pts, picture.time_base, picture.duration = pts, time_base, step
            container.mux(stream.encode(picture))
            previous, count = pts, count + 1
        if not count:
            raise MediaError(f"{path}: no frames to write.")
        container.mux(stream.encode(None))
    return count


def _add_stream(
    container: OutputContainer, size: tuple[int, int], time_base: Fraction, options: dict[str, str]
) -> VideoStream:
    width, height = size
    stream = container.add_stream("libx264", rate=30, options=options)
    stream.width, stream.height = width + width % 2, height + height % 2
    stream.pix_fmt = "yuv420p"
    context = stream.codec_context
    context.time_base = stream.time_base = time_base
    context.thread_count = 1
    context.colorspace, context.color_range = Colorspace.ITU709, ColorRange.MPEG
    context.color_primaries, context.color_trc = ColorPrimaries.BT709, ColorTrc.BT709
    return stream


def _picture(path: Path, pixels: np.ndarray, width: int, height: int) -> VideoFrame:
    if pixels.shape != (height, width, 3) or pixels.dtype != np.uint8:
        raise MediaError(
            f"{path}: a frame is {pixels.shape} {pixels.dtype}, but ({height}, {width}, 3) uint8 was declared."
        )
    pad = ((0, height % 2), (0, width % 2), (0, 0))
    padded = np.pad(pixels, pad, mode="edge") if height % 2 or width % 2 else np.ascontiguousarray(pixels)
    return VideoFrame.from_ndarray(padded, format="rgb24").reformat(
        format="yuv420p",
        dst_colorspace=Colorspace.ITU709,
        src_color_range=ColorRange.JPEG,
        dst_color_range=ColorRange.MPEG,
        threads=1,
    )
