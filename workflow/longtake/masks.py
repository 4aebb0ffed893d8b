"""Binary masks as COCO run-length encodings, and the little geometry that goes with them.

A mask of a small animal in a large frame is mostly water, so it is encoded from its crop: the runs are found in the
crop and shifted into the frame, which costs the crop's area and not the frame's. The strings are COCO's compressed
RLE (column-major runs, starting with zeros) and every COCO tool reads them.

Boxes are ``(x_min, y_min, x_max, y_max)`` in pixels, minima inclusive and maxima exclusive.

pycocotools believes every number: it counts pixels in 32 bits and writes where they lead. So what comes from strangers
is held against the bounds below before the C code sees it.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
from PIL import Image
from pycocotools import mask as coco

from longtake.cells import MOST_MASK_TEXT

Box = tuple[float, float, float, float]
BoolMask = npt.NDArray[np.bool_]
Points = Sequence[tuple[float, float]]

MOST_SIDE, MOST_PIXELS = 65_535, 2**28
"""Of a picture: more than any video has, and few enough for 32 bits."""
MOST_RUNS = 2**21
"""Of one mask: run lengths. An animal on a 4K frame has some thousands."""
MOST_OUTLINE = 2**20
"""Pixels along the outlines of one mask's polygons: some 100 bytes are held for each."""


def check_size(height: int, width: int) -> None:
    """Refuse a picture that no video has.

    Raises
    ------
    ValueError
        A side or the area is out of bounds.
    """
    if not (0 < height <= MOST_SIDE and 0 < width <= MOST_SIDE and height * width <= MOST_PIXELS):
        raise ValueError(
            f"{width} x {height} pixels are no size of a picture: a side has 1 to {MOST_SIDE}, and all of it at most "
            f"{MOST_PIXELS}"
        )


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
    return _of_bounds(_run_bounds(crop, x, y, height), height, width)


def encode_runs(counts: Sequence[int], height: int, width: int) -> str:
    """Encode run lengths of a frame, column by column and beginning with zeros, as COCO has them uncompressed.

    Raises
    ------
    ValueError
        The frame is none, a run is negative, or they are too many or do not cover the frame.
    """
    check_size(height, width)
    _check_runs(counts, height * width)
    return _compressed(counts, height, width)


