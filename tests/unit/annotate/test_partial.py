"""Windows that exist, joined around those that do not: all of one run, nothing lost, and the holes named."""

import csv
import importlib.util
import json
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import pytest

from longtake.annotate.merge import merge_windows
from longtake.annotate.partial import merge_what_exists, without_outdated
from longtake.errors import SchemaError
from longtake.media.windows import Window
from longtake.species import tables
from longtake.species.video import video_statistics
from longtake.store.schemas import DETECTIONS, HOLES
from longtake.store.tables import read_metadata, read_table

# The tables of whole videos are tested beside this file; here are the same ones, with some missing.
spec = importlib.util.spec_from_file_location("whole", Path(__file__).with_name("test_merge.py"))
whole = importlib.util.module_from_spec(spec)
spec.loader.exec_module(whole)
windows = whole.windows
PLAN = [
    Window("pond", number, 3 * start, 3 * stop, 3 * start, 3 * stop, 0.3 * start, 0.3 * stop)
    for number, (start, stop) in enumerate(zip(whole.BOUNDS, whole.BOUNDS[1:], strict=False))
]


# The same for windows that share frames with the next.
SHARED = [replace(window, stop=3 * stop) for window, (_, stop) in zip(PLAN, whole.COVERS, strict=True)]


def join(folder, *passes, plan=PLAN, frame_interval=3, continuity="chain", index=None):
    facts = merge_what_exists(
        windows=plan,
        passes=passes,
        index=index,
        prompts=(),
        overlap_iou=0.5,
        dense_seeding="auto",
        frame_interval=frame_interval,
        continuity=continuity,
        detections_out=folder / "partial.parquet",
        holes_out=folder / "holes.tsv",
    )
    with (folder / "holes.tsv").open() as file:
        holes = list(csv.DictReader(file, delimiter="\t"))
    return facts, read_table(folder / "partial.parquet", DETECTIONS).to_pylist(), holes


def test_without_a_hole_it_is_the_whole_table(windows, tmp_path):
    merge_windows(windows, tmp_path / "all.parquet")
    facts, rows, holes = join(tmp_path, windows)
    assert rows == read_table(tmp_path / "all.parquet", DETECTIONS).to_pylist()
    assert (facts, holes) == ({"windows": 3, "missing": 0, "outdated": 0, "rows": 9}, [])
    assert read_metadata(tmp_path / "partial.parquet")["longtake.model"] == "m"


@pytest.mark.parametrize("missing", [[0], [1], [2], [0, 2], [0, 1], [0, 1, 2]])
def test_what_exists_is_there_and_what_does_not_is_named(windows, tmp_path, missing):
    given = [None if number in missing else path for number, path in enumerate(windows)]
    facts, rows, holes = join(tmp_path, given)
    wanted = [3 * at for n in range(3) if n not in missing for at in range(whole.BOUNDS[n], whole.BOUNDS[n + 1])]
    assert [row["frame"] for row in rows] == wanted
    assert facts == {"windows": 3, "missing": len(missing), "outdated": 0, "rows": len(wanted)}
    assert [int(hole["window"]) for hole in holes] == missing
    spans = [[n, 3 * whole.BOUNDS[n], 3 * whole.BOUNDS[n + 1] - 1] for n in missing]
    assert json.loads(read_metadata(tmp_path / "partial.parquet")[HOLES]) == spans
    assert not list(tmp_path.glob(".islands*"))


def test_with_two_directions_a_window_needs_both(tmp_path):
    forward = [whole.write(tmp_path, n, []) for n in range(2)]
    forward.append(whole.write(tmp_path, 2, [whole.row(24, prompted=True, window=2)]))
    backward = [whole.write_pass(tmp_path, n, whole.backward_rows(n), "backward") for n in range(3)]
    _, rows, holes = join(tmp_path, forward, [backward[0], None, backward[2]])
    assert [row["frame"] for row in rows] == [0, 3, 6, 9, 15, 18, 21, 24]
    assert [hole["window"] for hole in holes] == ["1"]


