"""The part of its pictures that a file's header wants shown, where it is not all of them.

Cropping that the codec tells is applied by the decoder. What the container tells besides, the clean aperture of MP4 and
MOV (ISO/IEC 14496-12, 12.1.4) and PixelCrop of Matroska (RFC 9559, 5.1.4.1.28), nobody applies to decoded pictures.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from longtake.errors import UnreadableVideo

# Matroska's elements on the way to PixelCrop, and how much of a file is looked through for them.
_SEGMENT, _TRACKS, _ENTRY, _VIDEO = 0x18538067, 0x1654AE6B, 0xAE, 0xE0
_BOTTOM, _TOP, _LEFT, _RIGHT = 0x54AA, 0x54BB, 0x54CC, 0x54DD
_MATROSKA, _MATROSKA_HEADER_BYTES = b"\x1a\x45\xdf\xa3", 2**20
# Of a film of many hours it is some tens of megabytes.
_MOST_HEADER_BYTES = 2**27
_SAMPLE_ENTRY_BYTES = 78  # what stands in a visual sample entry before the boxes in it
_WAY = (b"trak", b"mdia", b"minf", b"stbl")


def shown_part(path: Path, size: tuple[int, int]) -> tuple[int, int] | None:
    """Return the (width, height) of the part that is to be shown of pictures of `size`; None where that is all.

    Memory: the file's header, at most 128 MiB. What is no such file, or damaged, has none.
    """
    for found in _apertures(_header(path)):
        if found != size:
            return found
    across, down = _pixel_crop(path)
    return (size[0] - across, size[1] - down) if across or down else None


def refuse_cropped(path: Path, size: tuple[int, int]) -> None:
    """Raise `UnreadableVideo` where only a part of pictures of `size` (width, height) is to be shown."""
    shown = shown_part(path, size)
    if shown is not None:
        raise UnreadableVideo(
            f"{path}: its header wants {shown[0]} x {shown[1]} of its {size[0]} x {size[1]} pixels shown, and players "
            "differ in whether they do, so a box could mean either. Crop it for good: `ffmpeg -i IN -vf "
            f"crop={shown[0]}:{shown[1]}:LEFT:TOP -crf 15 OUT.mp4`."
        )


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


def _pixel_crop(path: Path) -> tuple[int, int]:
    """Columns and rows that a Matroska file wants left out of its pictures."""
    with path.open("rb") as file:
        data = file.read(_MATROSKA_HEADER_BYTES)
    inside = [data] if data.startswith(_MATROSKA) else []
    for step in (_SEGMENT, _TRACKS, _ENTRY, _VIDEO):
        inside = [found for part in inside for kind, found in _elements(part) if kind == step]
    told = {kind: int.from_bytes(found, "big") for part in inside for kind, found in _elements(part)}
    return told.get(_LEFT, 0) + told.get(_RIGHT, 0), told.get(_TOP, 0) + told.get(_BOTTOM, 0)


def _elements(data: bytes) -> Iterator[tuple[int, bytes]]:
    """The elements of EBML (RFC 8794, 4 to 6); one of unknown size reaches to the end of what there is."""
    at = 0
    while at < len(data) and data[at]:
        name = 9 - data[at].bit_length()
        kind = int.from_bytes(data[at : at + name], "big")
        at += name
        if at >= len(data) or not data[at]:
            return
        long = 9 - data[at].bit_length()
        size = int.from_bytes(data[at : at + long], "big") - (1 << 7 * long)
        at += long
        unknown = size == (1 << 7 * long) - 1
        yield kind, data[at:] if unknown else data[at : at + size]
        at = len(data) if unknown else at + size
