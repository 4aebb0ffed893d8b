"""Importers: every format's boxes arrive as rows that the sheet's own reader takes; bad files are refused by name."""

from __future__ import annotations

import io
import random
from pathlib import Path
from typing import Any

import pytest

from longtake.annotate.sheet import Prompt, read_prompts
from longtake.errors import SheetError
from longtake.importers import Row, import_coco, import_cvat, import_hd_epic, import_ytvis, write_rows
from longtake.importers.__main__ import main
from longtake.importers.rows import Ids, safe_id


def sheet(rows: Any, tmp_path: Path) -> dict[str, list[Prompt]]:
    """Write the rows and read them as the workflow does."""
    rows = list(rows)
    with (tmp_path / "prompts.tsv").open("w", encoding="utf-8") as file:
        assert write_rows(rows, file) == len(rows)
    return read_prompts(tmp_path / "prompts.tsv", dict.fromkeys(row.video for row in rows))


def box(prompt: Prompt) -> tuple[float, ...]:
    return prompt.x_min, prompt.y_min, prompt.x_max, prompt.y_max


# --- ids


def test_names_become_ids_by_themselves() -> None:
    assert safe_id("P01-20240202-110250") == "P01-20240202-110250"
    assert safe_id("chopping board/2") == "chopping_board_2-90da3df2"
    assert safe_id("../../etc/passwd").startswith("etc_passwd-")
    assert len(safe_id("x" * 500)) <= 100
    assert len({safe_id(name) for name in ("魚", "鳥", "", "-", "a b", "a_b", "a\tb", "#")}) == 8


def test_two_names_never_share_an_id() -> None:
    ids = Ids("file.json")
    assert [ids("Eel"), ids("Eel")] == ["Eel", "Eel"]
    with pytest.raises(SheetError, match=r"file\.json: 'Eel' and 'eel'"):
        ids("eel")


def test_a_changed_id_is_told_once() -> None:
    file = io.StringIO()
    rows = [Row("v", "a_b-1", "x\ty\u2028z", frame, (0, 0, 2.5, 2), source=("v", "a\nb")) for frame in (3, 4)]
    write_rows(rows, file)
    lines = file.getvalue().splitlines()
    assert lines[1:3] == ['# object v/a_b-1 is "a\\nb"', "v\ta_b-1\tx y z\t3\t\t0\t0\t2.5\t2\t\t\t\t"]
    assert len(lines) == 4


# --- HD-EPIC


def epic(write: Any, **changes: Any) -> tuple[Path, Path]:
    mask: dict[str, Any] = {"frame_number": 30, "3d_location": [0, 0, 1], "bbox": [10, 20, 30.5, 40], "fixture": "sink"}
    late = {**mask, "frame_number": 90, "bbox": [50, 20, 70, 40]}
    track: dict[str, Any] = {"track_id": "t1", "time_segment": [0.9, 3.0], "masks": ["m1", "m2"]}
    association = {"name": "red\tmug", "tracks": [track, {"track_id": "t2", "time_segment": [5, 6], "masks": []}]}
    mask.update(changes.get("mask", {}))
    track.update(changes.get("track", {}))
    tracks = {"P01-1": {"a/1": association, "empty": {"name": "pan", "tracks": []}}}
    return write("assoc_info.json", tracks), write("mask_info.json", {"P01-1": {"m1": mask, "m2": late}})


def test_hd_epic(write: Any, tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    rows = list(import_hd_epic(*epic(write)))
    first, second = sheet(rows, tmp_path)["P01-1"]
    assert (first.object, first.label, first.frame, first.time_s) == (safe_id("a/1"), "red mug", 30, None)
    assert box(first) == (10, 20, 30.5, 40)
    # The second mask lies on the movement's very last frame; it must not end before it begins.
    assert (first.until_s, second.frame) == (3.0, 90)
    assert second.until_s == pytest.approx(91 / 30, abs=1e-6)
    assert "P01-1.empty has no mask" in caplog.text
    assert box(sheet(import_hd_epic(*epic(write), inclusive=True), tmp_path)["P01-1"][0]) == (10, 20, 31.5, 41)


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"mask": {"bbox": [10, 20, 10, 40]}}, ["mask_info.json: P01-1.m1.bbox", "empty box", "x 10 to 10"]),
        ({"mask": {"bbox": [10, 20, 30]}}, ["P01-1.m1.bbox", "3 numbers"]),
        ({"mask": {"bbox": None}}, ["P01-1.m1.bbox", "None"]),
        ({"mask": {"bbox": [10, 20, True, 40]}}, ["True, not a number"]),
        ({"mask": {"bbox": [10, 20, 10**400, 40]}}, ["finite"]),
        ({"mask": {"frame_number": 3.5}}, ["P01-1.m1.frame_number", "3.5"]),
        ({"mask": {"frame_number": -1}}, ["frame_number", "-1"]),
        ({"track": {"masks": ["m9"]}}, ["'m9'", "mask_info.json", "one release"]),
        ({"track": {"time_segment": [3, 1]}}, ["time_segment", "before 3 s"]),
        ({"track": {"time_segment": [3]}}, ["time_segment", "1 times"]),
    ],
)
def test_hd_epic_refused(write: Any, changes: dict[str, Any], words: list[str]) -> None:
    with pytest.raises(SheetError) as caught:
        list(import_hd_epic(*epic(write, **changes)))
    for word in words:
        assert word in str(caught.value)


