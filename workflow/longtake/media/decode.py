"""One open file and its decoder, moving forward through packets whose numbers are known."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from types import TracebackType
from typing import Literal, Self

import av
import numpy as np
from av.video.frame import VideoFrame

from longtake.media import complaints
from longtake.media.container import open_video
from longtake.media.index import VideoIndex
from longtake.media.intervals import Interval
from longtake.media.packets import CORRUPT, NO_PTS

log = logging.getLogger(__name__)

Skip = Literal["DEFAULT", "NONREF"]

# Demuxing over a gap of this many packets costs less than seeking.
SEEK_GAP_PACKETS = 60
_SEEK_ATTEMPTS = (0, 1, 2, 4, 16)


@dataclass(frozen=True)
class Decoded:
    """A decoded frame, its number, and whether a decoding error can have reached it."""

    frame: int
    picture: VideoFrame
    tainted: bool


class Decoder:
    """Decodes intervals of one indexed video; use as a context manager, in one thread at a time.

    Holds one container, one decoder with a single thread, and its few reference pictures.
    """

    def __init__(self, index: VideoIndex):
        self.index = index
        self.packets_decoded = 0
        self.packets_refused = 0
        self.pictures_decoded = 0
        self._stack = ExitStack()
        self._packets: Iterator[tuple[int, av.Packet]] = iter(())
        self._next = -1  # the packet that the demuxer gives next; -1 while nothing is open
        self._skip: Skip = "DEFAULT"

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        self._packets = iter(())
        self._stack.close()
        self._next = -1

    def decode(self, interval: Interval) -> Iterator[Decoded]:
        """Give those frames of an interval that the decoder gives, as it gives them."""
        wanted = {int(self.index.order[frame]) for frame in interval.frames}
        by_pts = {int(self.index.pts[frame]): frame for frame in interval.frames}
        taint = _Taint(self.index, interval.first)
        for number, packet in self._packets_from(interval.first, interval.last):
            if packet.is_corrupt or self.index.packet_flags[number] & CORRUPT:
                taint.mark_gap(number)
            pictures = self._feed(packet, "DEFAULT" if number in wanted else "NONREF", number, taint)
            yield from self._name(pictures, by_pts, taint)
        yield from self._name(self._feed(None, "DEFAULT", interval.last, taint), by_pts, taint)
        self._context.flush_buffers()

    def _feed(self, packet: av.Packet | None, skip: Skip, number: int, taint: _Taint) -> list[VideoFrame]:
        if skip != self._skip:
            self._context.skip_frame = skip
            self._skip = skip
        self.packets_decoded += packet is not None
        with complaints.capture() as logs:
            try:
                return self._context.decode(packet)
            except (av.error.FFmpegError, EOFError) as error:
                # A broken file has thousands; the terminal gets the first.
                level = logging.INFO if self.packets_refused else logging.WARNING
                log.log(level, "%s: packet %d does not decode: %s", self.index.path, number, error)
                self.packets_refused += 1
                taint.mark_error(number)
                return []
            finally:
                if complaints.is_error(logs):
                    log.info("%s: packet %d: %s", self.index.path, number, logs[0][2].strip())
                    taint.mark_concealed(number)

    def _name(self, pictures: list[VideoFrame], by_pts: dict[int, int], taint: _Taint) -> Iterator[Decoded]:
        self.pictures_decoded += len(pictures)
        for picture in pictures:
            if picture.is_corrupt and picture.pts is not None:
                taint.mark_pts(picture.pts)
            frame = by_pts.get(picture.pts) if picture.pts is not None else None
            if frame is not None:
                yield Decoded(frame, picture, taint.covers(frame))

    def _packets_from(self, first: int, last: int) -> Iterator[tuple[int, av.Packet]]:
        """Packets ``first`` to ``last``; ends early where the file does."""
        if not self._next <= first <= self._next + SEEK_GAP_PACKETS or self._next < 0:
            self._seek(first)
        for number, packet in self._packets:
            self._next = number + 1
            if number >= first:
                yield number, packet
            if number >= last:
                return
        self._next = -1

    def _seek(self, packet: int) -> None:
        """Arrange that the next packet is not after ``packet``, checking where each seek landed."""
        rank = int(np.searchsorted(self.index.keys, packet, side="right")) - 1
        if self._next < 0:
            self._open()
        for back in _SEEK_ATTEMPTS:
            if rank - back <= 0:
                break
            key = int(self.index.keys[rank - back])
            stamp = int(self.index.packet_dts[key])
            if stamp == NO_PTS:
                stamp = int(self.index.packet_pts[key])
            try:
                self._container.seek(stamp, stream=self._stream)
            except (av.error.FFmpegError, OSError):
                continue
            if self._land() <= packet:
                return
        self._open()
        self._land()

    def _open(self) -> None:
        self.close()
        self._container, self._stream = self._stack.enter_context(open_video(self.index.path, self.index.facts.stream))
        self._context = self._stream.codec_context
        self._skip = "DEFAULT"

    def _land(self) -> int:
        """Start numbering packets after a seek; the number of the first known one."""
        self._context.flush_buffers()
        self._packets = _numbered(self.index, self._container.demux(self._stream))
        first = next(self._packets, None)
        if first is None:
            return len(self.index.packet_pts)
        rest = self._packets
        self._next = first[0]

        def chained() -> Iterator[tuple[int, av.Packet]]:
            yield first
            yield from rest

        self._packets = chained()
        return first[0]


def _numbered(index: VideoIndex, packets: Iterator[av.Packet]) -> Iterator[tuple[int, av.Packet]]:
    """Number packets as the index does; unknown ones (cut off at the front by a seek) are left out."""
    expected = -1
    while True:
        try:
            packet = next(packets, None)
        except (av.error.FFmpegError, OSError) as error:
            log.warning("%s: demuxing stopped: %s", index.path, error)
            return
        if packet is None:
            return
        if packet.size == 0:
            continue
        pts = NO_PTS if packet.pts is None else packet.pts
        if not (0 <= expected < len(index.packet_pts) and index.packet_pts[expected] == pts):
            expected = _find(index, pts, packet.size)
        if expected >= 0:
            yield expected, packet
            expected += 1


def _find(index: VideoIndex, pts: int, size: int) -> int:
    if pts == NO_PTS:
        return -1
    low, high = (int(np.searchsorted(index.sorted_pts, pts, side=side)) for side in ("left", "right"))
    same = (int(packet) for packet in index.by_time[low:high] if index.packet_size[packet] == size)
    return next(same, -1)


class _Taint:
    """The packets that an error can have reached.

    From the packet before it (damage that spans two is noticed in the second) to the next keyframe, with
    that one's leading pictures. An error in a leading picture reaches leading pictures alone, since nothing
    after its keyframe may refer to them.
    """

    def __init__(self, index: VideoIndex, first: int):
        self._index = index
        self._first = first
        self._ranges: list[tuple[int, int, int | None]] = []  # first packet, end, and only before this pts

    def mark_error(self, packet: int) -> None:
        """Mark a packet that the decoder refused or complained of."""
        if packet > self._first and self._leads(packet) is None:
            self.mark(packet - 1)
        self.mark(packet)

    def mark_concealed(self, packet: int) -> None:
        """Mark an error that was only logged; where decoding starts inside a stream that is no news.

        The first packet and its leading pictures may refer to what lies before the start. None of
        these leading pictures is ever asked of this start.
        """
        if packet != self._first and self._index.packet_pts[packet] > self._index.packet_pts[self._first]:
            self.mark_error(packet)

    def mark_gap(self, packet: int) -> None:
        """Mark a packet beside which the file is damaged: what is lost there may be anything."""
        self._add(packet, None)

    def mark(self, packet: int) -> None:
        self._add(packet, self._leads(packet))

    def _add(self, packet: int, before: int | None) -> None:
        if any(start <= packet < end and known in (None, before) for start, end, known in self._ranges):
            return
        keys = self._index.keys
        after = int(np.searchsorted(keys, packet, side="right"))
        end = int(keys[after]) if after < len(keys) else len(self._index.packet_pts)
        self._ranges.append((packet, end, before))

    def mark_pts(self, pts: int) -> None:
        frame = int(np.searchsorted(self._index.pts, pts))
        if frame < self._index.n_frames:
            self.mark(int(self._index.order[frame]))

    def covers(self, frame: int) -> bool:
        packet, pts = int(self._index.order[frame]), int(self._index.pts[frame])
        for start, end, before in self._ranges:
            if before is None:
                if start <= packet and (packet < end or pts < int(self._index.packet_pts[end])):
                    return True
            elif start <= packet < end and pts < before:
                return True
        return False

    def _leads(self, packet: int) -> int | None:
        """The timestamp of the keyframe before a packet if the packet is a leading picture of it."""
        keys = self._index.keys
        rank = int(np.searchsorted(keys, packet, side="right")) - 1
        pts = int(self._index.packet_pts[keys[rank]]) if rank >= 0 else NO_PTS
        return pts if int(self._index.packet_pts[packet]) < pts else None


def decode_one(index: VideoIndex, frame: int, first: int) -> Decoded | None:
    """Decode one frame from a given keyframe packet, in a container of its own; None if it does not come."""
    with Decoder(index) as decoder:
        return next(decoder.decode(Interval(first, int(index.order[frame]), (frame,))), None)
