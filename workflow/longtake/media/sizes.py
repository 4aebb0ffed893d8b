"""A size that changes in the middle of a stream, noticed without decoding it.

A reader would find it only where it gets there, after half the work. A stream tells its size in the headers of
keyframes; where a header comes that was not seen before, that one picture is decoded.
"""

from __future__ import annotations

import av
from av.codec.context import CodecContext
from av.video.codeccontext import VideoCodecContext
from av.video.stream import VideoStream

from longtake.media import complaints
from longtake.media.h264 import units

_HEADER_BYTES = 64
_SEQUENCE_CODES = (b"\0\0\1\xb3",)
_LAYER_CODES = tuple(b"\0\0\1" + bytes([code]) for code in range(0x20, 0x30))
# Start codes and how much follows them: sequence headers, and the video object layer of MPEG-4 part 2.
_MPEG = {"mpeg1video": (_SEQUENCE_CODES, 7), "mpeg2video": (_SEQUENCE_CODES, 7), "mpeg4": (_LAYER_CODES, 32)}
_H264_SEQUENCE, _HEVC_SEQUENCE = 7, 33


class Sizes:
    """Follows the keyframes of a stream, and counts in `others` those of another size than its first picture.

    `other` is the first such size, (width, height), and `other_pts` when it comes.
    """

    def __init__(self, stream: VideoStream) -> None:
        self._context = stream.codec_context
        self._extradata = bytes(stream.codec_context.extradata or b"")
        self._known: dict[bytes, tuple[int, int] | None] = {}
        self.others = 0
        self.other: tuple[int, int] | None = None
        self.other_pts: int | None = None

    def look(self, packet: av.Packet, first: tuple[int, int]) -> None:
        """Look at a keyframe's packet, given the size of the first decoded picture."""
        fresh = packet.get_sidedata("new_extradata") if packet.has_sidedata("new_extradata") else None
        if fresh is not None:
            self._extradata = bytes(fresh)
        header = _header(self._context.codec.canonical_name, bytes(packet), self._extradata) + bytes(fresh or b"")
        if not header:
            return
        if header not in self._known:
            self._known[header] = first if not self._known else self._decoded(packet)
        size = self._known[header]
        if size is not None and size != first:
            self.others += 1
            if self.other is None:
                self.other, self.other_pts = size, packet.pts

    def _decoded(self, packet: av.Packet) -> tuple[int, int] | None:
        context = CodecContext.create(self._context.name, "r")
        if not isinstance(context, VideoCodecContext):
            return None
        context.thread_count = 1
        if self._extradata:
            context.extradata = self._extradata
        with complaints.capture():
            try:
                frames = [*context.decode(av.Packet(bytes(packet))), *context.decode(None)]
            except (av.error.FFmpegError, EOFError):
                return None  # damage, which the reader reports
        return (frames[0].width, frames[0].height) if frames else None


def _header(codec: str, packet: bytes, extradata: bytes) -> bytes:
    """Return the part of a keyframe that tells its size; empty where there is none, or the codec never changes it."""
    if codec == "h264":
        found = units(packet, _length_bytes(extradata, 4))
        return b"".join(unit[:_HEADER_BYTES] for unit in found if unit[0] & 31 == _H264_SEQUENCE)
    if codec == "hevc":
        found = units(packet, _length_bytes(extradata, 21))
        return b"".join(unit[:_HEADER_BYTES] for unit in found if unit[0] >> 1 & 63 == _HEVC_SEQUENCE)
    if codec in _MPEG:
        codes, length = _MPEG[codec]
        at = next((at for at in map(packet.find, codes) if at >= 0), None)
        return b"" if at is None else packet[at : at + length]
    if codec == "vp8":
        return packet[6:10] if packet[3:6] == b"\x9d\x01\x2a" else b""  # RFC 6386, 9.1
    if codec == "vp9":
        return packet[:9]  # of profile 0 up to the height; what belongs to the picture alone comes later
    return _av1_sequence(packet) if codec == "av1" else b""


def _length_bytes(extradata: bytes, at: int) -> int:
    """How long the length before each unit is; 0 where units have start codes (ISO/IEC 14496-15, 5.3.3 and 8.3.3)."""
    return (extradata[at] & 3) + 1 if extradata[:1] == b"\1" and len(extradata) > at else 0


def _av1_sequence(packet: bytes) -> bytes:
    """Return the sequence header among the open bitstream units of a packet (AV1 specification, 5.3)."""
    at = 0
    while at + 1 < len(packet):
        kind, extended, sized = packet[at] >> 3 & 15, packet[at] >> 2 & 1, packet[at] >> 1 & 1
        at += 1 + extended
        size = shift = 0
        while sized and at < len(packet):
            size |= (packet[at] & 127) << shift
            shift, at = shift + 7, at + 1
            if packet[at - 1] < 128:
                break
        if kind == 1 or not sized:
            return packet[at : at + min(size, _HEADER_BYTES)] if kind == 1 else b""
        at += size
    return b""
