"""The index of a video: every packet of its video stream, found by demuxing alone.

Nothing is trusted that a header says about counts, rates or durations. A frame's number is the rank of
its timestamp among the packets that are presented, so it is the same for every reader of the file.
"""

from __future__ import annotations

import hashlib
import logging
from array import array
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from fractions import Fraction
from functools import cached_property
from pathlib import Path

import av
import numpy as np
from av.sidedata.sidedata import SideData
from av.video.frame import VideoFrame
from av.video.stream import VideoStream

from longtake.errors import FrameUnavailable, UnreadableVideo
from longtake.media import complaints
from longtake.media.container import open_video
from longtake.media.geometry import orientation
from longtake.media.h264 import FrameNumbers
from longtake.media.pictures import pictures_digest, scan_pictures

log = logging.getLogger(__name__)

PICTURE_RATE = 6.0  # of YouTube-VIS: every fifth frame of 30 a second
NO_PTS = np.iinfo(np.int64).min
KEY, DISCARD, CORRUPT, HIDDEN = 1, 2, 4, 8
# More packets than this share without a timestamp, and the numbering of frames would be a guess.
_UNTIMED_SHARE = 0.01
# Codecs keep at most 16 pictures waiting for their turn; more disorder is no reordering.
_REORDERED_PACKETS = 64
_DIGEST_BLOCKS, _DIGEST_BLOCK_BYTES = 16, 65536


@dataclass(frozen=True)
class StreamFacts:
    """What the container and the first decoded frame say; JSON-able but for nothing."""

    container: str
    codec: str
    pixel_format: str
    coded_width: int
    coded_height: int
    rotation: int  # clockwise degrees that turn stored pixels into display pixels
    mirrored: bool  # stored pixels are mirrored left to right before that turn
    colour_matrix: int  # ITU-T H.273 code; 2 = not said
    colour_range: int  # 0 not said, 1 limited, 2 full
    colour_primaries: int
    colour_transfer: int
    header_frames: int  # 0 where the header says nothing
    reason: str = ""  # what keeps frames out: an undecodable start, demuxing that ended early


def presentation_order(pts: np.ndarray, flags: np.ndarray) -> np.ndarray:
    """Return the packet (decode order) of each frame that is shown: (N,) int64, by presentation time.

    `pts` and `flags` are those of all packets, (P,), in decode order.
    """
    shown = np.flatnonzero((flags & (DISCARD | HIDDEN) == 0) & (pts != NO_PTS))
    return shown[np.argsort(pts[shown], kind="stable")]


