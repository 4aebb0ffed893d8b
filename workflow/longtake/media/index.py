"""The index of a video: every packet of its video stream, found by demuxing alone.

Nothing is trusted that a header says about counts, rates or durations. A frame's number is the rank of
its timestamp among the packets that are presented, so it is the same for every reader of the file.
"""

from __future__ import annotations

import hashlib
import logging
from array import array
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from fractions import Fraction
from functools import cached_property
from pathlib import Path

import numpy as np
from av.container import InputContainer
from av.sidedata.sidedata import SideData
from av.video.frame import VideoFrame
from av.video.stream import VideoStream

from longtake.errors import FrameUnavailable, UnreadableVideo
from longtake.media.aperture import refuse_cropped
from longtake.media.container import open_video, video_streams
from longtake.media.geometry import Geometry, orientation, pixel_aspect
from longtake.media.packets import (
    CORRUPT,
    DISCARD,
    HIDDEN,
    KEY,
    NO_PTS,
    demux,
    presentation_order,
    repeated_packets,
    unreachable,
)
from longtake.media.pictures import scan_pictures
from longtake.media.sizes import Sizes
from longtake.sources import content_digest, stamp

log = logging.getLogger(__name__)

PICTURE_RATE = 6.0  # of YouTube-VIS: every fifth frame of 30 a second
# A recorder's slip repeats a few; more, and the container's clock is too coarse for the frames.
_REPEATED_SHARE = 0.01
# Less than this is what encoders put before the sound to get started.
_SOUND_OFFSET_S = 0.05

__all__ = ["CORRUPT", "DISCARD", "HIDDEN", "KEY", "NO_PTS", "PICTURE_RATE", "StreamFacts", "VideoIndex", "index_video"]


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
    reason: str = ""  # what keeps frames out, and what else a reader of the tables should know
    pixel_aspect: str = "1"  # width of a stored pixel over its height, "4/3"
    stream: int = 0  # which of the file's video streams, counted from 0
    video_streams: int = 1
    repeated_timestamps: int = 0  # pictures that have the timestamp of another and are left out
    sound_offset_s: float | None = None  # of the first sound after the first picture; None without sound

    @property
    def geometry(self) -> Geometry:
        """How stored pixels become displayed ones."""
        aspect = Fraction(self.pixel_aspect)
        return Geometry(self.coded_width, self.coded_height, aspect, self.rotation, self.mirrored)