def encode_row_runs(runs: Sequence[int], x: int, y: int, crop: tuple[int, int], size: tuple[int, int]) -> str:
    """Encode run lengths of a crop, row by row and beginning with zeros, as CVAT has them; no pixel is written out.

    A pixel at which a column changes its value is one where a row's runs are not those of the row above, so the
    columns' runs are found from the ends of the rows' runs.

    Parameters
    ----------
    x, y : int
        Column and row of the crop's first pixel in the frame.
    crop, size : (int, int)
        Height and width of the crop, and of the frame.

    Memory: some 100 bytes for each run, row of the crop and change of a column; each has its bound.

    Raises
    ------
    ValueError
        The frame is none, the crop does not lie inside, or the runs are too many or do not cover it.
    """
    (down, across), (height, width) = crop, size
    check_size(height, width)
    if x < 0 or y < 0 or x + across > width or y + down > height:
        raise ValueError(
            f"a crop of {across} x {down} pixels at ({x}, {y}) does not lie in a frame of {width} x {height}"
        )
    _check_runs(runs, down * across)
    ends = _twice_is_never(np.cumsum(np.asarray(runs, dtype=np.int64))[: len(runs) // 2 * 2])
    starts, stops = ends[::2], ends[1::2]
    # A run that goes on in the next row ends at each border between.
    borders = np.arange(1, down, dtype=np.int64) * across
    inside = borders[np.searchsorted(starts, borders, "left") > np.searchsorted(stops, borders, "right")]
    ends = np.sort(np.concatenate([starts, stops, inside, inside]))
    rows, left = np.divmod(ends[::2], across)
    right = ends[1::2] - rows * across
    # Where row r begins, its runs appear; where it ends, at row r + 1, they vanish unless that one has them, too.
    wide = across + 1
    keys = np.concatenate(
        [rows * wide + left, rows * wide + right, (rows + 1) * wide + left, (rows + 1) * wide + right]
    )
    keys = _twice_is_never(np.sort(keys))
    lengths = keys[1::2] - keys[::2]
    if lengths.sum() > MOST_RUNS:
        raise ValueError(f"it has more than {MOST_RUNS} run lengths, which no object has")
    rows, left = np.divmod(keys[::2], wide)
    place = np.arange(lengths.sum()) - np.repeat(np.cumsum(lengths) - lengths, lengths)
    bounds = (np.repeat(left, lengths) + place + x) * height + np.repeat(rows, lengths) + y
    return _of_bounds(_twice_is_never(np.sort(bounds)), height, width)


def encode_polygons(polygons: Sequence[Points], height: int, width: int) -> str:
    """Encode the union of polygons, (x, y) on the plane of the frame, as pycocotools draws them.

    Raises
    ------
    ValueError
        The frame is none, a polygon has fewer than three points or one far outside the frame, or its outline is longer
        than any object's.
    """
    check_size(height, width)
    outline = 0.0
    for polygon in polygons:
        if len(polygon) < 3:
            raise ValueError(f"it has {len(polygon)} points, and a polygon has three or more")
        for x, y in polygon:
            if not (-width <= x <= 2 * width and -height <= y <= 2 * height):
                raise ValueError(f"it has a point {x:g},{y:g} far outside the picture of {width} x {height}")
        corners = np.asarray(polygon, dtype=np.float64)
        outline += np.abs(corners - np.roll(corners, 1, axis=0)).max(axis=1).sum() + len(polygon)
    if outline > MOST_OUTLINE:
        raise ValueError(f"its outline is longer than {MOST_OUTLINE} pixels, which no object's is")
    flat = [[float(value) for point in polygon for value in point] for polygon in polygons]
    merged: dict[str, Any] = coco.merge(coco.frPyObjects(flat, height, width))
    return str(merged["counts"].decode("ascii"))


def _check_runs(runs: Sequence[int], pixels: int) -> None:
    if len(runs) > MOST_RUNS:
        raise ValueError(f"it has {len(runs)} run lengths; no object has more than {MOST_RUNS}")
    wrong = next((order for order, run in enumerate(runs) if run < 0), None)
    if wrong is not None:
        raise ValueError(f"its run {wrong} is {runs[wrong]} pixels long")
    if sum(runs) != pixels:
        raise ValueError(f"its run lengths cover {sum(runs)} pixels of {pixels}")


def _twice_is_never(positions: npt.NDArray[np.int64]) -> npt.NDArray[np.int64]:
    """Drop pairs of equal positions from a sorted array: a value that changes twice at one place does not change."""
    values, times = np.unique(positions, return_counts=True)
    return np.asarray(values[times % 2 == 1])


def _of_bounds(bounds: npt.NDArray[np.int64], height: int, width: int) -> str:
    """Encode the column-major positions at which the value changes."""
    counts = np.diff(bounds, prepend=0, append=height * width)
    if counts[-1] == 0 and counts.size > 1:
        counts = counts[:-1]
    return _compressed(counts.tolist(), height, width)


def _compressed(counts: Sequence[int], height: int, width: int) -> str:
    encoded: dict[str, Any] = coco.frPyObjects({"size": [height, width], "counts": list(counts)}, height, width)
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
        The frame is none, or the counts are no run lengths, too many, or those of another number of pixels.
    """
    check_size(height, width)
    if len(counts) > MOST_MASK_TEXT:
        raise ValueError(f"its run lengths are {len(counts)} characters, and no object has more than {MOST_MASK_TEXT}")
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
    """Read a mask of a frame from a PNG: true where the colour, grey level or palette index is not 0.

    Where the picture has an alpha channel, what is wholly transparent is not the object.

    Returns
    -------
    (height, width) bool

    Raises
    ------
    ValueError
        The file cannot be read, is no whole PNG, or has another size. The size is looked at before the pixels. Or what
        is not 0 has several values: those are several objects, or smoothed edges, and which pixels are meant is not
        said.
    """
    check_size(height, width)
    try:
        with Image.open(path, formats=["PNG"]) as image:
            if image.size != (width, height):
                raise ValueError(f"{path} has {image.size[0]} x {image.size[1]} pixels")
            levels = np.asarray(image)
    except (OSError, SyntaxError, Image.DecompressionBombError) as error:
        raise ValueError(f"{path} is no whole PNG ({error})") from None
    levels = levels.reshape(height, width, -1)
    colours = levels.shape[2] - (levels.shape[2] in (2, 4))
    drawn = np.asarray((levels != 0)[..., :colours].any(axis=2) & (levels != 0)[..., colours:].all(axis=2))
    values = levels[drawn]
    if len(values) and (values != values[0]).any():
        several = np.unique(values, axis=0)
        shown = ", ".join("/".join(map(str, value)) for value in several[:4].tolist())
        raise ValueError(
            f"{path} has {len(several)} values beside 0 ({shown}{', ...' if len(several) > 4 else ''}): several "
            "objects, or smoothed edges. Save one object a file, in two values: 0, and another on the object"
        )
    return drawn


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
