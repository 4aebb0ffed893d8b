"""Masks as other tools write them, as COCO compressed RLE counts of the whole frame.

What comes from strangers is measured before the C code of pycocotools sees it: that code believes every number.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from pycocotools import mask as coco

from longtake import masks
from longtake.importers.source import Place, frame_number, mapping, number, sequence

# More pixels than any frame has; 16 bit a side.
MOST_PIXELS = 2**32
Points = tuple[tuple[float, float], ...]


def segmentation(value: Any, size: tuple[int, int] | None, place: Place) -> str:
    """Return a COCO segmentation (polygons, or run lengths compressed or not) as counts; empty where there is none.

    Parameters
    ----------
    size
        Height and width of the picture; polygons cannot do without.

    Raises
    ------
    SheetError
        The segmentation is broken, empty, or of another size than the picture.
    """
    if value is None or value == []:
        return ""
    if isinstance(value, list):
        if size is None:
            place.refuse("are polygons of a picture without height and width", "Export the file anew.")
        polygons = []
        for order, part in enumerate(value):
            flat = [number(each, place / order) for each in sequence(part, place / order)]
            if len(flat) % 2:
                (place / order).refuse(f"has {len(flat)} numbers", "A polygon is x, y, x, y and so on.")
            polygons.append(tuple(zip(flat[::2], flat[1::2], strict=True)))
        return polygon_mask(polygons, size, place)
    lengths = mapping(value, place)
    height, width = _size(lengths.get("size"), place / "size")
    if size is not None and (height, width) != size:
        place.refuse(f"is {width} x {height} pixels, its picture {size[1]} x {size[0]}", "Export the file anew.")
    counts = lengths.get("counts")
    if isinstance(counts, list):
        counts = _compressed(counts, height, width, place / "counts")
    if not isinstance(counts, str):
        (place / "counts").refuse("are no run lengths", "Give a list of numbers or COCO's compressed text.")
    return _checked(counts, height, width, place)


def polygon_mask(polygons: Sequence[Points], size: tuple[int, int], place: Place) -> str:
    """Return the union of polygons, (x, y) on the plane of a picture of `size` (height, width), as counts."""
    height, width = size
    for order, polygon in enumerate(polygons):
        here = place / order if len(polygons) > 1 else place
        if len(polygon) < 3:
            here.refuse(f"has {len(polygon)} points", "A polygon has three or more.")
        for x, y in polygon:
            if not (-width <= x <= 2 * width and -height <= y <= 2 * height):
                here.refuse(f"has a point {x:g},{y:g} far outside the picture of {width} x {height}", "Correct it.")
    flat = [[value for point in polygon for value in point] for polygon in polygons]
    merged: dict[str, Any] = coco.merge(coco.frPyObjects(flat, height, width))
    return _checked(str(merged["counts"].decode("ascii")), height, width, place)


def crop_mask(
    words: str, corner: tuple[float, float], crop: tuple[float, float], size: tuple[int, int], place: Place
) -> str:
    """Return CVAT's run lengths of a crop as counts of the whole frame.

    Parameters
    ----------
    words
        Runs in the order of reading, row by row, the first of them outside the object; commas between them.
    corner, crop
        Column and row of the crop's first pixel; its width and height.
    size
        Height and width of the frame.
    """
    x, y = (frame_number(value, place) for value in corner)
    across, down = (frame_number(value, place) for value in crop)
    height, width = size
    if x + across > width or y + down > height:
        place.refuse(f"is {across} x {down} pixels at {x},{y}, outside the frame of {width} x {height}", "Export anew.")
    try:
        runs = [int(word) for word in words.split(",")]
    except ValueError:
        place.refuse("has an rle that is no list of numbers", "Export the file anew.")
    if min(runs) < 0 or sum(runs) != across * down:
        place.refuse(f"has run lengths of {sum(runs)} pixels for {across} x {down}", "Export the file anew.")
    inside = np.repeat(np.arange(len(runs)) % 2 == 1, runs).reshape(down, across)
    return _checked(masks.encode_crop(inside, x, y, height, width), height, width, place)


def picture_size(part: dict[str, Any], place: Place) -> tuple[int, int] | None:
    """Return height and width of a picture or video, where it names both."""
    if part.get("height") is None or part.get("width") is None:
        return None
    return _size([part["height"], part["width"]], place)


def _size(value: Any, place: Place) -> tuple[int, int]:
    parts = sequence(value, place)
    if len(parts) != 2:
        place.refuse(f"has {len(parts)} numbers, not 2", "Give height and width.")
    height, width = (frame_number(part, place) for part in parts)
    if not 0 < height * width < MOST_PIXELS:
        place.refuse(f"is {width} x {height} pixels, no size of a picture", "Export the file anew.")
    return height, width


def _compressed(counts: list[Any], height: int, width: int, place: Place) -> str:
    runs = [frame_number(run, place) for run in counts]
    if sum(runs) != height * width:
        place.refuse(f"cover {sum(runs)} pixels of {height * width}", "Export the file anew.")
    encoded: dict[str, Any] = coco.frPyObjects({"size": [height, width], "counts": runs}, height, width)
    return str(encoded["counts"].decode("ascii"))


def _checked(counts: str, height: int, width: int, place: Place) -> str:
    try:
        area = masks.checked_area(counts, height, width)
    except ValueError as error:
        place.refuse(f"is no mask: {error}", "Export the file anew.")
    if area == 0:
        place.refuse("is an empty mask", "Correct it, or remove the entry.")
    return counts
