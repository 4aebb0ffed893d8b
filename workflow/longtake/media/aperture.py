"""The clean aperture of an MP4 or MOV: the part of its pictures that its header wants shown (ISO/IEC 14496-12, 12.1.4).

Cropping that the codec tells is applied by the decoder; this one libavformat hands to nobody.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

# Of a film of many hours it is some tens of megabytes.
_MOST_HEADER_BYTES = 2**27
_SAMPLE_ENTRY_BYTES = 78  # what stands in a visual sample entry before the boxes in it
_WAY = (b"trak", b"mdia", b"minf", b"stbl")


def clean_aperture(path: Path, size: tuple[int, int]) -> tuple[int, int] | None:
    """Return the (width, height) of the part that is to be shown of pictures of `size`; None where that is all.

    Memory: the file's header, at most 128 MiB. What is no such file, or damaged, has none.
    """
    for found in _apertures(_header(path)):
        if found != size:
            return found
    return None


def _header(path: Path) -> bytes:
    """The contents of the box ``moov``."""
    with path.open("rb") as file:
        end, at = path.stat().st_size, 0
        while at + 8 <= end:
            file.seek(at)
            head = file.read(16)
            length, kind = int.from_bytes(head[:4], "big"), head[4:8]
            skipped = 8
            if length == 1:
                length, skipped = int.from_bytes(head[8:16], "big"), 16
            if kind == b"moov" and length - skipped <= _MOST_HEADER_BYTES:
                file.seek(at + skipped)
                return file.read(length - skipped)
            if length < skipped:
                break
            at += length
    return b""


def _boxes(data: bytes) -> Iterator[tuple[bytes, bytes]]:
    at = 0
    while at + 8 <= len(data):
        length = int.from_bytes(data[at : at + 4], "big")
        if length < 8:
            return
        yield data[at + 4 : at + 8], data[at + 8 : at + length]
        at += length


def _apertures(moov: bytes) -> Iterator[tuple[int, int]]:
    inside = [moov]
    for step in _WAY:
        inside = [found for data in inside for kind, found in _boxes(data) if kind == step]
    for table in inside:
        for kind, found in _boxes(table):
            entries = _boxes(found[8:]) if kind == b"stsd" else ()
            for _, entry in entries:
                for name, clap in _boxes(entry[_SAMPLE_ENTRY_BYTES:]):
                    numbers = [int.from_bytes(clap[at : at + 4], "big") for at in range(0, 16, 4)]
                    if name == b"clap" and len(clap) >= 16 and numbers[1] and numbers[3]:
                        yield round(numbers[0] / numbers[1]), round(numbers[2] / numbers[3])
