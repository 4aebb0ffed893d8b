"""Writing H.264 MP4 frame by frame, with the timestamps of the source."""

from __future__ import annotations

from collections.abc import Iterable
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
from av.container import OutputContainer
from av.packet import Packet
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
    end: int | None = None,
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
    end
        Until when (in ticks) the last frame is shown; by default as long as the one before it.

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
    shown = _Shown()
    with (
        atomic_path(path) as temporary,
        av.open(str(temporary), "w", format="mp4", options={"movflags": "+faststart"}) as container,
    ):
        # MP4 times frames in the order of decoding: only where that is the order of showing, too, can the last one have
        # a time of its own.
        options = {"crf": str(crf), "preset": preset} | ({} if end is None else {"bf": "0"})
        stream = _add_stream(container, (width, height), time_base, options)
        stream.codec_context.gop_size = keyframe_interval
        for pts, pixels in frames:
            step = shown.add(pts)
            if step <= 0:
                raise MediaError(f"{path}: timestamps must ascend, but {pts} follows {pts - step}.")
            picture = _picture(path, pixels, width, height)
            picture.pts, picture.time_base, picture.duration = pts, time_base, step
            container.mux(shown.timed(stream.encode(picture)))
        if not shown.count:
            raise MediaError(f"{path}: no frames to write.")
        shown.finish(end)
        container.mux(shown.timed(stream.encode(None)))
    return shown.count


class _Shown:
    """How long each frame is shown. The encoder supposes a constant rate, and players believe it of the last frame."""

    def __init__(self) -> None:
        self.count = 0
        self._last: int | None = None
        self._step = 1
        self._ticks: dict[int, int] = {}

    def add(self, pts: int) -> int:
        """Take note of a frame, and return the ticks since the one before; 1 for the first."""
        if self._last is not None:
            self._step = self._ticks[self._last] = pts - self._last
        self._last, self.count = pts, self.count + 1
        return self._step

    def finish(self, end: int | None) -> None:
        """Say that there are no more frames, and until when the last one is shown."""
        if self._last is not None:
            self._ticks[self._last] = max(1, end - self._last) if end is not None else self._step

    def timed(self, packets: list[Packet]) -> list[Packet]:
        """Tell packets how long they are shown."""
        for packet in packets:
            if packet.pts is not None:
                packet.duration = self._ticks.pop(packet.pts, self._step)
        return packets


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
