"""A folder of pictures as a video, as YouTube-VIS and many others keep theirs: frame k is the k-th picture by name.

Names are ordered by the numbers in them (2.jpg before 10.jpg). Pictures carry no times, so the rate is given. The index
is that of a video in which every packet is a keyframe; only its reading differs.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Generator, Iterable, Sequence
from fractions import Fraction
from pathlib import Path
from typing import TYPE_CHECKING, Any

import cv2
import numpy as np
from PIL import Image, ImageOps

from longtake.errors import UnreadableVideo

if TYPE_CHECKING:
    from longtake.media.index import VideoIndex

CONTAINER = "pictures"
ENDINGS = {".jpg": "JPEG", ".jpeg": "JPEG", ".png": "PNG"}
MODES = ("RGB", "L", "P", "RGBA", "LA", "1")
_DIGESTED_FILES, _DIGESTED_BYTES = 16, 65536


def picture_files(folder: Path) -> list[Path]:
    """The pictures of a folder in order; other files, and hidden ones, are passed over.

    Raises
    ------
    UnreadableVideo
        It holds no picture.
    """
    found = [path for path in folder.iterdir() if path.suffix.lower() in ENDINGS and path.name[0] != "."]
    if not found:
        raise UnreadableVideo(
            f"{folder}: a folder without pictures ({', '.join(ENDINGS)}). Name the folder that holds the frames of one "
            "video, or a video file."
        )
    return sorted(found, key=_natural)


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
        "digest": pictures_digest(folder),
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


def pictures_digest(folder: Path) -> str:
    """Digest of all names and sizes, and of the beginnings of 16 pictures spread over them."""
    files = picture_files(folder)
    digest = hashlib.sha256("\n".join(f"{path.name} {path.stat().st_size}" for path in files).encode())
    for number in np.linspace(0, len(files) - 1, min(len(files), _DIGESTED_FILES)).astype(int):
        with files[number].open("rb") as file:
            digest.update(file.read(_DIGESTED_BYTES))
    return digest.hexdigest()


def decode_pictures(
    index: VideoIndex, frames: Iterable[int], size: tuple[int, int]
) -> Generator[tuple[int, np.ndarray | str]]:
    """Yield each frame with its pixels (h, w, 3) uint8 RGB, contiguous, or with the reason why there are none."""
    files = picture_files(index.path)
    for frame in frames:
        path = files[frame] if frame < len(files) else index.path
        try:
            with Image.open(path, formats=[ENDINGS[path.suffix.lower()]]) as picture:
                pixels = np.asarray(ImageOps.exif_transpose(picture).convert("RGB"))
        except (OSError, ValueError, KeyError, Image.DecompressionBombError) as error:
            yield frame, f"{path}: frame {frame} does not decode ({error}). Copy the picture again."
            continue
        if pixels.shape[:2] != (index.height, index.width):
            yield frame, f"{path}: frame {frame} is no longer {index.width} x {index.height} pixels. Probe again."
            continue
        yield frame, _scaled(pixels, size)


def _scaled(pixels: np.ndarray, size: Sequence[int]) -> np.ndarray:
    if pixels.shape[1::-1] == tuple(size):
        return np.ascontiguousarray(pixels)
    method = cv2.INTER_AREA if size[0] <= pixels.shape[1] else cv2.INTER_LINEAR
    return np.ascontiguousarray(cv2.resize(pixels, (size[0], size[1]), interpolation=method))
