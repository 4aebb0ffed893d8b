"""The packets of a video stream, as the demuxer gives them: what each is, and which can be shown."""

from __future__ import annotations

import logging
from array import array
from collections.abc import Callable
from pathlib import Path

import av
import numpy as np
from av.video.frame import VideoFrame
from av.video.stream import VideoStream

from longtake.errors import UnreadableVideo
from longtake.media import complaints
from longtake.media.h264 import FrameNumbers
from longtake.media.sizes import Sizes

log = logging.getLogger(__name__)

NO_PTS = np.iinfo(np.int64).min
KEY, DISCARD, CORRUPT, HIDDEN = 1, 2, 4, 8
# More packets than this share without a timestamp, and the numbering of frames would be a guess.
_UNTIMED_SHARE = 0.01
# Codecs keep at most 16 pictures waiting for their turn; more disorder is no reordering.
_REORDERED_PACKETS = 64


def demux(
    container: av.container.InputContainer,
    stream: VideoStream,
    columns: tuple[array, ...],
    sizes: Sizes,
    *,
    total: int,
    progress: Callable[[int, int], None] | None,
) -> tuple[VideoFrame | None, str]:
    """Fill the columns pts, dts, position, size, flags; give the first frame and why it ended early."""
    first: VideoFrame | None = None
    reason = ""
    codec = stream.codec_context.name
    numbers = FrameNumbers(stream.codec_context.extradata) if codec == "h264" else None
    packets = container.demux(stream)
    while True:
        with complaints.capture() as logs:
            try:
                packet = next(packets, None)
            except (av.error.FFmpegError, OSError) as error:
                reason = f"demuxing stopped after {len(columns[0])} packets: {error}"
                log.warning("%s: %s", container.name, reason)
                break
        if packet is None:
            break
        # The demuxer lost its place: the packet before can be cut short, the next one follows a gap.
        damaged = complaints.is_error(logs)
        if damaged and columns[4]:
            columns[4][-1] |= CORRUPT
        if first is None:
            first = _first_frame(stream, packet)
        if packet.size == 0:
            continue
        if packet.is_keyframe and first is not None:
            sizes.look(packet, (first.width, first.height))
        # A keyframe starts afresh, whatever was lost before it.
        if numbers is not None and numbers.follows_gap(bytes(packet)) and not packet.is_keyframe:
            damaged = True
        flags = KEY * packet.is_keyframe | DISCARD * packet.is_discard | CORRUPT * (packet.is_corrupt or damaged)
        if codec == "vp8" and not bytes(packet)[0] & 0x10:
            flags |= HIDDEN  # RFC 6386, 9.1: show_frame = 0, decoded but never shown
        pts, dts, position = packet.pts, packet.dts, packet.pos
        columns[0].append(NO_PTS if pts is None else pts)
        columns[1].append(NO_PTS if dts is None else dts)
        columns[2].append(-1 if position is None else position)
        columns[3].append(packet.size)
        columns[4].append(flags)
        if progress is not None and len(columns[0]) % 5000 == 0:
            progress(max(0, min(columns[2][-1], total)), total)
    if progress is not None:
        progress(total, total)
    return first, reason


def _first_frame(stream: VideoStream, packet: av.Packet) -> VideoFrame | None:
    try:
        frames = stream.codec_context.decode(packet if packet.size else None)
    except (av.error.FFmpegError, EOFError):
        return None
    return next((frame for frame in frames if frame.pts is not None), None)


def unreachable(path: Path, pts: np.ndarray, flags: np.ndarray, first_pts: int) -> np.ndarray:
    """Which packets at the start no decoder can present: (P,) bool.

    Those before the first keyframe, or leading pictures of it whose references were cut away, are
    known by coming before the first frame that the decoder gave.
    """
    timed = pts != NO_PTS
    untimed = int(np.count_nonzero(~timed))
    if untimed > _UNTIMED_SHARE * len(pts):
        raise UnreadableVideo(
            f"{path}: {untimed} of {len(pts)} packets carry no timestamp, so frames cannot be found exactly. "
            "Re-encode it with ffmpeg."
        )
    keys = np.flatnonzero((flags & KEY != 0) & timed)
    if not len(keys):
        raise UnreadableVideo(f"{path}: no keyframe to start decoding from. Re-encode it with ffmpeg.")
    moved = int(np.abs(np.argsort(pts[timed], kind="stable") - np.arange(np.count_nonzero(timed))).max())
    if moved > _REORDERED_PACKETS:
        raise UnreadableVideo(
            f"{path}: its timestamps start over in the middle (recordings joined without rewriting them), so frames "
            "have no order. Rewrite them with `ffmpeg -i IN -c copy OUT.mkv`."
        )
    lost = np.arange(len(pts)) < keys[0]
    lost |= pts < pts[keys[0]]
    return lost & timed & (pts < first_pts)


def repeated_packets(pts: np.ndarray, flags: np.ndarray, lost: np.ndarray) -> np.ndarray:
    """Which packets repeat a timestamp: (P,) bool. The first of them, in decode order, counts."""
    shown = np.flatnonzero((pts != NO_PTS) & ~lost & (flags & (DISCARD | HIDDEN) == 0))
    by_time = shown[np.argsort(pts[shown], kind="stable")]
    repeated = np.zeros(len(pts), dtype=bool)
    repeated[by_time[1:][np.diff(pts[by_time]) == 0]] = True
    return repeated


def presentation_order(pts: np.ndarray, flags: np.ndarray) -> np.ndarray:
    """Return the packet (decode order) of each frame that is shown: (N,) int64, by presentation time.

    `pts` and `flags` are those of all packets, (P,), in decode order.
    """
    shown = np.flatnonzero((flags & (DISCARD | HIDDEN) == 0) & (pts != NO_PTS))
    return shown[np.argsort(pts[shown], kind="stable")]