@dataclass(frozen=True, eq=False)
class VideoIndex:
    """All packets of a video stream in decode order, and its frames in presentation order.

    Arrays ``packet_*`` have shape (P,), decode order; ``pts``, ``dts``, ``position``, ``size``, ``key``
    have shape (N,), presentation order. Times are int64 ticks of ``time_base`` seconds. About 80 bytes
    of memory a packet.
    """

    path: Path
    digest: str
    source_bytes: int
    time_base: Fraction
    facts: StreamFacts
    packet_pts: np.ndarray = field(repr=False)
    packet_dts: np.ndarray = field(repr=False)
    packet_position: np.ndarray = field(repr=False)
    packet_size: np.ndarray = field(repr=False)
    packet_flags: np.ndarray = field(repr=False)

    @cached_property
    def order(self) -> np.ndarray:
        """Packet (decode order) of each frame: (N,) int64, by presentation time."""
        return presentation_order(self.packet_pts, self.packet_flags)

    @cached_property
    def by_time(self) -> np.ndarray:
        """All packets sorted by timestamp: (P,) int64."""
        return np.argsort(self.packet_pts, kind="stable")

    @cached_property
    def sorted_pts(self) -> np.ndarray:
        return self.packet_pts[self.by_time]

    @cached_property
    def pts(self) -> np.ndarray:
        return self.packet_pts[self.order]

    @cached_property
    def keys(self) -> np.ndarray:
        """Packets from which decoding can start, discarded ones included: (K,) int64, decode order."""
        return np.flatnonzero((self.packet_flags & KEY != 0) & (self.packet_pts != NO_PTS))

    @property
    def dts(self) -> np.ndarray:
        return self.packet_dts[self.order]

    @property
    def position(self) -> np.ndarray:
        return self.packet_position[self.order]

    @property
    def size(self) -> np.ndarray:
        return self.packet_size[self.order]

    @property
    def key(self) -> np.ndarray:
        return self.packet_flags[self.order] & KEY != 0

    @property
    def n_frames(self) -> int:
        return len(self.order)

    @property
    def rotation(self) -> int:
        return self.facts.rotation

    @property
    def width(self) -> int:
        """Display width in pixels, after rotation."""
        return self.facts.coded_height if self.rotation in (90, 270) else self.facts.coded_width

    @property
    def height(self) -> int:
        """Display height in pixels, after rotation."""
        return self.facts.coded_width if self.rotation in (90, 270) else self.facts.coded_height

    @property
    def median_step(self) -> float:
        """Median ticks from a frame to the next; 0 for a single frame."""
        return float(np.median(np.diff(self.pts))) if self.n_frames > 1 else 0.0

    @property
    def duration_s(self) -> float:
        """Seconds from the first frame's start to the last one's end, which lasts the median step."""
        return float((int(self.pts[-1] - self.pts[0]) + self.median_step) * self.time_base)

    @property
    def fps(self) -> float:
        """Mean frames a second; 0 for a single frame."""
        span = int(self.pts[-1] - self.pts[0]) * self.time_base
        return float((self.n_frames - 1) / span) if span else 0.0

    @property
    def variable_rate(self) -> bool:
        """Whether frame steps differ by more than the container's rounding."""
        if self.n_frames < 3:
            return False
        steps, median = np.diff(self.pts), self.median_step
        return bool(np.any(np.abs(steps - median) > max(1.0, 0.01 * median)))

    def time_s(self, frame: int) -> float:
        """Seconds from the first presented frame to this one.

        Raises
        ------
        FrameUnavailable
            There is no such frame.
        """
        if not 0 <= frame < self.n_frames:
            raise FrameUnavailable(f"{self.path}: frame {frame} does not exist; frames are 0 to {self.n_frames - 1}.")
        return float(int(self.pts[frame] - self.pts[0]) * self.time_base)

    def frame_at(self, time_s: float) -> int:
        """The frame that is shown at a time: the last whose time is not later.

        Raises
        ------
        FrameUnavailable
            The time is negative or after the video's end.
        """
        ticks = time_s / float(self.time_base)
        end = self.duration_s / float(self.time_base)
        if not -0.5 <= ticks <= end + 0.5:
            raise FrameUnavailable(f"{self.path}: {time_s} s is outside the video, 0 to {self.duration_s:.3f} s.")
        # A hundredth of a tick forgives the rounding of seconds as floats.
        return max(0, int(np.searchsorted(self.pts, self.pts[0] + np.floor(ticks + 0.01), side="right")) - 1)

    def frames_between(self, start_s: float, stop_s: float, every: int = 1) -> np.ndarray:
        """Frames with start_s <= time < stop_s whose number is a multiple of ``every``: (n,) int64.

        The grid runs over the whole video, so overlapping windows share their frames.
        """
        ticks = np.array([start_s, stop_s]) / float(self.time_base)
        first, last = np.searchsorted(self.pts - self.pts[0], np.ceil(ticks - 0.01), side="left")
        first = -(-int(first) // every) * every
        return np.arange(first, int(last), every, dtype=np.int64)


def index_video(
    path: str | Path, progress: Callable[[int, int], None] | None = None, *, picture_rate: float = PICTURE_RATE
) -> VideoIndex:
    """Index a local video by demuxing it whole; only the first frame is decoded. A folder is taken for pictures.

    Memory: about 80 bytes a packet. Reads the whole file once.

    Parameters
    ----------
    path
        A local file; playlists and addresses are refused.
    progress
        Called with (bytes read, bytes in all) now and then.
    picture_rate
        Frames a second of a folder of pictures, which carry no times.

    Raises
    ------
    UnreadableVideo
        The file is no video, has no usable timestamps, or not one frame of it can be decoded.
    """
    path = Path(path)
    if path.is_dir():
        return _index_pictures(path, picture_rate)
    with open_video(path) as (container, stream):
        total = path.stat().st_size
        columns = tuple(array("q") for _ in range(5))
        first, reason = _demux(container, stream, columns, total, progress)
        if first is None or first.pts is None:
            raise UnreadableVideo(
                f"{path}: not one frame could be decoded ({reason or 'codec ' + stream.codec_context.name}). "
                "Check that the file plays, or re-encode it with ffmpeg."
            )
        facts = _stream_facts(path, container.format.name, stream, first, reason)
        first_pts = first.pts
        time_base = Fraction(stream.time_base or 1)
    pts, dts, position, size, flags = (np.frombuffer(column, dtype=np.int64).copy() for column in columns)
    flags = flags.astype(np.uint8)
    lost = _unreachable(path, pts, flags, first_pts)
    if lost.any():
        note = f"{np.count_nonzero(lost)} packets at the start cannot be decoded and are not counted"
        log.warning("%s: %s", path, note)
        facts = replace(facts, reason="; ".join(filter(None, (note, facts.reason))))
    flags |= np.uint8(HIDDEN) * (lost | _repeated(pts, flags, lost))
    index = VideoIndex(path, content_digest(path), total, time_base, facts, pts, dts, position, size, flags)
    if index.n_frames == 0:
        raise UnreadableVideo(f"{path}: no frame of it is presented (all are cut by its edit list).")
    return index


def _index_pictures(folder: Path, rate: float) -> VideoIndex:
    found = scan_pictures(folder, rate)
    facts = StreamFacts(**found.pop("facts"))
    return VideoIndex(folder, facts=facts, packet_flags=np.full(facts.header_frames, KEY, dtype=np.uint8), **found)


def _demux(
    container: av.container.InputContainer,
    stream: VideoStream,
    columns: tuple[array, ...],
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


def _stream_facts(path: Path, container: str, stream: VideoStream, first: VideoFrame, reason: str) -> StreamFacts:
    matrix = first.side_data.get("DISPLAYMATRIX")
    rotation, mirrored = 0, False
    if isinstance(matrix, SideData):
        try:
            rotation, mirrored = orientation(np.frombuffer(bytes(matrix), dtype="<i4").tolist())
        except ValueError as error:
            raise UnreadableVideo(f"{path}: {error}. Re-encode it with ffmpeg, which applies it.") from error
    return StreamFacts(
        container=container,
        codec=stream.codec_context.name,
        pixel_format=first.format.name,
        coded_width=first.width,
        coded_height=first.height,
        rotation=rotation,
        mirrored=mirrored,
        colour_matrix=int(first.colorspace),
        colour_range=int(first.color_range),
        colour_primaries=int(first.color_primaries),
        colour_transfer=int(first.color_trc),
        header_frames=int(stream.frames),
        reason=reason,
    )


def _unreachable(path: Path, pts: np.ndarray, flags: np.ndarray, first_pts: int) -> np.ndarray:
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


def _repeated(pts: np.ndarray, flags: np.ndarray, lost: np.ndarray) -> np.ndarray:
    """Which packets repeat a timestamp: (P,) bool. The first of them, in decode order, counts."""
    shown = np.flatnonzero((pts != NO_PTS) & ~lost & (flags & (DISCARD | HIDDEN) == 0))
    by_time = shown[np.argsort(pts[shown], kind="stable")]
    repeated = np.zeros(len(pts), dtype=bool)
    repeated[by_time[1:][np.diff(pts[by_time]) == 0]] = True
    return repeated


def content_digest(path: Path) -> str:
    """Digest of a file's size and of 16 blocks of 64 KiB spread over it; cheap whatever the size."""
    if path.is_dir():
        return pictures_digest(path)
    size = path.stat().st_size
    digest = hashlib.sha256(str(size).encode())
    step = max(0, size - _DIGEST_BLOCK_BYTES) / (_DIGEST_BLOCKS - 1)
    with path.open("rb") as file:
        for block in range(_DIGEST_BLOCKS):
            file.seek(round(block * step))
            digest.update(file.read(_DIGEST_BLOCK_BYTES))
    return digest.hexdigest()