def test_hd_epic_one_video(write: Any) -> None:
    files = epic(write)
    assert len(list(import_hd_epic(*files, videos=["P01-1"]))) == 2
    with pytest.raises(SheetError, match=r"'P01-2'.*Did you mean 'P01-1'"):
        list(import_hd_epic(*files, videos=["P01-2"]))


def test_hd_epic_at_its_real_size(write: Any, tmp_path: Path) -> None:
    """156 videos and 36,676 masks; no box is lost, none made up."""
    draw = random.Random(1)
    tracks: dict[str, Any] = {}
    masks: dict[str, Any] = {}
    total = 36_676
    for video in range(156):
        name = f"P{video % 9:02d}-{video}"
        count = total // 156 + (video < total % 156)
        shapes = {f"{name}-{k}": k for k in range(count)}
        masks[name] = {
            key: {"frame_number": 60 * k, "bbox": [k % 50, 5, k % 50 + draw.uniform(1, 90), 80], "fixture": None}
            for key, k in shapes.items()
        }
        keys, tracks[name] = list(shapes), {}
        for thing in range(54):
            mine = keys[thing::54]
            track = [{"track_id": f"t{n}", "time_segment": [n, n + 1.5], "masks": [key]} for n, key in enumerate(mine)]
            tracks[name][f"assoc {thing}"] = {"name": f"thing {thing}", "tracks": track}
    found = sheet(import_hd_epic(write("a.json", tracks), write("m.json", masks)), tmp_path)
    assert len(found) == 156
    assert sum(map(len, found.values())) == total
    for name, prompts in found.items():
        frames = [prompt.frame for prompt in prompts]
        assert sorted(frames) == [shape["frame_number"] for shape in masks[name].values()]
        assert len({prompt.object for prompt in prompts}) == 54


# --- COCO and YouTube-VIS


def coco(images: list[dict[str, Any]], annotations: list[dict[str, Any]], **more: Any) -> dict[str, Any]:
    return {"categories": [{"id": 7, "name": "eel"}], "images": images, "annotations": annotations, **more}


def test_coco_of_file_names(write: Any, tmp_path: Path) -> None:
    images = [{"id": n, "file_name": f"reef/frame_{n:05d}.jpg"} for n in (31, 1, 61)]
    annotations = [
        {"id": n, "image_id": image, "category_id": 7, "track_id": 4, "bbox": [1, 2, 30, 40.5]}
        for n, image in enumerate((31, 1, 61))
    ]
    path = write("coco.json", coco(images, [*annotations, {"image_id": 1, "iscrowd": 1}]))
    (first,) = sheet(import_coco(path, first=1), tmp_path)["reef"]
    assert (first.object, first.label, first.frame, box(first)) == ("track-4", "eel", 0, (1, 2, 31, 42.5))
    every = sheet(import_coco(path, first=1, every_box=True), tmp_path)["reef"]
    assert [prompt.frame for prompt in every] == [0, 30, 60]


def test_coco_of_videos(write: Any) -> None:
    images = [{"id": 1, "video_id": 3, "frame_id": 12, "file_name": "x.jpg"}]
    annotations = [{"id": 9, "image_id": 1, "category_id": 7, "bbox": [0, 0, 2, 2]}]
    path = write("coco.json", coco(images, annotations, videos=[{"id": 3, "name": "pond 3"}]))
    (row,) = import_coco(path)
    assert (row.video, row.object, row.frame, row.source) == (
        safe_id("pond 3"), "annotation-9", 12, ("pond 3", "annotation-9"),
    )  # fmt: skip


