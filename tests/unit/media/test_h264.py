"""The few bits of H.264 that the numbering needs, by hand."""

from __future__ import annotations

import pytest

from longtake.media.h264 import FrameNumbers, Sequence, _Bits, _sequence, units


def test_bits_and_exp_golomb_numbers():
    # 1 | 010 | 011 | 00100 | 00101 | 0001000 and zeros: 0, 1, 2, 3, 4, 7 (table 9-1 of H.264)
    bits = _Bits(int("101001100100001010001000" + "0" * 8, 2).to_bytes(4, "big"))
    assert [bits.golomb() for _ in range(6)] == [0, 1, 2, 3, 4, 7]
    assert _Bits(b"\xa5").take(4) == 0b1010
    assert _Bits(b"\xff").take(12) == 0b111111110000


def test_emulation_prevention_is_removed():
    assert _Bits(b"\0\0\3\1").take(24) == 1
    assert _Bits(b"\0\3\1").take(24) == 0x000301


@pytest.mark.parametrize("length_bytes", [2, 4])
def testunits_by_length(length_bytes):
    parts = [b"\x67abc", b"\x65" + bytes(700)]
    packet = b"".join(len(part).to_bytes(length_bytes, "big") + part for part in parts)
    assert [(unit[0], len(unit)) for unit in units(packet, length_bytes)] == [(0x67, 4), (0x65, 512)]


def testunits_by_start_code():
    packet = b"\0\0\0\1\x09\xf0\0\0\1\x65payload"
    assert [unit[0] for unit in units(packet, 0)] == [0x09, 0x65]


@pytest.mark.parametrize("packet", [b"", b"\0\0", b"\0\0\1", b"\xff" * 40, bytes(40), b"\0\0\1\x67", b"\0\0\1\x41"])
@pytest.mark.parametrize("extradata", [None, b"", b"\1", b"\1\x64\0\x1f\xff\xe1\0\4\x67\x64\0\x1f", bytes(12)])
def test_noise_is_no_gap_and_no_crash(extradata, packet):
    numbers = FrameNumbers(extradata)
    assert not numbers.follows_gap(packet)


def test_scaling_lists_are_read_past():
    # High profile: number 0, 4:2:0 (1), 8 bit (0, 0), no bypass, lists follow.
    head = "01100100" + "0" * 8 + "00011111" + "1" + "010" + "1" + "1" + "0" + "1"
    whole = "1" + "1" * 16  # a list of 16 with no change from one value to the next
    ended = "1" + "000010001"  # a list whose first step, -8, makes the rest a repetition
    lists = whole + ended + "0" * 4 + ("1" + "1" * 64) + "0"
    # frame_num of 4 + 5 bits, order type 2, one reference, gaps allowed
    tail = "00110" + "011" + "010" + "1"
    bits = head + lists + tail
    unit = b"\x67" + int(bits.ljust(-(-len(bits) // 8) * 8, "0"), 2).to_bytes(-(-len(bits) // 8), "big")
    assert _sequence(unit) == Sequence(frame_num_bits=9, gaps_allowed=True, separate_planes=False)