@dataclass(frozen=True, eq=False)
class VideoIndex:
    """All packets of a video stream in decode order, and its frames in presentation order.

    Arrays ``packet_*`` have shape (P,), decode order; ``pts``, ``dts``, ``position``, ``size``, ``key``
    have shape (N,), presentation order. Times are int64 ticks of ``time_base`` seconds. About 80 bytes
    of memory a packet. ``digest`` stands for the frames: for the bytes of the source, its stream and its clock.
    ``content`` is the digest of the bytes alone, ``stamp`` what the disk said of them (`longtake.sources`).
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
    content: str = ""
    stamp: str = ""

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
        """Display width in square pixels, after rotation."""
        return self.facts.geometry.size[0]

    @property
    def height(self) -> int:
        """Display height in square pixels, after rotation."""
        return self.facts.geometry.size[1]

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
    path: str | Path,
    progress: Callable[[int, int], None] | None = None,
    *,
    picture_rate: float = PICTURE_RATE,
    stream: int | None = None,
) -> VideoIndex:
    """Index a local video by demuxing it whole; only the first frame is decoded. A folder is taken for pictures.

    Memory: about 80 bytes a packet. Reads the whole file twice, to find its packets and to digest it.

    Parameters
    ----------
    path
        A local file; playlists and addresses are refused.
    progress
        Called with (bytes read, bytes in all) now and then.
    picture_rate
        Frames a second of a folder of pictures, which carry no times.
    stream
        Which video stream of a file that has several, counted from 0; default its main one.

    Raises
    ------
    UnreadableVideo
        The file is no video, has no usable timestamps, or not one frame of it can be decoded; its pictures change their
        size; or many of them share a timestamp.
    """
    path = Path(path)
    seen = stamp(path)
    index = _index_pictures(path, picture_rate) if path.is_dir() else _index_file(path, progress, stream)
    if index.n_frames == 0:
        raise UnreadableVideo(f"{path}: no frame of it is presented (all are cut by its edit list).")
    content = content_digest(path)
    frames = hashlib.sha256(f"{content} {index.facts.stream} {index.time_base}".encode()).hexdigest()
    return replace(index, digest=frames, content=content, stamp=seen)


def _index_file(path: Path, progress: Callable[[int, int], None] | None, number: int | None) -> VideoIndex:
    with open_video(path, number) as (container, stream):
        total = path.stat().st_size
        columns = tuple(array("q") for _ in range(5))
        sizes = Sizes(stream)
        first, reason = demux(container, stream, columns, sizes, total=total, progress=progress)
        if first is None or first.pts is None:
            raise UnreadableVideo(
                f"{path}: not one frame could be decoded ({reason or 'codec ' + stream.codec_context.name}). "
                "Check that the file plays, or re-encode it with ffmpeg."
            )
        first_pts, interlaced = first.pts, first.interlaced_frame
        time_base = Fraction(stream.time_base or 1)
        _refuse_sizes(path, sizes, first, time_base)
        refuse_cropped(path, (first.width, first.height))
        facts = _stream_facts(path, container, stream, first)
    pts, dts, position, size, flags = (np.frombuffer(column, dtype=np.int64).copy() for column in columns)
    flags = flags.astype(np.uint8)
    lost = unreachable(path, pts, flags, first_pts)
    repeated = repeated_packets(pts, flags, lost)
    flags |= np.uint8(HIDDEN) * (lost | repeated)
    notes = []
    if lost.any():
        notes.append(f"{np.count_nonzero(lost)} packets at the start cannot be decoded and are not counted")
    notes += [_told_repeated(path, repeated, flags, time_base, interlaced), _told_sound(facts), _told_streams(facts)]
    notes += _told_display(facts)
    told = "; ".join(filter(None, [*notes, reason]))
    if told:
        log.warning("%s: %s", path, told)
    facts = replace(facts, reason=told, repeated_timestamps=int(np.count_nonzero(repeated)))
    return VideoIndex(path, "", total, time_base, facts, pts, dts, position, size, flags)


def _index_pictures(folder: Path, rate: float) -> VideoIndex:
    found = scan_pictures(folder, rate)
    facts = StreamFacts(**found.pop("facts"))
    flags = np.full(facts.header_frames, KEY, dtype=np.uint8)
    return VideoIndex(folder, "", facts=facts, packet_flags=flags, **found)


def _refuse_sizes(path: Path, sizes: Sizes, first: VideoFrame, time_base: Fraction) -> None:
    if sizes.other is None:
        return
    began = first.pts or 0
    when = f" (from {float((sizes.other_pts - began) * time_base):.3f} s on)" if sizes.other_pts is not None else ""
    raise UnreadableVideo(
        f"{path}: the size of its pictures changes from {first.width} x {first.height} to {sizes.other[0]} x "
        f"{sizes.other[1]}{when}; {sizes.others} keyframes are of another size. Split it there, or re-encode it to one "
        "size with ffmpeg."
    )


def _told_repeated(path: Path, repeated: np.ndarray, flags: np.ndarray, tick: Fraction, interlaced: bool) -> str:
    count, shown = int(np.count_nonzero(repeated)), int(np.count_nonzero(flags & (DISCARD | HIDDEN) == 0))
    if not count:
        return ""
    told = f"{count} of {count + shown} pictures have the timestamp of another"
    # The second field of an interlaced picture may come as a packet of its own, and is no picture.
    if count > _REPEATED_SHARE * (count + shown) and not interlaced:
        raise UnreadableVideo(
            f"{path}: {told}, since the file counts time in steps of {tick} s; they cannot be told apart and would be "
            "lost. Take the recording from before it was put into this container, and put it into MP4, which counts "
            "finer: `ffmpeg -i ORIGINAL -c copy OUT.mp4`."
        )
    return f"{told} and are left out"


def _told_display(facts: StreamFacts) -> Iterator[str]:
    stored = f"{facts.coded_width} x {facts.coded_height}"
    if facts.geometry.pixel_aspect != 1:
        wide, tall = facts.geometry.size
        words = f"{stored} stored, shown and counted as {wide} x {tall}"
        yield f"its pixels are {facts.pixel_aspect} times as wide as high: {words}"


def _told_sound(facts: StreamFacts) -> str:
    offset = facts.sound_offset_s
    if offset is None or abs(offset) < _SOUND_OFFSET_S:
        return ""
    when = "before" if offset < 0 else "after"
    return f"its sound starts {abs(offset):.3f} s {when} the first picture, from which times are counted"


def _told_streams(facts: StreamFacts) -> str:
    if facts.video_streams == 1:
        return ""
    return f"{facts.video_streams} video streams, of which number {facts.stream} is taken (column stream of the sheet)"


def _stream_facts(path: Path, container: InputContainer, stream: VideoStream, first: VideoFrame) -> StreamFacts:
    matrix = first.side_data.get("DISPLAYMATRIX")
    rotation, mirrored = 0, False
    try:
        aspect = pixel_aspect(stream.sample_aspect_ratio)
        if isinstance(matrix, SideData):
            rotation, mirrored = orientation(np.frombuffer(bytes(matrix), dtype="<i4").tolist())
    except ValueError as error:
        raise UnreadableVideo(f"{path}: {error}. Re-encode it with ffmpeg, which applies it.") from error
    streams = video_streams(container)
    return StreamFacts(
        container=container.format.name,
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
        pixel_aspect=str(aspect),
        stream=[each.index for each in streams].index(stream.index),
        video_streams=len(streams),
        sound_offset_s=_sound_offset(container, stream, first),
    )


def _sound_offset(container: InputContainer, stream: VideoStream, first: VideoFrame) -> float | None:
    """Seconds from the first picture to the first sound, negative where the sound comes first; None without sound."""
    starts = [
        (each.start_time or 0) * (each.time_base or 1)
        for each in container.streams.audio
        if each.start_time is not None
    ]
    if not starts or first.pts is None or stream.time_base is None:
        return None
    return float(min(starts) - first.pts * stream.time_base)
