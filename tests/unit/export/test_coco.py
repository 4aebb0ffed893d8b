"""COCO JSON, read back by COCO's own reader."""

from __future__ import annotations

import contextlib
import io
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from pycocotools.coco import COCO

from longtake.export.coco import write_coco
from longtake.export.rows import Annotated
from longtake.store.schemas import DETECTIONS
from longtake.store.tables import write_table


def annotated(clip: Any, video: str) -> Annotated:
    return Annotated(video, **clip.arguments())


def read(path: Path) -> COCO:
    with contextlib.redirect_stdout(io.StringIO()):
        return COCO(str(path))


def test_read_back(make_clip: Any, tmp_path: Path) -> None:
    out = tmp_path / "coco.json"
    videos = [annotated(make_clip("pond-b"), "pond-b"), annotated(make_clip("pond-a"), "pond-a")]
    counts = write_coco(videos, frame_interval=5, categories=["perch", "carp"], out=out)
    assert counts == {"images": 12, "annotations": 10, "categories": 2}
    coco = read(out)
    assert {c["id"]: c["name"] for c in coco.loadCats(coco.getCatIds())} == {1: "carp", 2: "perch"}
    images = coco.loadImgs(coco.getImgIds())
    assert [image["id"] for image in images] == list(range(1, 13))
    assert (images[0]["video"], images[6]["video"]) == ("pond-a", "pond-b")
    assert (images[1]["frame"], images[1]["time_s"]) == (5, pytest.approx(0.213))
    (found,) = coco.loadAnns(coco.getAnnIds(imgIds=[2]))
    mask = np.zeros((96, 160), dtype=bool)
    mask[60:80, 30:50] = True
    assert (coco.annToMask(found).astype(bool) == mask).all()
    assert found["bbox"] == [30.0, 60.0, 20.0, 20.0]
    assert (found["area"], found["category_id"], found["track_id"], found["object"]) == (400, 2, 1, "s1")
    # Frame 15, image 4, shows nothing, and is there all the same.
    assert coco.getAnnIds(imgIds=[4]) == []


def test_order_of_videos_does_not_matter(make_clip: Any, tmp_path: Path) -> None:
    videos = [annotated(make_clip("pond-b"), "pond-b"), annotated(make_clip("pond-a"), "pond-a")]
    for name, order in (("one", videos), ("two", videos[::-1])):
        write_coco(order, frame_interval=5, categories=["perch"], out=tmp_path / f"{name}.json")
    assert (tmp_path / "one.json").read_bytes() == (tmp_path / "two.json").read_bytes()


def test_labels_that_nobody_named_come_last(make_clip: Any, tmp_path: Path) -> None:
    out = tmp_path / "coco.json"
    counts = write_coco([annotated(make_clip(), "pond")], frame_interval=5, categories=["tench"], out=out)
    assert counts["categories"] == 2
    assert [c["name"] for c in read(out).loadCats([1, 2])] == ["tench", "perch"]


def test_nothing_found(make_clip: Any, tmp_path: Path) -> None:
    clip = make_clip("pond")
    write_table(clip.detections, [], DETECTIONS)
    counts = write_coco([annotated(clip, "pond")], frame_interval=5, categories=[], out=tmp_path / "c.json")
    assert counts == {"images": 6, "annotations": 0, "categories": 0}
    assert read(tmp_path / "c.json").getImgIds() == [1, 2, 3, 4, 5, 6]