def test_over_a_hole_found_objects_are_not_joined(tmp_path):
    paths = whole.independent(tmp_path)
    _, rows, _ = join(tmp_path, [paths[0], None, paths[2]], plan=SHARED, continuity="overlap")
    assert {row["object"] for row in rows} == {"auto-0000-00", "auto-0002-00"}
    assert [row["frame"] for row in rows] == [0, 3, 6, 9, 12, 15, 18, 21, 24], "a neighbour drew some of the hole"


def replaced(number, **changed):
    """The plan with one window cut elsewhere."""
    return [replace(window, **changed) if window.window == number else window for window in PLAN]


def test_windows_of_another_frame_interval_are_holes(windows, tmp_path, caplog):
    facts, rows, holes = join(tmp_path, windows, frame_interval=2)
    assert facts == {"windows": 3, "missing": 0, "outdated": 3, "rows": 0}
    assert rows == []
    why = "made with other settings (frame_interval 3, now 2): run annotate"
    assert [(hole["status"], hole["reason"]) for hole in holes] == [("outdated", why)] * 3
    assert f"pond: 3 windows are left out, {why}" in caplog.text


@pytest.mark.parametrize(
    ("changed", "told"),
    [
        ({"start": 12, "stop": 18, "emit_start": 12, "emit_stop": 18}, "frames 12 to 12, now 12 to 15"),
        ({"start": 9, "emit_start": 9}, "frames 12 to 12, now 9 to 12"),
    ],
)
def test_a_window_that_was_cut_elsewhere_is_a_hole(windows, tmp_path, changed, told):
    _, rows, holes = join(tmp_path, windows, plan=replaced(1, **changed))
    assert [(hole["window"], hole["status"]) for hole in holes] == [("1", "outdated")]
    assert told in holes[0]["reason"]
    assert {row["window"] for row in rows} == {0, 2}


def test_windows_of_another_continuity_or_overlap_are_holes(windows, tmp_path):
    _, _, holes = join(tmp_path, windows, continuity="overlap")
    assert {hole["reason"] for hole in holes} == {
        "made with other settings (continuity chain, now overlap): run annotate"
    }
    paths = whole.independent(tmp_path)
    _, _, holes = join(tmp_path, paths, plan=SHARED, continuity="overlap")
    assert not holes
    longer = [SHARED[0], replace(SHARED[1], stop=27), SHARED[2]]
    _, _, holes = join(tmp_path, paths, plan=longer, continuity="overlap")
    assert ["frames 12 to 21, now 12 to 24" in hole["reason"] for hole in holes] == [True]


def test_windows_of_another_file_are_holes(windows, tmp_path):
    index = SimpleNamespace(digest="t")
    _, _, holes = join(tmp_path, windows, index=index)
    assert {hole["reason"] for hole in holes} == {"made of another file of this video: run annotate"}


def test_a_damaged_table_is_a_hole(windows, tmp_path):
    windows[1].write_bytes(b"no table")
    _, rows, holes = join(tmp_path, windows)
    assert [hole["window"] for hole in holes] == ["1"]
    assert "delete it and run annotate" in holes[0]["reason"]
    assert {row["window"] for row in rows} == {0, 2}


def test_statistics_leave_out_the_frames_of_holes(windows, tmp_path):
    join(tmp_path, windows, plan=replaced(2, emit_stop=24))
    video_statistics(
        video="pond", detections=tmp_path / "partial.parquet", windows=PLAN, frame_interval=3, out=tmp_path / "of"
    )
    (row,) = read_table(tmp_path / "of/species.parquet", tables.VIDEO_SPECIES).to_pylist()
    assert row["presence"] == 1, "the object is there on each frame that counts"
    assert row["n_failed"] == 1


def test_gradients_of_outdated_windows_are_left_out_and_not_those_of_missing_ones(windows, tmp_path):
    join(tmp_path, [windows[0], None, windows[2]], plan=replaced(2, emit_stop=24))
    assert without_outdated(["a", "b", "c"], tmp_path / "holes.tsv") == ["a", "b"]


@pytest.mark.parametrize("missing", [0, 1])
def test_windows_of_different_runs_are_refused(windows, tmp_path, missing):
    whole.write(tmp_path, 2, [whole.row(24)], model="7")
    with pytest.raises(SchemaError, match=r"model is '7'.*belong to different runs"):
        join(tmp_path, [None if number == missing else path for number, path in enumerate(windows)])
    assert not (tmp_path / "partial.parquet").exists()