@pytest.mark.parametrize(
    ("images", "annotation", "words"),
    [
        ([{"id": 1, "file_name": "5.jpg"}], {}, ["images.0.file_name", "--video"]),
        ([{"id": 1, "file_name": "v/x.jpg"}], {}, ["names no frame"]),
        ([{"id": 1, "file_name": "v/0.jpg"}], {"image_id": 2}, ["annotations.0.image_id", "is 2"]),
        ([{"id": 1, "file_name": "v/0.jpg"}], {"category_id": 2}, ["annotations.0.category_id", "is 2"]),
        ([{"id": 1, "file_name": "v/0.jpg"}], {"bbox": [1e308, 1, 1e308, 5]}, ["annotations.0.bbox", "finite"]),
        ([{"id": 1, "file_name": "v/0.jpg"}], {"bbox": [1, 1, 0, 5]}, ["annotations.0.bbox", "empty"]),
        ([{"file_name": "v/0.jpg"}], {}, ["images.0 has no 'id'"]),
        ([{"id": 1, "video_id": 1, "frame_id": 0}], {}, ["images.0.video_id"]),
    ],
)
def test_coco_refused(write: Any, images: list[Any], annotation: dict[str, Any], words: list[str]) -> None:
    part = {"id": 1, "image_id": 1, "category_id": 7, "bbox": [1, 1, 5, 5], **annotation}
    with pytest.raises(SheetError) as caught:
        list(import_coco(write("coco.json", coco(images, [part]))))
    for word in [*words, "coco.json"]:
        assert word in str(caught.value)


def vis(**changes: Any) -> dict[str, Any]:
    video = {"id": 1, "file_names": ["0065b/00000.jpg", "0065b/00005.jpg", "0065b/00010.jpg"]}
    boxes = [None, [1.5, 2, 3, 4], [2, 2, 3, 4]]
    annotation = {"id": 5, "video_id": 1, "category_id": 7, "bboxes": boxes, **changes}
    return {"categories": [{"id": 7, "name": "eel"}], "videos": [video], "annotations": [annotation]}


def test_ytvis(write: Any, tmp_path: Path) -> None:
    (first,) = sheet(import_ytvis(write("vis.json", vis())), tmp_path)["0065b"]
    assert (first.object, first.label, first.frame, box(first)) == ("track-5", "eel", 5, (1.5, 2, 4.5, 6))
    every = list(import_ytvis(write("vis.json", vis()), every_box=True))
    assert [row.frame for row in every] == [5, 10]
    assert list(import_ytvis(write("vis.json", {**vis(), "annotations": None}))) == []


def test_ytvis_by_place(write: Any) -> None:
    found = import_ytvis(write("vis.json", vis()), every_box=True, by_place=True)
    places = vis()["videos"][0]["file_names"]
    shown = [step for step, box in enumerate(vis()["annotations"][0]["bboxes"]) if box]
    assert [row.frame for row in found] == shown
    assert shown[-1] < len(places)


def test_ytvis_refused(write: Any) -> None:
    with pytest.raises(SheetError, match=r"vis\.json: annotations\.0\.bboxes has 1 entries for 3 frames"):
        list(import_ytvis(write("vis.json", vis(bboxes=[None]))))
    with pytest.raises(SheetError, match=r"annotations\.0\.video_id is 2"):
        list(import_ytvis(write("vis.json", vis(video_id=2))))


@pytest.mark.parametrize(
    ("text", "word"),
    [
        ("{", "not JSON"),
        ("[]", "not an object"),
        ('{"a": NaN}', "NaN"),
        ("[" * 100_000, "not JSON"),
        ('{"a": ' + "9" * 5000 + "}", "not JSON"),
        ("{}", "has no 'categories'"),
        ('{"categories": 3}', "categories is 3, not a list"),
    ],
)
def test_what_is_no_such_file(write: Any, text: str, word: str) -> None:
    for importer in (import_coco, import_ytvis):
        with pytest.raises(SheetError, match=r"x\.json") as caught:
            list(importer(write("x.json", text)))
        assert word in str(caught.value)


# --- CVAT

BOX = '<box frame="{}" outside="{}" occluded="0" keyframe="{}" xtl="{}" ytl="20.0" xbr="{}" ybr="60.0" z_order="0"/>'


def tracks(inside: str, head: str = "<meta><task><source>reef 7.mp4</source></task></meta>") -> str:
    return f'<?xml version="1.0" encoding="utf-8"?><annotations><version>1.1</version>{head}{inside}</annotations>'


