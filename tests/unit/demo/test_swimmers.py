"""The labelled videos: the way up or down alone tells the class, and no pond does."""

import csv
from collections import Counter

import numpy as np
import pytest

from longtake.demo.scenes import render_frame
from longtake.demo.swimmers import EACH, PONDS, swimmer_scene, swimmers, write_sheet
from longtake.errors import SheetError


def rows_of(tmp_path):
    write_sheet(tmp_path / "labels.tsv")
    with (tmp_path / "labels.tsv").open(newline="") as file:
        return list(csv.DictReader(file, delimiter="\t"))


def test_every_pond_has_each_class_as_often(tmp_path):
    rows = rows_of(tmp_path)
    assert [row["video"] for row in rows] == list(swimmers())
    counted = Counter((row["group"], row["label"]) for row in rows)
    assert len(counted) == 2 * PONDS
    assert set(counted.values()) == {EACH // 2}


@pytest.mark.parametrize("video", ["jelly-00-0", "jelly-00-1", "jelly-07-0", "jelly-11-1"])
def test_what_is_rendered_moves_as_its_label_says_and_always_points_up(video, tmp_path):
    (label,) = (row["label"] for row in rows_of(tmp_path) if row["video"] == video)
    scene = swimmer_scene(video)
    heights = [np.nonzero(render_frame(scene, frame).ids)[0].mean() for frame in (0, scene.n_frames - 1)]
    moved = heights[1] - heights[0]
    assert (moved < 0) == (label == "rises"), "rows are counted from the top"
    assert abs(moved) > 0.3 * scene.height
    assert np.all(scene.animals[0].track.heading == -np.pi / 2)


def test_an_unknown_video_is_named():
    with pytest.raises(SheetError, match="'jelly-99-0'"):
        swimmer_scene("jelly-99-0")
