"""A folder of pictures as a video, as YouTube-VIS and many others keep theirs: frame k is the k-th picture by name.

Names are ordered by the numbers in them (2.jpg before 10.jpg). Pictures carry no times, so the rate is given. The index
is that of a video in which every packet is a keyframe; only its reading differs.
"""

from __future__ import annotations

import re
from collections.abc import Generator, Iterable, Sequence
from fractions import Fraction
from itertools import pairwise
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from PIL import Image, ImageOps

from longtake.errors import UnreadableVideo
from longtake.sources import ENDINGS, pictures_in

CONTAINER = "pictures"
MODES = ("RGB", "L", "P", "RGBA", "LA", "1")


def picture_files(folder: Path) -> list[Path]:
    """The pictures of a folder in order; other files, and hidden ones, are passed over.

    Raises
    ------
    UnreadableVideo
        It holds no picture, a picture that is no regular file (to open a pipe would wait for ever), or two whose names
        differ in their endings alone.
    """
    found = []
    for entry in pictures_in(folder):
        if not entry.is_file():
            raise UnreadableVideo(f"{entry.path}: named as a picture, but no regular file. Remove it from the folder.")
        found.append(folder / entry.name)
    if not found:
        raise UnreadableVideo(
            f"{folder}: a folder without pictures ({', '.join(ENDINGS)}). Name the folder that holds the frames of one "
            "video, or a video file."
        )
    found.sort(key=_natural)
    twice = [(one, two) for one, two in pairwise(found) if one.stem == two.stem]
    if twice:
        one, two = twice[0]
        raise UnreadableVideo(
            f"{folder}: {len(twice)} of {len(found)} pictures have the name of another but for the ending ({one.name} "
            f"and {two.name}), so frames would count twice. Move the pictures of one kind elsewhere."
        )
    return found


def picture_places(source: Path) -> dict[str, int]:
    """Return the frame of each picture of a folder by its name; of a video file none."""
    return {path.name: frame for frame, path in enumerate(picture_files(source))} if source.is_dir() else {}


def _natural(path: Path) -> tuple[list[tuple[int, str]], str]:
    parts = re.split(r"(\d+)", path.stem)
    return [(int(part), "") if part.isdigit() else (0, part) for part in parts], path.name


def scan_pictures(folder: Path, rate: float) -> dict[str, Any]:
    """Look at the head of every picture: fields of a `VideoIndex`, with ``facts`` as a mapping.

    Memory: about 80 bytes a picture. No picture is decoded.

    Raises
    ------
    UnreadableVideo
        There is none, one is no picture of its kind, or they differ in size.
    """
    files = picture_files(folder)
    sizes: list[int] = []
    known: tuple[int, int] | None = None
    for path in files:
        try:
            with Image.open(path, formats=[ENDINGS[path.suffix.lower()]]) as picture:
                # Orientations from 5 on lie on their side.
                size = picture.size[::-1] if picture.getexif().get(0x0112, 1) >= 5 else picture.size
                mode = picture.mode
        except (OSError, ValueError, Image.DecompressionBombError) as error:
            raise UnreadableVideo(f"{path}: not a picture that can be opened ({error}). Copy it again.") from error
        if known is not None and size != known:
            raise UnreadableVideo(
                f"{path}: {size[0]} x {size[1]} pixels, but {files[0].name} has {known[0]} x {known[1]}. The pictures "
                "of a video have one size; move the others elsewhere."
            )
        if mode not in MODES:
            raise UnreadableVideo(f"{path}: pixels of kind {mode!r}. Save it as 8-bit RGB.")
        known = size
        sizes.append(path.stat().st_size)
    width, height = known or (0, 0)
    count = np.arange(len(files), dtype=np.int64)
    return {
        "source_bytes": sum(sizes),
        "time_base": 1 / Fraction(str(rate)),
        "facts": {
            **dict.fromkeys(("rotation", "colour_matrix", "colour_range", "colour_primaries", "colour_transfer"), 0),
            "container": CONTAINER, "codec": ENDINGS[files[0].suffix.lower()].lower(), "pixel_format": "rgb24",
            "coded_width": width, "coded_height": height, "mirrored": False, "header_frames": len(files),
        },
        "packet_pts": count, "packet_dts": count, "packet_position": np.full(len(files), -1, dtype=np.int64),
        "packet_size": np.array(sizes, dtype=np.int64),
    }  # fmt: skip


def decode_pictures(
    folder: Path, whole: tuple[int, int], frames: Iterable[int], size: tuple[int, int]
) -> Generator[tuple[int, np.ndarray | str]]:
    """Yield each frame with its pixels (h, w, 3) uint8 RGB, contiguous, or with the reason why there are none.

    Parameters
    ----------
    whole, size : width and height that every picture has, and those that the pixels get
    """
    files = picture_files(folder)
    for frame in frames:
        path = files[frame] if frame < len(files) else folder
        try:
            with Image.open(path, formats=[ENDINGS[path.suffix.lower()]]) as picture:
                pixels = np.asarray(ImageOps.exif_transpose(picture).convert("RGB"))
        except (OSError, ValueError, KeyError, Image.DecompressionBombError) as error:
            yield frame, f"{path}: frame {frame} does not decode ({error}). Copy the picture again."
            continue
        if pixels.shape[1::-1] != whole:
            yield frame, f"{path}: frame {frame} is no longer {whole[0]} x {whole[1]} pixels. Probe again."
            continue
        yield frame, _scaled(pixels, size)


def _scaled(pixels: np.ndarray, size: Sequence[int]) -> np.ndarray:
    if pixels.shape[1::-1] == tuple(size):
        return np.ascontiguousarray(pixels)
    method = cv2.INTER_AREA if size[0] <= pixels.shape[1] else cv2.INTER_LINEAR
    return np.ascontiguousarray(cv2.resize(pixels, (size[0], size[1]), interpolation=method))