def track(*boxes: tuple[int, int, int, float, float], number: int = 0) -> str:
    return f'<track id="{number}" label="sea &amp; eel">{"".join(BOX.format(*each) for each in boxes)}</track>'


def test_cvat(write: Any, tmp_path: Path) -> None:
    drawn = track((0, 0, 1, 10, 30.5), (1, 0, 0, 11, 31), (40, 0, 1, 50, 70), (60, 1, 1, 50, 70), (90, 0, 1, 1, 9))
    path = write("a.xml", tracks(drawn + track((5, 0, 1, 1, 2), number=1)))
    found = sheet(import_cvat(path, fps=20), tmp_path)[safe_id("reef 7")]
    assert [(p.object, p.frame, p.until_s) for p in found] == [
        ("track-0", 0, 2.95), ("track-0", 40, 2.95), ("track-0", 90, None), ("track-1", 5, None),
    ]  # fmt: skip
    assert (found[0].label, box(found[0])) == ("sea & eel", (10, 20, 30.5, 60))
    assert [row.frame for row in import_cvat(path, video="v", every_box=False)] == [0, 5]


def test_a_turned_box_is_taken_whole(write: Any) -> None:
    turned = '<track id="0" label="x"><box frame="0" xtl="0" ytl="10" xbr="40" ybr="30" rotation="90"/></track>'
    (row,) = import_cvat(write("a.xml", tracks(turned)))
    assert row.box == pytest.approx((10, 0, 30, 40))


def test_cvat_tracks_come_one_by_one(write: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    path = write("a.xml", tracks("".join(track((0, 0, 1, 10, 30), number=n) for n in range(300))))
    whole = list(import_cvat(path))
    assert len(whole) == 300
    monkeypatch.setattr("longtake.importers.cvat.CHUNK_BYTES", 7)
    assert list(import_cvat(path)) == whole


BOMB = '<!DOCTYPE annotations [<!ENTITY a "ha"><!ENTITY b "&a;&a;&a;&a;">]>'
OUTSIDE = '<!DOCTYPE annotations [<!ENTITY a SYSTEM "file:///etc/passwd">]>'


@pytest.mark.parametrize(
    ("text", "words"),
    [
        (BOMB + "<annotations><track id='0' label='&b;'/></annotations>", ["document type"]),
        (OUTSIDE + "<annotations><meta>&a;</meta></annotations>", ["document type"]),
        ("<!DOCTYPE annotations SYSTEM 'http://example.org/x.dtd'><annotations/>", ["document type"]),
        ("<annotations><track", ["not XML"]),
        ("", ["not XML"]),
        ("<boxes/>", ["begins with <boxes>"]),
        (tracks("<image id='0'/>"), ["images", "CVAT for video 1.1"]),
        (tracks("<track id='3' label='x'><polygon frame='0' points='0,0;1,1'/></track>"), ["<polygon>", "--masks"]),
        (tracks("<track id='3' label='x'><cuboid frame='0'/></track>"), ["track.3", "<cuboid>", "rectangle"]),
        (tracks("<track id='3'/>"), ["no 'label'"]),
        (tracks(track((0, 0, 1, 30, 30))), ["track.0.box.0", "empty box"]),
        (tracks(track((0, 0, 1, 30, float("nan")))), ["xbr", "finite"]),
        (tracks(track((0, 0, 1, 30, 40)).replace("30", "wide")), ["xtl", "'wide'"]),
        (tracks(track((0, 0, 1, 3, 4)), head=""), ["--video"]),
    ],
)
def test_cvat_refused(write: Any, text: str, words: list[str]) -> None:
    with pytest.raises(SheetError) as caught:
        list(import_cvat(write("a.xml", text)))
    for word in [*words, "a.xml"]:
        assert word in str(caught.value)


# --- the command


def test_the_command_writes_all_or_nothing(write: Any, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["hd-epic", *map(str, epic(write))]) == 0
    assert len(capsys.readouterr().out.splitlines()) == 4
    assert main(["hd-epic", *map(str, epic(write, track={"masks": ["m1", "m9"]}))]) == 1
    assert capsys.readouterr().out == ""
    path = str(write("vis.json", vis()))
    assert main(["ytvis", path, "--boxes", "all"]) == 0
    assert len(capsys.readouterr().out.splitlines()) == 3
    assert main(["cvat", str(write("a.xml", tracks(track((0, 0, 1, 10, 30))))), "--video", "pond-1"]) == 0
    assert capsys.readouterr().out.splitlines()[1].startswith("pond-1\ttrack-0\t")
    assert main(["coco", "nowhere.json"]) == 1
