"""Prompts held against planted detections; every number can be found by hand."""

import numpy as np
import pytest

from longtake import masks
from longtake.annotate.judgement import judge_prompts
from longtake.store.schemas import DETECTIONS, PROMPTS
from longtake.store.tables import read_table, write_table

WIDTH, HEIGHT, INTERVAL = 40, 20, 5


class Clock:
    """A video of 100 frames, 10 a second."""

    width, height, n_frames = WIDTH, HEIGHT, 100

    def time_s(self, frame):
        return frame / 10

    def frame_at(self, time_s):
        return int(time_s * 10 + 0.01)


def rectangle(x_min, y_min, x_max, y_max):
    mask = np.zeros((HEIGHT, WIDTH), dtype=bool)
    mask[y_min:y_max, x_min:x_max] = True
    return mask


def detection(frame, name="a", box=(10, 5, 20, 15), **more):
    """A row whose mask fills its box; no box: not visible."""
    row = {"video": "pond", "frame": frame, "time_s": frame / 10, "object": name, "label": "fish", "score": 0.75}
    row |= {"height": HEIGHT, "width": WIDTH, "prompted": False, "window": 0, "status": "ok", "direction": "forward"}
    if box is not None:
        row |= dict(zip(("x_min", "y_min", "x_max", "y_max"), map(float, box), strict=True))
        row["mask"] = masks.encode(rectangle(*box))
    return row | {"visible": box is not None} | more


@pytest.fixture
def judged(tmp_path):
    """Judge prompts over planted rows; give the table by row of the sheet, and the summary."""

    def run(prompts, rows, **more):
        write_table(tmp_path / "detections.parquet", rows, DETECTIONS)
        out = tmp_path / "prompts.parquet"
        summary = judge_prompts(prompts, Clock(), INTERVAL, tmp_path / "detections.parquet", out, **more)
        return {row["row"]: row for row in read_table(out, PROMPTS).to_pylist()}, summary

    return run


def test_a_box_and_what_was_drawn_where_it_acts(prompt, judged):
    """The prompt names frame 11 and acts on 10; half of its box is drawn there, none of it one grid frame earlier."""
    rows = [detection(5, box=(25, 5, 35, 15)), detection(10), detection(10, "b"), detection(15, box=None)]
    found, summary = judged([prompt(frame=11, box=(15, 5, 25, 15))], rows)
    (row,) = found.values()
    assert (row["frame"], row["acts_on_frame"], row["time_s"], row["kind"]) == (11, 10, 1.1, "box")
    assert row["iou"] == pytest.approx(50 / 150)
    assert (row["previous_iou"], row["points_honoured"]) == (0, None)
    assert (row["visible"], row["score"], row["mask_area"], row["status"]) == (True, 0.75, 100, "ok")
    assert row["lost"]
    assert summary == {"prompts": 1, "prompts_not_used": 0, "prompts_lost": 1}


@pytest.mark.parametrize(("threshold", "lost"), [(0.33, False), (0.34, True)])
def test_the_threshold_is_the_caller_s(prompt, judged, threshold, lost):
    found, _ = judged([prompt(frame=10, box=(15, 5, 25, 15))], [detection(10)], lost_below=threshold)
    assert found[2]["lost"] is lost
    assert found[2]["previous_iou"] is None


@pytest.mark.parametrize(
    ("on", "beside", "share", "lost"),
    [
        ([(10, 5), (19.9, 14.9)], [(9.9, 5), (20, 15)], 1, False),
        ([(12, 8), (30, 8)], [], 0.5, True),
        ([(12, 8)], [(13, 8), (0, 0), (39, 19)], 0.75, True),
    ],
)
def test_points_are_honoured_by_the_side_of_the_mask(prompt, judged, on, beside, share, lost):
    given = prompt(frame=10, box=None, points=tuple(on), negative_points=tuple(beside))
    found, _ = judged([given], [detection(10)])
    assert (found[2]["points_honoured"], found[2]["iou"], found[2]["lost"]) == (share, None, lost)


