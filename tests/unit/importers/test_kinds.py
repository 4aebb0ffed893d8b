"""Which object, which frame, which video: what tools really write is read right, or refused by name."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from longtake import masks
from longtake.errors import SheetError
from longtake.importers import import_coco, import_cvat, import_ytvis
from longtake.importers.__main__ import main
from longtake.importers.frames import frame_pattern

BOX = [10, 20, 30, 40]


def coco(names: list[str], annotations: list[dict[str, Any]], **more: Any) -> dict[str, Any]:
    images = [{"id": n, "file_name": name, "width": 640, "height": 480} for n, name in enumerate(names)]
    filled = [{"id": n, "category_id": 1, "bbox": BOX, "image_id": 0} | each for n, each in enumerate(annotations)]
    return {"categories": [{"id": 1, "name": "cod"}], "images": images, "annotations": filled, **more}


def refused(words: list[str], make: Any, path: Path, **options: Any) -> None:
    with pytest.raises(SheetError) as caught:
        list(make(path, **options))
    for word in [path.name, *words]:
        assert word in str(caught.value)


# --- objects of COCO


def test_cvat_says_the_track_in_attributes(write: Any) -> None:
    drawn = [
        {"image_id": n, "attributes": {"track_id": 0, "keyframe": n != 1, "rotation": 0.0, "occluded": False}}
        for n in range(3)
    ]
    path = write("a.json", coco(["f_00.png", "f_30.png", "f_60.png"], drawn))
    (row,) = import_coco(path, video="a")
    assert (row.object, row.frame) == ("track-0", 0)
    every = list(import_coco(path, video="a", every_box=True))
    assert [(row.object, row.frame) for row in every] == [("track-0", 0), ("track-0", 60)], "frame 30 is interpolated"


@pytest.mark.parametrize(
    ("degrees", "box"), [(0, (100, 200, 300, 220)), (90.0, (190, 110, 210, 310)), (-180, (100, 200, 300, 220))]
)
def test_a_turned_box_of_coco_is_taken_whole(write: Any, degrees: float, box: tuple[float, ...]) -> None:
    turned = {"bbox": [100, 200, 200, 20], "attributes": {"rotation": degrees}}
    (row,) = import_coco(write("a.json", coco(["f_0.png"], [turned])), video="a")
    assert row.box == pytest.approx(box)


def test_a_turn_that_is_none_is_refused(write: Any) -> None:
    path = write("a.json", coco(["f_0.png"], [{"attributes": {"rotation": "much"}}]))
    refused(["annotations.0.attributes.rotation", "'much'"], import_coco, path, video="a")


@pytest.mark.parametrize(
    ("annotations", "words"),
    [
        ([{"track_id": 3}, {"track_id": 3}], ["annotations.1", "'track-3' on frame 7 of 'v'", "annotations.0"]),
        ([{"id": 5}, {"id": 5}], ["annotations.1", "'annotation-5'"]),
    ],
)
def test_an_object_is_once_on_a_frame(write: Any, annotations: list[Any], words: list[str]) -> None:
    refused(words, import_coco, write("a.json", coco(["v/7.png"], annotations)))


# --- frames by file names


@pytest.mark.parametrize(
    ("names", "frames"),
    [
        (["dive_mp4-0042_jpg.rf.3f2a9b81c0d7.jpg"], [42]),
        (["dive1_MOV-7_png.rf.00aa11.png", "dive1_MOV-8_png.rf.993311.png"], [7, 8]),
        (["00042_1920x1080.jpg"], [42]),
        (["GX010042_frame_00007.jpg", "GX010042_frame_00012.jpg"], [7, 12]),
        (["0000000000000000000000042.jpg"], [42]),
    ],
)
def test_the_frame_in_a_name_with_several_numbers(write: Any, names: list[str], frames: list[int]) -> None:
    path = write("a.json", coco(names, [{"image_id": n, "track_id": 1} for n in range(len(names))]))
    assert [row.frame for row in import_coco(path, video="v", every_box=True)] == frames
    video = {"id": 1, "file_names": [f"v/{name}" for name in names]}
    track = {"id": 1, "video_id": 1, "category_id": 1, "bboxes": [BOX] * len(names)}
    path = write("b.json", {"categories": [{"id": 1, "name": "cod"}], "videos": [video], "annotations": [track]})
    assert [row.frame for row in import_ytvis(path, every_box=True)] == frames


@pytest.mark.parametrize(
    "names",
    [
        ["GX010042_frame_00007.jpg"],
        ["dive1_00042.jpg", "dive2_00042.jpg"],
        ["dive1_00042.jpg", "dive2_00043.jpg"],
        ["00042_cam1.jpg", "00043_cam1.jpg"],
        ["frame_42_3f2a9.jpg", "frame_43_77b21.jpg"],
        ["dive.jpg"],
        ["9" * 30 + ".jpg"],
    ],
)
def test_where_any_number_could_be_the_frame_the_name_is_refused(write: Any, names: list[str]) -> None:
    path = write("a.json", coco(names, [{}]))
    refused(["images.0.file_name", names[0]], import_coco, path, video="v")


def test_a_pattern_says_where_the_frame_stands(write: Any, capsys: pytest.CaptureFixture[str]) -> None:
    path = write("a.json", coco(["GX010042_f00007_cam1.jpg"], [{"track_id": 1}]))
    (row,) = import_coco(path, video="v", frame_pattern=frame_pattern("_f([0-9]+)_"))
    assert (row.video, row.frame) == ("v", 7)
    pattern = r"(?P<video>GX[0-9]+)_f(?P<frame>[0-9]+)"
    assert main(["coco", str(path), "--frame-pattern", pattern, "--first-frame", "1"]) == 0
    assert capsys.readouterr().out.splitlines()[1].split("\t")[:4] == ["GX010042", "track-1", "cod", "6"]
    assert main(["coco", str(path), "--frame-pattern", "x([0-9]+)"]) == 1
    for wrong in ("(", "[0-9]+"):
        with pytest.raises(SystemExit):
            main(["coco", str(path), "--frame-pattern", wrong])
        assert "--frame-pattern" in capsys.readouterr().err


def test_two_images_on_one_frame(write: Any) -> None:
    words = ["images.1", "frame 5 of 'v'", "images.0"]
    refused(words, import_coco, write("a.json", coco(["v/a_5.png", "v/b_5.png"], [{}])))
    said = {"video": "v", "frame": 5, "file_name": "x.png"}
    path = write("a.json", {**coco([], [{}]), "images": [{"id": 0, **said}, {"id": 1, **said}]})
    refused(words, import_coco, path)


def test_an_id_of_an_image_that_stands_twice(write: Any) -> None:
    images = [{"id": 3, "file_name": "v/1.png"}, {"id": 3, "file_name": "v/2.png"}]
    path = write("a.json", {**coco([], [{"image_id": 3}]), "images": images})
    refused(["images.1", "repeats the id 3"], import_coco, path)


# --- YouTube-VIS

SIZE = [10, 10]
SQUARE = {"size": SIZE, "counts": [0, 5, 95]}
EMPTY = {"size": SIZE, "counts": [100]}


def vis(videos: int = 1, **annotation: Any) -> dict[str, Any]:
    files = ["v1/00000.jpg", "v1/00005.jpg", "v1/00010.jpg"]
    listed = [{"id": n, "width": 10, "height": 10, "file_names": files} for n in range(videos)]
    track = {"id": 1, "video_id": 0, "category_id": 1, **annotation}
    return {"videos": listed, "categories": [{"id": 1, "name": "cod"}], "annotations": [track]}


@pytest.mark.parametrize(
    "boxes", [None, [None] * 3, [[], [0, 0, 1, 5], []], [[0, 0, 0, 0], [0, 0, 1, 5], [0, 0, 0, 0]]]
)
@pytest.mark.parametrize(
    "absent", [None, [], [[]], EMPTY, {"size": SIZE, "counts": masks.encode(np.zeros(SIZE, bool))}]
)
def test_where_an_object_is_absent_in_any_way_of_saying_it(write: Any, boxes: Any, absent: Any) -> None:
    given = {"segmentations": [absent, SQUARE, absent]} | ({} if boxes is None else {"bboxes": boxes})
    path = write("a.json", vis(**given))
    (row,) = import_ytvis(path, with_masks=True, every_box=True)
    assert (row.frame, row.box) == (5, None)
    assert masks.area(row.mask, 10, 10) == 5
    if boxes and boxes[1]:
        (row,) = import_ytvis(path, every_box=True)
        assert (row.frame, row.box, row.mask) == (5, (0, 0, 1, 5), "")


def test_without_boxes_the_masks_are_offered(write: Any) -> None:
    refused(["annotations.0", "no 'bboxes'", "--masks"], import_ytvis, write("a.json", vis(segmentations=[SQUARE] * 3)))
    refused(["annotations.0", "no 'bboxes'"], import_ytvis, write("a.json", vis()), with_masks=True)


def test_a_polygon_in_a_flat_list(write: Any) -> None:
    flat = [2, 2, 8, 2, 8, 8, 2, 8]
    (row,) = import_ytvis(write("a.json", vis(segmentations=[None, flat, None])), with_masks=True)
    assert masks.box(masks.decode(row.mask, 10, 10)) == (2, 2, 8, 8)
    (row,) = import_coco(write("b.json", coco(["v/1.png"], [{"segmentation": flat}])), with_masks=True)
    assert masks.box(masks.decode(row.mask, 480, 640)) == (2, 2, 8, 8)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda whole: whole["videos"].append(whole["videos"][0]), ["videos.1", "frame 0 of 'v1'"]),
        (
            lambda whole: whole["videos"].append({**whole["videos"][0], "file_names": ["v2/0.jpg"]}),
            ["videos.1", "repeats the id 0"],
        ),
        (lambda whole: whole["annotations"].append(whole["annotations"][0]), ["annotations.1", "'track-1' of 'v1'"]),
        (
            lambda whole: whole["videos"][0]["file_names"].__setitem__(1, "v1/10.jpg"),
            ["videos.0.file_names.2", "frame 10 of 'v1'", "videos.0.file_names.1"],
        ),
    ],
)
def test_what_is_there_twice_in_youtube_vis(write: Any, change: Any, words: list[str]) -> None:
    whole = vis(bboxes=[BOX, None, None])
    change(whole)
    refused(words, import_ytvis, write("a.json", whole))


def test_a_byte_order_mark_is_no_part_of_a_file(tmp_path: Path) -> None:
    path = tmp_path / "a.json"
    path.write_bytes(b"\xef\xbb\xbf" + json.dumps(vis(bboxes=[BOX, None, None])).encode())
    assert len(list(import_ytvis(path))) == 1


# --- CVAT

SHAPE = "<box frame='{}' outside='{}' keyframe='1' xtl='1' ytl='1' xbr='6' ybr='6'/>"
ORIGINAL = "<original_size><width>320</width><height>240</height></original_size>"


def task(number: int, source: str) -> str:
    return f"<task><id>{number}</id><name>dive {number}</name>{ORIGINAL}<source>{source}</source></task>"


def project(*tasks: str, shapes: str = SHAPE.format(5, 0)) -> str:
    meta = f"<meta><project><id>7</id><name>reef</name><tasks>{''.join(tasks)}</tasks></project></meta>"
    return f"<annotations>{meta}<track id='0' label='cod' task_id='12'>{shapes}</track></annotations>"


@pytest.mark.parametrize("options", [{}, {"video": "a"}, {"with_masks": True}])
def test_a_project_of_several_tasks_is_refused_by_their_names(write: Any, options: dict[str, Any]) -> None:
    path = write("a.xml", project(task(11, "a.mp4"), task(12, "b.mp4")))
    refused(["2 tasks", "11 dive 11", "12 dive 12", "each task alone"], import_cvat, path, **options)


def test_a_project_of_one_task_is_that_task(write: Any) -> None:
    (row,) = import_cvat(write("a.xml", project(task(12, "b.mp4"))))
    assert (row.video, row.frame) == ("b", 5)


@pytest.mark.parametrize("fps", [25, 30, 24000 / 1001, 29.97])
@pytest.mark.parametrize("gone", [1, 20, 1001])
def test_the_last_frame_is_the_one_before_outside(write: Any, fps: float, gone: int) -> None:
    (row,) = import_cvat(
        write("a.xml", project(task(1, "a.mp4"), shapes=SHAPE.format(0, 0) + SHAPE.format(gone, 1))), fps=fps
    )
    assert row.until_s == pytest.approx((gone - 1) / fps, abs=1e-6)
    assert row.until_s >= (gone - 1) / fps - 1e-9, "or it is the time of the frame before"


def test_points_on_the_edge_are_moved_inside(write: Any) -> None:
    drawn = "<points frame='0' points='320.00,100.00;310,240.00;0,0'/>"
    (row,) = import_cvat(write("a.xml", project(task(1, "a.mp4"), shapes=drawn)), with_masks=True)
    assert all(0 <= x < 320 and 0 <= y < 240 for x, y in row.points)
    assert np.allclose(row.points, [(320, 100), (310, 240), (0, 0)], atol=0.02)
    path = write("b.xml", project(task(1, "a.mp4"), shapes=drawn.replace("320.00", "321")))
    refused(["track.0.points.0", "321,100", "320 x 240"], import_cvat, path, with_masks=True)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        (project(task(1, "a"), shapes=SHAPE.format(5, 0) * 2), ["track.0.box.5", "second shape"]),
        (
            project(task(1, "a")).replace("</annotations>", "<track id='0' label='x'/></annotations>"),
            ["track.0", "twice"],
        ),
    ],
)
def test_what_is_there_twice_in_cvat(write: Any, text: str, words: list[str]) -> None:
    refused(words, import_cvat, write("a.xml", text))
