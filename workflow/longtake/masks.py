"""Binary masks as COCO run-length encodings, and the little geometry that goes with them.

A mask of a small animal in a large frame is mostly water, so it is encoded from its crop: the runs are found in the
crop and shifted into the frame, which costs the crop's area and not the frame's. The strings are COCO's compressed
RLE (column-major runs, starting with zeros) and every COCO tool reads them.

Boxes are ``(x_min, y_min, x_max, y_max)`` in pixels, minima inclusive and maxima exclusive.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from typing import Any

import numpy as np
import numpy.typing as npt
from PIL import Image
from pycocotools import mask as coco

Box = tuple[float, float, float, float]
BoolMask = npt.NDArray[np.bool_]


def encode(mask: BoolMask) -> str:
    """Encode a whole-frame mask, looking only at the rows and columns that it occupies.

    Parameters
    ----------
    mask : (H, W) bool

    Returns
    -------
    str
        COCO compressed RLE counts of the (H, W) frame.
    """
    mask = np.asarray(mask, dtype=bool)
    height, width = mask.shape
    bounds = box(mask)
    if bounds is None:
        return encode_crop(mask[:0, :0], 0, 0, height, width)
    x_min, y_min, x_max, y_max = bounds
    return encode_crop(mask[y_min:y_max, x_min:x_max], x_min, y_min, height, width)


def encode_crop(crop: BoolMask, x: int, y: int, height: int, width: int) -> str:
    """Encode a crop as the mask of a (height, width) frame that is empty outside the crop.

    Parameters
    ----------
    crop : (h, w) bool
        The part of the frame whose upper left pixel is (x, y).
    x, y : int
        Column and row of the crop's first pixel in the frame.
    height, width : int
        Size of the frame.

    Returns
    -------
    str
        COCO compressed RLE counts of the (height, width) frame.

    Raises
    ------
    ValueError
        The crop does not lie inside the frame.
    """
    crop_height, crop_width = crop.shape
    if x < 0 or y < 0 or x + crop_width > width or y + crop_height > height:
        raise ValueError(
            f"a crop of {crop_width} x {crop_height} pixels at ({x}, {y}) does not lie in a frame of {width} x {height}"
        )
    bounds = _run_bounds(crop, x, y, height)
    counts = np.diff(bounds, prepend=0, append=height * width)
    if counts[-1] == 0 and counts.size > 1:
        counts = counts[:-1]
    encoded: dict[str, Any] = coco.frPyObjects({"size": [height, width], "counts": counts.tolist()}, height, width)
    return str(encoded["counts"].decode("ascii"))


def _run_bounds(crop: BoolMask, x: int, y: int, height: int) -> npt.NDArray[np.int64]:
    """Give the column-major positions in the frame at which the value changes: start, stop, start, stop, ..."""
    crop_height, crop_width = crop.shape
    # One empty pixel above and below each column ends every run inside its column.
    padded = np.zeros((crop_width, crop_height + 2), dtype=np.int8)
    padded[:, 1:-1] = crop.T
    column, row = np.nonzero(np.diff(padded, axis=1))
    bounds = (column.astype(np.int64) + x) * height + row + y
    if crop_height == height and bounds.size > 2:
        # A run down to the last row goes on at the top of the next column: two equal bounds are no change at all.
        stops, starts = bounds[1:-1:2], bounds[2::2]
        joined = np.repeat(stops == starts, 2)
        bounds = np.concatenate([bounds[:1], bounds[1:-1][~joined], bounds[-1:]])
    return bounds


def decode(counts: str, height: int, width: int) -> BoolMask:
    """Decode COCO compressed RLE counts into a (height, width) bool mask."""
    return np.asarray(coco.decode({"size": [height, width], "counts": counts.encode("ascii")})).astype(bool)


def area(counts: str, height: int, width: int) -> int:
    """Count the pixels of an encoded mask without decoding it."""
    return int(coco.area({"size": [height, width], "counts": counts.encode("ascii")}))


def checked_area(counts: str, height: int, width: int) -> int:
    """Count the pixels of an encoded mask from a stranger, which the C code behind `decode` would trust blindly.

    Raises
    ------
    ValueError
        The counts are no run lengths, or those of a frame with another number of pixels.
    """
    total = area = 0
    for order, run in enumerate(_runs(counts)):
        if run < 0:
            raise ValueError(f"its run {order} is {run} pixels long")
        total += run
        area += run if order % 2 else 0
    if total != height * width:
        raise ValueError(f"its run lengths cover {total} pixels, the frame of {width} x {height} has {height * width}")
    return area


def _runs(counts: str) -> Iterator[int]:
    """Yield the run lengths of COCO's compressed counts.

    Five bits a character, the lowest first, plus a bit that announces another character; signed; from the fourth run
    on, a run is written as its difference to the last but one. ``rleFrString`` in pycocotools' maskApi.c.
    """
    value = shift = order = older = newer = 0
    for place, character in enumerate(counts):
        bits = ord(character) - 48
        if not 0 <= bits < 64 or shift > 40:
            raise ValueError(f"its character {place}, {character!r}, is none of COCO's run lengths")
        value |= (bits & 31) << shift
        shift += 5
        if bits & 32:
            continue
        if bits & 16:
            value -= 1 << shift
        if order > 2:
            value += older
        yield value
        older, newer, order = newer, value, order + 1
        value = shift = 0
    if shift:
        raise ValueError("its run lengths break off")


def read_png(path: str | os.PathLike[str], height: int, width: int) -> BoolMask:
    """Read a mask of a frame from a PNG: true where any colour, grey level or palette index is not 0.

    Where the picture has an alpha channel, what is wholly transparent is not the object.

    Returns
    -------
    (height, width) bool

    Raises
    ------
    ValueError
        The file cannot be read, is no whole PNG, or has another size. The size is looked at before the pixels.
    """
    try:
        with Image.open(path, formats=["PNG"]) as image:
            if image.size != (width, height):
                raise ValueError(f"{path} has {image.size[0]} x {image.size[1]} pixels")
            levels = np.asarray(image)
    except (OSError, SyntaxError, Image.DecompressionBombError) as error:
        raise ValueError(f"{path} is no whole PNG ({error})") from None
    if levels.ndim == 2:
        return levels != 0
    colours = levels.shape[2] - (levels.shape[2] in (2, 4))
    return np.asarray((levels != 0)[..., :colours].any(axis=2) & (levels != 0)[..., colours:].all(axis=2))


def box(mask: BoolMask) -> tuple[int, int, int, int] | None:
    """Give the tight box of a (H, W) bool mask, maxima exclusive; None for an empty mask."""
    rows = np.flatnonzero(mask.any(axis=1))
    if rows.size == 0:
        return None
    columns = np.flatnonzero(mask[rows[0] : rows[-1] + 1].any(axis=0))
    return int(columns[0]), int(rows[0]), int(columns[-1]) + 1, int(rows[-1]) + 1


def iou(a: BoolMask, b: BoolMask) -> float:
    """Intersection over union of two (H, W) bool masks; 1.0 where both are empty, as DAVIS scores it."""
    union = int(np.count_nonzero(a | b))
    return int(np.count_nonzero(a & b)) / union if union else 1.0


def box_iou(a: Box, b: Box) -> float:
    """Intersection over union of two boxes with exclusive maxima; 0.0 where they do not meet."""
    overlap_width = min(a[2], b[2]) - max(a[0], b[0])
    overlap_height = min(a[3], b[3]) - max(a[1], b[1])
    if overlap_width <= 0 or overlap_height <= 0:
        return 0.0
    overlap = overlap_width * overlap_height
    return overlap / ((a[2] - a[0]) * (a[3] - a[1]) + (b[2] - b[0]) * (b[3] - b[1]) - overlap)


def encoded_iou(a: str, b: str, height: int, width: int) -> float:
    """Intersection over union of two encoded masks, without decoding them; not both may be empty."""
    shared = overlap(a, b, height, width)
    return shared / (area(a, height, width) + area(b, height, width) - shared)


def overlap(a: str, b: str, height: int, width: int) -> int:
    """Count the pixels that two encoded masks share, without decoding them."""
    return int(coco.area(coco.merge([_rle(counts, height, width) for counts in (a, b)], intersect=True)))


def union(a: str, b: str, height: int, width: int) -> str:
    """Encode the union of two encoded masks, without decoding them."""
    merged: dict[str, Any] = coco.merge([_rle(counts, height, width) for counts in (a, b)])
    return str(merged["counts"].decode("ascii"))


def _rle(counts: str, height: int, width: int) -> dict[str, Any]:
    return {"size": [height, width], "counts": counts.encode("ascii")}