def test_a_box_with_points_must_please_both(prompt, judged):
    good = prompt(frame=10, box=(10, 5, 20, 15), points=((12.0, 8.0),), row=2)
    bad = prompt(frame=20, box=(10, 5, 20, 15), points=((30.0, 8.0),), row=3)
    found, _ = judged([good, bad], [detection(10), detection(20)])
    assert [found[row]["kind"] for row in (2, 3)] == ["box and points"] * 2
    assert [(found[row]["iou"], found[row]["lost"]) for row in (2, 3)] == [(1, False), (1, True)]


def test_a_mask_is_compared_as_a_mask(prompt, judged):
    """Two masks in one box: the boxes agree wholly, the masks by two thirds."""
    shape = rectangle(10, 5, 20, 15)
    shape[8:12, 10:18] = False
    given = prompt(frame=10, box=None, mask=masks.encode(shape))
    found, _ = judged([given], [detection(5, box=None), detection(10)])
    assert found[2]["iou"] == pytest.approx(68 / 100)
    assert (found[2]["previous_iou"], found[2]["kind"], found[2]["lost"]) == (0, "mask", False)


def test_nothing_drawn_is_lost_whatever_was_asked(prompt, judged):
    shapes = [{"box": (1, 1, 5, 5)}, {"box": None, "points": ((3.0, 3.0),)}]
    shapes += [{"box": None, "mask": masks.encode(rectangle(1, 1, 5, 5))}]
    given = [prompt(name, 10, row=row, **shape) for row, (name, shape) in enumerate(zip("abc", shapes, strict=True))]
    found, summary = judged(given, [detection(10, name, box=None) for name in "abc"])
    assert all(row["lost"] and not row["visible"] and row["mask_area"] == 0 for row in found.values())
    assert summary["prompts_lost"] == 3


def test_a_prompt_that_is_not_used_says_why_and_is_not_lost(prompt, judged):
    rows = [prompt(frame=10, row=2), prompt(frame=11, row=3), prompt("b", 10, row=4)]
    found, summary = judged(rows, [detection(10)])
    assert [found[row]["status"] for row in (2, 3, 4)] == ["ok", "failed", "failed"]
    assert "closer" in found[3]["reason"]
    assert "no row of the object" in found[4]["reason"]
    assert found[3]["lost"] is found[3]["visible"] is found[4]["lost"] is None
    assert summary["prompts_not_used"] == 2


def test_a_frame_behind_a_decoding_error(prompt, judged):
    found, _ = judged([prompt(frame=10)], [detection(10, status="tainted")])
    assert (found[2]["status"], found[2]["reason"]) == ("approximate", "its frame lies behind a decoding error")


def test_prompts_on_consecutive_frames_see_each_other_s_rows(prompt, judged):
    rows = [prompt(frame=5, box=(10, 5, 20, 15), row=2), prompt(frame=10, box=(10, 5, 20, 15), row=3)]
    found, _ = judged(rows, [detection(5), detection(10, box=(10, 5, 15, 15))])
    assert [found[row]["iou"] for row in (2, 3)] == [1, 0.5]
    assert [found[row]["previous_iou"] for row in (2, 3)] == [None, 1]


def test_no_prompt_is_an_empty_table(judged):
    assert judged([], [detection(10)]) == ({}, {"prompts": 0, "prompts_not_used": 0, "prompts_lost": 0})


def test_long_tables_pass_in_batches(prompt, judged, monkeypatch):
    monkeypatch.setattr("longtake.annotate.judgement._BATCH_ROWS", 3)
    rows = [detection(frame, name) for frame in range(0, 100, 5) for name in "ab"]
    given = [prompt(name, frame, (10, 5, 20, 15), row=frame + order)
             for order, name in enumerate("ab") for frame in range(5, 100, 10)]  # fmt: skip
    found, summary = judged(given, rows)
    assert summary == {"prompts": 20, "prompts_not_used": 0, "prompts_lost": 0}
    assert {row["previous_iou"] for row in found.values()} == {1}
