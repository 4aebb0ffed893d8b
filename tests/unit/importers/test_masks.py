"""Masks and points of other tools: pixel by pixel what pycocotools makes of them, or refused by file and key."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from pycocotools import mask as coco

from longtake import masks
from longtake.annotate.sheet import Prompt, read_prompts
from longtake.errors import SheetError
from longtake.importers import import_coco, import_cvat, import_ytvis, write_rows
from longtake.importers.__main__ import main

HEIGHT, WIDTH = 12, 20


@pytest.fixture
def shape() -> Any:
    mask = np.zeros((HEIGHT, WIDTH), dtype=bool)
    mask[3:9, 5:14] = True
    mask[4:6, 7:9] = False
    return mask


def sheet(rows: Any, tmp_path: Path) -> list[Prompt]:
    """Write the rows and read them as the workflow does."""
    with (tmp_path / "prompts.tsv").open("w", encoding="utf-8") as file:
        write_rows(rows, file)
    return read_prompts(tmp_path / "prompts.tsv", ["reef"])["reef"]


def run_lengths(mask: Any) -> list[int]:
    """Column by column, from the first empty pixel on."""
    values = mask.T.ravel().astype(int)
    bounds = np.flatnonzero(np.diff(values, prepend=0)).tolist()
    return np.diff([0, *bounds, values.size]).tolist()


SQUARE = [[5, 3, 14, 3, 14, 9, 5, 9]]


def coco_file(segmentation: Any, **image: Any) -> dict[str, Any]:
    image = {"id": 1, "file_name": "reef/30.jpg", "height": HEIGHT, "width": WIDTH} | image
    annotation = {"id": 4, "image_id": 1, "category_id": 7, "track_id": 2, "bbox": [5, 3, 9, 6]}
    annotation |= {"segmentation": segmentation}
    return {"categories": [{"id": 7, "name": "eel"}], "images": [image], "annotations": [annotation]}


@pytest.mark.parametrize("form", ["compressed", "list"])
def test_coco_run_lengths(write: Any, tmp_path: Path, shape: Any, form: str) -> None:
    counts = masks.encode(shape) if form == "compressed" else run_lengths(shape)
    path = write("coco.json", coco_file({"size": [HEIGHT, WIDTH], "counts": counts}))
    (one,) = sheet(import_coco(path, with_masks=True), tmp_path)
    assert (one.kind, one.object, one.frame, one.box) == ("mask", "track-2", 30, None)
    assert np.array_equal(masks.decode(one.mask, HEIGHT, WIDTH), shape)
    (box,) = sheet(import_coco(path), tmp_path)
    assert (box.kind, box.box, box.mask) == ("box", (5, 3, 14, 9), "")


def test_coco_polygons_are_what_pycocotools_makes_of_them(write: Any, tmp_path: Path) -> None:
    polygons = [[5.2, 3.1, 14, 3, 12.5, 9, 5, 8.7], [1, 1, 3, 1, 3, 3]]
    (one,) = sheet(import_coco(write("coco.json", coco_file(polygons)), with_masks=True), tmp_path)
    expected = coco.decode(coco.merge(coco.frPyObjects(polygons, HEIGHT, WIDTH)))
    assert np.array_equal(masks.decode(one.mask, HEIGHT, WIDTH), expected)
    assert expected.sum() > 40


@pytest.mark.parametrize("nothing", [None, []])
def test_where_coco_has_no_segmentation_the_box_serves(write: Any, tmp_path: Path, nothing: Any) -> None:
    (one,) = sheet(import_coco(write("coco.json", coco_file(nothing)), with_masks=True), tmp_path)
    assert (one.kind, one.box) == ("box", (5, 3, 14, 9))


def test_ytvis_masks(write: Any, tmp_path: Path, shape: Any) -> None:
    video = {"id": 1, "height": HEIGHT, "width": WIDTH, "file_names": [f"reef/{frame}.jpg" for frame in (0, 5, 10)]}
    drawn = [None, {"size": [HEIGHT, WIDTH], "counts": run_lengths(shape)}, SQUARE]
    boxes = [None, [5, 3, 9, 6], [5, 3, 9, 6]]
    annotation = {"id": 5, "video_id": 1, "category_id": 7, "bboxes": boxes, "segmentations": drawn}
    whole = {"categories": [{"id": 7, "name": "eel"}], "videos": [video], "annotations": [annotation]}
    first, second = sheet(import_ytvis(write("vis.json", whole), every_box=True, with_masks=True), tmp_path)
    assert (first.frame, second.frame, first.kind, second.kind) == (5, 10, "mask", "mask")
    assert np.array_equal(masks.decode(first.mask, HEIGHT, WIDTH), shape)
    assert masks.box(masks.decode(second.mask, HEIGHT, WIDTH)) == (5, 3, 14, 9)
    annotation["segmentations"] = [None]
    with pytest.raises(SheetError, match=r"annotations\.0\.segmentations has 1 entries for 3 frames"):
        list(import_ytvis(write("vis.json", whole), with_masks=True))


BAD = {
    "other size": ({"size": [WIDTH, HEIGHT], "counts": [240]}, {}, ["12 x 20 pixels", "20 x 12"]),
    "too short": ({"size": [HEIGHT, WIDTH], "counts": [100, 20]}, {}, ["counts", "cover 120 pixels of 240"]),
    "negative": ({"size": [HEIGHT, WIDTH], "counts": [250, -10]}, {}, ["counts", "-10"]),
    "broken text": ({"size": [HEIGHT, WIDTH], "counts": "0P"}, {}, ["no mask", "break off"]),
    "text of another size": ({"size": [HEIGHT, WIDTH], "counts": "PP1"}, {}, ["no mask", "cover"]),
    "no counts": ({"size": [HEIGHT, WIDTH]}, {}, ["counts", "no run lengths"]),
    "no size": ({"counts": [240]}, {}, ["segmentation.size", "not a list"]),
    "no pixels": ({"size": [0, 5], "counts": [0]}, {"height": None}, ["no size of a picture"]),
    "too many pixels": ({"size": [10**6, 10**6], "counts": [10**12]}, {"height": None}, ["no size of a picture"]),
    "empty": ({"size": [HEIGHT, WIDTH], "counts": [240]}, {}, ["empty mask"]),
    "polygons without a picture's size": (SQUARE, {"width": None}, ["polygons", "without height and width"]),
    "half a point": ([[1, 2, 3]], {}, ["segmentation.0", "3 numbers"]),
    "two points": ([[1, 1, 5, 5]], {}, ["2 points"]),
    "a point that is none": ([[1, 1, 5, 5, 7, None]], {}, ["segmentation.0", "None"]),
    "a point at the end of the world": ([[1, 1, 5, 5, 1e12, 7]], {}, ["far outside the picture"]),
    "outside": ([[-9, -9, -5, -9, -5, -5]], {}, ["empty mask"]),
    "a number": (5, {}, ["segmentation is 5"]),
}


@pytest.mark.parametrize(("segmentation", "image", "words"), BAD.values(), ids=BAD)
def test_masks_refused(write: Any, segmentation: Any, image: dict[str, Any], words: list[str]) -> None:
    with pytest.raises(SheetError) as caught:
        list(import_coco(write("coco.json", coco_file(segmentation, **image)), with_masks=True))
    for word in ["coco.json", "annotations.0.segmentation", *words]:
        assert word in str(caught.value)


# --- CVAT

SIZE = "<original_size><width>20</width><height>12</height></original_size>"
HEAD = f"<meta><task>{SIZE}<source>reef.mp4</source></task></meta>"


def cvat(shapes: str, head: str = HEAD) -> str:
    return f"<annotations>{head}<track id='3' label='eel'>{shapes}</track></annotations>"


def cvat_mask(rle: str, left: int = 5, top: int = 3, width: int = 9, height: int = 6) -> str:
    return f"<mask frame='7' keyframe='1' rle='{rle}' left='{left}' top='{top}' width='{width}' height='{height}'/>"


def test_cvat_masks_polygons_and_points(write: Any, tmp_path: Path, shape: Any) -> None:
    crop = shape[3:9, 5:14]
    values = crop.ravel().astype(int)  # row by row
    bounds = [0, *np.flatnonzero(np.diff(values, prepend=0)).tolist(), values.size]
    rle = ", ".join(map(str, np.diff(bounds).tolist()))
    drawn = cvat_mask(rle) + "<mask frame='8' keyframe='1' outside='1' rle='0' left='0' top='0' width='0' height='0'/>"
    drawn += "<polygon frame='9' keyframe='1' outside='0' points='5.00,3.00;14.00,3.00;14.00,9.00;5.00,9.00'/>"
    drawn += "<polygon frame='10' keyframe='0' outside='0' points='0,0;1,0;1,1'/>"
    drawn += "<points frame='11' keyframe='1' outside='0' points='5.5,4;6,7'/>"
    drawn += "<box frame='12' keyframe='1' outside='0' xtl='1' ytl='2' xbr='3' ybr='4'/>"
    path = write("a.xml", cvat(drawn))
    mask, polygon, points, box = sheet(import_cvat(path, fps=4, with_masks=True), tmp_path)
    assert [each.frame for each in (mask, polygon, points, box)] == [7, 9, 11, 12]
    assert np.array_equal(masks.decode(mask.mask, HEIGHT, WIDTH), shape)
    assert mask.until_s == 1.75
    assert masks.box(masks.decode(polygon.mask, HEIGHT, WIDTH)) == (5, 3, 14, 9)
    assert (points.kind, points.points) == ("points", ((5.5, 4), (6, 7)))
    assert (box.kind, box.box) == ("box", (1, 2, 3, 4))


@pytest.mark.parametrize(
    ("text", "words"),
    [
        (cvat(cvat_mask("10,30")), ["mask.7", "cover 40 pixels of 54"]),
        (cvat(cvat_mask("-10,64")), ["mask.7", "its run 0 is -10 pixels long"]),
        (cvat(cvat_mask("54")), ["empty mask"]),
        (cvat(cvat_mask("ten")), ["no list of numbers"]),
        (cvat(cvat_mask("0,54", left=12)), ["9 x 6 pixels at (12, 3)", "does not lie in a frame of 20 x 12"]),
        (cvat(cvat_mask("0,54"), head=HEAD.replace("original_size", "size")), ["unknown size"]),
        (cvat("<polygon frame='1' points='1,1;2,2'/>"), ["polygon.1", "2 points"]),
        (cvat("<polygon frame='1' points='1,1;2;3,3'/>"), ["'2', no point"]),
        (cvat("<points frame='1' points='1,here'/>"), ["'here'"]),
        (cvat("<points frame='1'/>"), ["no 'points'"]),
        (cvat("<polyline frame='1' points='1,1;2,2'/>"), ["<polyline>"]),
    ],
)
def test_cvat_masks_refused(write: Any, text: str, words: list[str]) -> None:
    with pytest.raises(SheetError) as caught:
        list(import_cvat(write("a.xml", text), with_masks=True))
    for word in [*words, "a.xml", "track.3"]:
        assert word in str(caught.value)


def test_the_command_counts_what_it_gives(
    write: Any, capsys: pytest.CaptureFixture[str], caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("INFO")
    path = str(write("coco.json", coco_file(SQUARE)))
    assert main(["coco", path, "--masks"]) == 0
    assert "1 prompts: 0 boxes, 1 masks, 0 points" in caplog.text
    assert main(["cvat", str(write("a.xml", cvat("<points frame='1' points='1,2'/>"))), "--masks"]) == 0
    assert "0 boxes, 0 masks, 1 points" in caplog.text
    assert capsys.readouterr().out.splitlines()[-1].split("\t")[9] == "1,2"
