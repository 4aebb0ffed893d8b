"""Lost pictures of an H.264 stream, noticed by their numbering.

A recorder that lost a packet on the network writes a file without it. The decoder then predicts from the wrong
picture and says nothing. The stream itself tells: reference pictures are numbered (``frame_num``, ITU-T
H.264, 7.4.3), and a number may only stay or grow by one.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

_SLICE, _IDR_SLICE, _SEQUENCE = 1, 5, 7
_LONG_PROFILES = frozenset({100, 110, 122, 244, 44, 83, 86, 118, 128, 138, 139, 134, 135})
_SLICE_BYTES, _SEQUENCE_BYTES = 24, 512


class Sequence(NamedTuple):
    """What of a sequence parameter set the numbering needs (7.3.2.1.1)."""

    frame_num_bits: int
    gaps_allowed: bool
    separate_planes: bool


class FrameNumbers:
    """Follows the numbering through the packets of one stream, in decode order."""

    def __init__(self, extradata: bytes | None):
        extradata = extradata or b""
        self._length_bytes = 0
        self._sequence: Sequence | None = None
        self._previous: int | None = None
        if extradata[:1] == b"\1" and len(extradata) > 8:  # avcC (ISO/IEC 14496-15, 5.3.3)
            self._length_bytes = (extradata[4] & 3) + 1
            size = int.from_bytes(extradata[6:8], "big")
            self._sequence = _sequence(extradata[8 : 8 + size])

    def follows_gap(self, packet: bytes) -> bool:
        """Whether reference pictures are missing between the packet before and this one."""
        for unit in units(packet, self._length_bytes):
            kind = unit[0] & 31
            if kind == _SEQUENCE:
                self._sequence = _sequence(unit)
            elif kind in (_SLICE, _IDR_SLICE):
                return self._slice(unit, kind)
        return False

    def _slice(self, unit: bytes, kind: int) -> bool:
        sequence = self._sequence
        if sequence is None or sequence.gaps_allowed:
            return False
        bits = _Bits(unit[1:_SLICE_BYTES])
        for _ in range(3):  # first macroblock, slice type, picture parameter set
            bits.golomb()
        if sequence.separate_planes:
            bits.take(2)
        number = bits.take(sequence.frame_num_bits)
        before = number if self._previous is None or kind == _IDR_SLICE else self._previous
        gap = number not in (before, (before + 1) % (1 << sequence.frame_num_bits))
        is_reference = bool(unit[0] & 0x60)
        if is_reference or gap or self._previous is None:
            self._previous = number
        return gap


class _Bits:
    """Bits of a unit's payload, most significant first, without emulation prevention (7.4.1); zeros after its end."""

    def __init__(self, payload: bytes):
        payload = payload.replace(b"\0\0\3", b"\0\0")
        self._value = int.from_bytes(payload, "big")
        self._left = 8 * len(payload)

    def take(self, count: int) -> int:
        self._left -= count
        shifted = self._value >> self._left if self._left >= 0 else self._value << -self._left
        return shifted & ((1 << count) - 1)

    def golomb(self) -> int:
        """An unsigned Exp-Golomb number (9.1)."""
        zeros = 0
        while self._left > 0 and not self.take(1):
            zeros += 1
        return (1 << zeros) - 1 + self.take(zeros)


def units(packet: bytes, length_bytes: int) -> Iterator[bytes]:
    """The units of a packet, by length prefixes or (0) by start codes; only the beginnings of long ones."""
    if length_bytes:
        position = 0
        while position + length_bytes < len(packet):
            size = int.from_bytes(packet[position : position + length_bytes], "big")
            position += length_bytes
            if size:
                yield packet[position : position + min(size, _SEQUENCE_BYTES)]
            position += size
        return
    position = packet.find(b"\0\0\1")
    while position >= 0 and position + 3 < len(packet):
        yield packet[position + 3 : position + 3 + _SEQUENCE_BYTES]
        position = packet.find(b"\0\0\1", position + 3)


def _sequence(unit: bytes) -> Sequence:
    bits = _Bits(unit[1:])
    profile = bits.take(8)
    bits.take(16)  # constraints, level
    bits.golomb()  # its own number
    separate_planes = False
    if profile in _LONG_PROFILES:
        chroma = bits.golomb()
        separate_planes = chroma == 3 and bool(bits.take(1))
        for _ in range(2):  # bit depths
            bits.golomb()
        bits.take(1)  # lossless bypass
        if bits.take(1):
            for number in range(12 if chroma == 3 else 8):
                if bits.take(1):
                    _skip_scaling(bits, 16 if number < 6 else 64)
    frame_num_bits = bits.golomb() + 4
    order_type = bits.golomb()
    if order_type == 0:
        bits.golomb()
    elif order_type == 1:
        bits.take(1)
        bits.golomb()
        bits.golomb()
        for _ in range(min(bits.golomb(), 255)):
            bits.golomb()
    bits.golomb()  # number of reference pictures
    return Sequence(frame_num_bits, bool(bits.take(1)), separate_planes)


def _skip_scaling(bits: _Bits, count: int) -> None:
    """Read past a scaling list (7.3.2.1.1.1)."""
    last = following = 8
    for _ in range(count):
        if following:
            code = bits.golomb()
            following = (last + (-(code // 2) if code % 2 == 0 else (code + 1) // 2)) % 256
        last = following or last
