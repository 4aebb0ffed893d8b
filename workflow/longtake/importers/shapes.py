"""Masks and turned boxes as other tools write them, masks as COCO compressed RLE counts of the whole frame.

What is too large to be one is refused by `longtake.masks`, before anything of that size is made.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any, TypeVar

from longtake import masks
from longtake.importers.rows import Box
from longtake.importers.source import Place, frame_number, mapping, number, sequence

Points = tuple[tuple[float, float], ...]
Made = TypeVar("Made")


def segmentation(value: Any, size: tuple[int, int] | None, place: Place, *, absent: bool = False) -> str:
    """Return a COCO segmentation (polygons, or run lengths compressed or not) as counts; empty where there is none.

    One polygon may stand as a flat list of numbers, as some tools write it.

    Parameters
    ----------
    size
        Height and width of the picture; polygons cannot do without.
    absent
        Whether run lengths without a pixel say that there is none.

    Raises
    ------
    SheetError
        The segmentation is broken, empty, of another size than the picture, or larger than any.
    """
    if value is None or value in ([], [[]]):
        return ""
    if isinstance(value, list):
        if size is None:
            place.refuse("are polygons of a picture without height and width", "Export the file anew.")
        parts = value if isinstance(value[0], list) else [value]
        return polygon_mask([_polygon(part, place / order) for order, part in enumerate(parts)], size, place)
    lengths = mapping(value, place)
    height, width = _size(lengths.get("size"), place / "size")
    if size is not None and (height, width) != size:
        place.refuse(f"is {width} x {height} pixels, its picture {size[1]} x {size[0]}", "Export the file anew.")
    counts = lengths.get("counts")
    if absent and counts in ([], ""):
        return ""
    if isinstance(counts, list):
        runs = [frame_number(run, place / "counts") for run in counts]
        counts = _masked(place / "counts", masks.encode_runs, runs, height, width)
    if not isinstance(counts, str):
        (place / "counts").refuse("are no run lengths", "Give a list of numbers or COCO's compressed text.")
    return _checked(counts, height, width, place, absent=absent)


def polygon_mask(polygons: Sequence[Points], size: tuple[int, int], place: Place) -> str:
    """Return the union of polygons, (x, y) on the plane of a picture of `size` (height, width), as counts."""
    return _checked(_masked(place, masks.encode_polygons, polygons, *size), *size, place)


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
    try:
        runs = [int(word) for word in words.split(",")]
    except ValueError:
        place.refuse("has an rle that is no list of numbers", "Export the file anew.")
    return _checked(_masked(place, masks.encode_row_runs, runs, x, y, (down, across), size), *size, place)


def upright(box: Box, degrees: float) -> Box:
    """Give the upright box around one that is turned about its centre."""
    if degrees % 360 == 0:
        return box
    turn = math.radians(degrees)
    across, down = box[2] - box[0], box[3] - box[1]
    half_x = (abs(across * math.cos(turn)) + abs(down * math.sin(turn))) / 2
    half_y = (abs(across * math.sin(turn)) + abs(down * math.cos(turn))) / 2
    x, y = (box[0] + box[2]) / 2, (box[1] + box[3]) / 2
    return x - half_x, y - half_y, x + half_x, y + half_y


def picture_size(part: dict[str, Any], place: Place) -> tuple[int, int] | None:
    """Return height and width of a picture or video, where it names both."""
    if part.get("height") is None or part.get("width") is None:
        return None
    return _size([part["height"], part["width"]], place)


def checked_size(height: int, width: int, place: Place) -> tuple[int, int]:
    """Return the size of a picture, height first, if it is one."""
    try:
        masks.check_size(height, width)
    except ValueError as error:
        place.refuse(f"is no picture's: {error}", "Export the file anew.")
    return height, width


def _size(value: Any, place: Place) -> tuple[int, int]:
    parts = sequence(value, place)
    if len(parts) != 2:
        place.refuse(f"has {len(parts)} numbers, not 2", "Give height and width.")
    height, width = (frame_number(part, place) for part in parts)
    return checked_size(height, width, place)


def _polygon(part: Any, place: Place) -> Points:
    flat = [number(each, place) for each in sequence(part, place)]
    if len(flat) % 2:
        place.refuse(f"has {len(flat)} numbers", "A polygon is x, y, x, y and so on.")
    return tuple(zip(flat[::2], flat[1::2], strict=True))


def _masked(place: Place, make: Callable[..., Made], *given: Any) -> Made:
    """Call `make`, whose ValueError says what is wrong with what stands at `place`."""
    try:
        return make(*given)
    except ValueError as error:
        place.refuse(f"is no mask: {error}", "Correct it, or export the file anew.")


def _checked(counts: str, height: int, width: int, place: Place, *, absent: bool = False) -> str:
    if _masked(place, masks.checked_area, counts, height, width):
        return counts
    if not absent:
        place.refuse("is an empty mask", "Correct it, or remove the entry.")
    return ""
