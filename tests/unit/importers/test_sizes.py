"""Files of a few hundred bytes that claim more than any machine has: refused, and no memory taken."""

from __future__ import annotations

import json
import tracemalloc
from typing import Any

import numpy as np
import pytest

from longtake import masks
from longtake.errors import SheetError
from longtake.importers import import_coco, import_cvat, import_ytvis

LONG, SQUARE = (1, 4_294_967_294), (4_000_000_000, 4_000_000_000)
# The largest picture that there may be.
WHOLE = (16_384, 16_384)


def coco(size: tuple[int, int], shape: Any) -> dict[str, Any]:
    image = {"id": 1, "file_name": "v/1.jpg", "height": size[0], "width": size[1]}
    annotation = {"id": 1, "image_id": 1, "category_id": 1, "bbox": [1, 1, 5, 5], "segmentation": shape}
    return {"images": [image], "categories": [{"id": 1, "name": "x"}], "annotations": [annotation]}


def vis(size: tuple[int, int], shape: Any) -> dict[str, Any]:
    video = {"id": 1, "file_names": ["v/0.jpg"], "height": size[0], "width": size[1]}
    annotation = {"id": 1, "video_id": 1, "category_id": 1, "bboxes": [[1, 1, 5, 5]], "segmentations": [shape]}
    return {"videos": [video], "categories": [{"id": 1, "name": "x"}], "annotations": [annotation]}


def cvat(size: tuple[int, int], shape: str) -> str:
    told = f"<original_size><width>{size[1]}</width><height>{size[0]}</height></original_size><source>v</source>"
    return f"<annotations><meta><task>{told}</task></meta><track id='0' label='x'>{shape}</track></annotations>"


def wide(size: tuple[int, int]) -> list[list[float]]:
    height, width = size
    return [[0, 0, width, 0, width, height, 0, height]]


def comb(size: tuple[int, int], teeth: int) -> list[list[float]]:
    """An outline that goes over the whole picture again and again."""
    return [[value for tooth in range(teeth) for value in (tooth % 7, 0, size[1], size[0] - tooth % 5)]]


def cvat_mask(size: tuple[int, int], rle: str) -> str:
    return f"<mask frame='0' rle='{rle}' left='0' top='0' width='{size[1]}' height='{size[0]}'/>"


FILES = {
    "coco, a long polygon": (import_coco, coco(LONG, wide(LONG))),
    "coco, a square one": (import_coco, coco(SQUARE, wide(SQUARE))),
    "coco, run lengths": (import_coco, coco(SQUARE, {"size": SQUARE, "counts": [0, SQUARE[0] * SQUARE[1]]})),
    "coco, run lengths and no picture": (import_coco, coco((0, 0), {"size": [2**16, 2**16], "counts": [0, 2**32]})),
    "coco, an endless outline": (import_coco, coco(WHOLE, comb(WHOLE, 200))),
    "ytvis, a long polygon": (import_ytvis, vis(LONG, wide(LONG))),
    "ytvis, run lengths": (import_ytvis, vis(SQUARE, {"size": SQUARE, "counts": "0" * 9})),
    "cvat, a polygon": (import_cvat, cvat(SQUARE, "<polygon frame='0' points='1,1;2,1;2,3999999999'/>")),
    "cvat, a mask": (import_cvat, cvat(SQUARE, cvat_mask(SQUARE, f"0,{SQUARE[0] * SQUARE[1]}"))),
    "cvat, stripes": (import_cvat, cvat(WHOLE, cvat_mask(WHOLE, ",".join(["16384"] * 16384)))),
    "cvat, a number of many digits": (import_cvat, cvat((9, 9), cvat_mask((9, 9), "9" * 4000))),
    "cvat, a number of too many": (import_cvat, cvat((9, 9), cvat_mask((9, 9), "9" * 9000))),
}


@pytest.mark.parametrize("name", FILES)
def test_what_is_too_large_is_refused_before_it_is_made(write: Any, name: str) -> None:
    importer, whole = FILES[name]
    path = write("given", whole if isinstance(whole, str) else json.dumps(whole))
    tracemalloc.start()
    with pytest.raises(SheetError, match="given"):
        list(importer(path, with_masks=True))
    assert tracemalloc.get_traced_memory()[1] < 30e6
    tracemalloc.stop()


def test_a_mask_of_the_largest_picture_takes_no_memory_for_its_pixels(write: Any) -> None:
    """Of 268 million pixels, told by three numbers."""
    rle = f"{16_384 * 2 + 3},{16_384 * 16_000},{16_384 * 382 - 3}"
    path = write("a.xml", cvat(WHOLE, cvat_mask(WHOLE, rle)))
    tracemalloc.start()
    (row,) = import_cvat(path, with_masks=True)
    assert tracemalloc.get_traced_memory()[1] < 30e6
    tracemalloc.stop()
    assert masks.area(row.mask, *WHOLE) == 16_384 * 16_000


def test_runs_by_rows_are_those_of_the_pixels() -> None:
    """Whatever the crop, and also with runs of no pixel between."""
    draw = np.random.Generator(np.random.Philox(key=5))
    for share in (0, 0.1, 0.5, 0.9, 1) * 40:
        height, width = (int(side) for side in draw.integers(1, 9, 2))
        down, across = int(draw.integers(1, height + 1)), int(draw.integers(1, width + 1))
        x, y = int(draw.integers(0, width - across + 1)), int(draw.integers(0, height - down + 1))
        crop = draw.random((down, across)) < share
        values = crop.ravel().astype(int)
        runs = np.diff([0, *np.flatnonzero(np.diff(values, prepend=0)), values.size]).tolist()
        at = int(draw.integers(0, len(runs) + 1))
        runs[at:at] = [0, 0]
        given = masks.encode_row_runs(runs, x, y, (down, across), (height, width))
        assert given == masks.encode_crop(crop, x, y, height, width)


@pytest.mark.parametrize("size", [(0, 5), (5, 0), (-1, -1), (2**16, 1), (1, 2**16), (2**15, 2**15)])
def test_no_door_lets_another_size_in(size: tuple[int, int]) -> None:
    doors = [
        lambda: masks.encode_polygons([[(0, 0), (1, 0), (1, 1)]], *size),
        lambda: masks.encode_runs([size[0] * size[1]], *size),
        lambda: masks.encode_row_runs([1], 0, 0, (1, 1), size),
        lambda: masks.checked_area("0", *size),
        lambda: masks.read_png("nowhere.png", *size),
    ]
    for door in doors:
        with pytest.raises(ValueError, match="no size of a picture"):
            door()


def test_a_text_longer_than_any_mask_is_not_looked_at() -> None:
    with pytest.raises(ValueError, match=f"{2**20 + 1} characters"):
        masks.checked_area("1" * (2**20 + 1), 300, 300)
