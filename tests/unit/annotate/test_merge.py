"""Joining windows: every processed frame and object once, or an error that names the file."""

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

import longtake
from longtake import masks
from longtake.annotate.merge import merge_windows
from longtake.errors import SchemaError
from longtake.store.schemas import DETECTIONS
from longtake.store.tables import read_table, write_table

ROOM = Path(longtake.__file__).parents[1]
BOUNDS = [0, 4, 5, 9]
FULL = masks.encode(np.ones((8, 8), dtype=bool))


def row(frame, name="a", **changed):
    base = {
        "video": "pond",
        "frame": frame,
        "time_s": frame / 10,
        "object": name,
        "label": "fish",
        "height": 8,
        "width": 8,
        "score": 0.9,
        "visible": True,
        "mask": FULL,
        "prompted": frame == 0,
        "window": 0,
        "status": "ok",
        "direction": "forward",
    }
    return base | changed


def write(folder, number, rows, **changed):
    facts = {
        "longtake.video": "pond",
        "longtake.window": str(number),
        "longtake.continuity": "chain",
        "longtake.direction": "forward",
        "longtake.frame_interval": "3",
        "longtake.grid_start": str(BOUNDS[number]),
        "longtake.grid_stop": str(BOUNDS[number + 1]),
        "longtake.emit_start": str(BOUNDS[number]),
        "longtake.emit_stop": str(BOUNDS[number + 1]),
        "longtake.grid_frames": "9",
        "longtake.model": "m",
        "longtake.source": "s",
    }
    path = folder / f"{number}.parquet"
    write_table(path, rows, DETECTIONS, facts | {f"longtake.{key}": value for key, value in changed.items()})
    return path


@pytest.fixture
def windows(tmp_path):
    return [
        write(tmp_path, number, [row(3 * at, window=number) for at in range(BOUNDS[number], BOUNDS[number + 1])])
        for number in range(3)
    ]


def test_rows_in_order_and_counts(windows, tmp_path):
    out = tmp_path / "all.parquet"
    record = merge_windows(windows, out)
    rows = read_table(out, DETECTIONS).to_pylist()
    assert [each["frame"] for each in rows] == list(range(0, 27, 3))
    assert [each["window"] for each in rows] == [0, 0, 0, 0, 1, 2, 2, 2, 2]
    assert record == {
        "video": "pond",
        "windows": 3,
        "rows": 9,
        "visible_rows": 9,
        "objects": ["a"],
        "rows_by_status": {"ok": 9},
    }


def test_an_empty_window_is_fine_where_nothing_lives(windows, tmp_path):
    write(tmp_path, 1, [])
    write(tmp_path, 2, [row(21, prompted=True), row(24)])
    assert merge_windows(windows, tmp_path / "all.parquet")["rows"] == 6


@pytest.mark.parametrize(
    ("order", "message"),
    [
        ([0, 2], "begins with processed frame 5, but 4 is next; a window is missing"),
        ([0, 1, 1, 2], "begins with processed frame 4, but 5 is next"),
        ([1, 0, 2], "begins with processed frame 4, but 0 is next"),
        ([0, 1], "the windows end at processed frame 5 of 9"),
        ([], "there are no windows"),
    ],
)
def test_missing_doubled_or_swapped_windows(windows, tmp_path, order, message):
    with pytest.raises(SchemaError, match=message):
        merge_windows([windows[place] for place in order], tmp_path / "all.parquet")
    assert not (tmp_path / "all.parquet").exists()


@pytest.mark.parametrize(
    ("rows", "message"),
    [
        ([row(12), row(12)], "stands twice"),
        ([row(12), row(15)], "frame 15 does not belong to its window"),
        ([row(13)], "frame 13 does not belong to its window"),
        ([row(12, "b")], "object 'b' appears in frame 12 without a prompt"),
        ([], "object 'a' appears in frame 15 without a prompt, but is missing"),
    ],
)
def test_rows_that_cannot_be(windows, tmp_path, rows, message):
    write(tmp_path, 1, rows)
    with pytest.raises(SchemaError, match=message):
        merge_windows(windows, tmp_path / "all.parquet")
    assert not (tmp_path / "all.parquet").exists()


@pytest.mark.parametrize("key", ["video", "frame_interval", "grid_frames", "model", "source"])
def test_windows_of_different_runs(windows, tmp_path, key):
    write(tmp_path, 1, [row(12)], **{key: "7"})
    with pytest.raises(SchemaError, match=f"{key} is '?7'?.*belong to different runs"):
        merge_windows(windows, tmp_path / "all.parquet")


def write_pass(folder, number, rows, direction, covers=None, **changed):
    """A window of another direction, or one that covers more than it emits (grid frames, the last exclusive)."""
    (folder / direction).mkdir(exist_ok=True)
    facts = {"direction": direction}
    if covers is not None:
        facts |= {"continuity": "overlap", "grid_start": str(covers[0]), "grid_stop": str(covers[1])}
    return write(folder / direction, number, rows, **(facts | changed))


def backward_rows(number, prompted=24):
    frames = range(3 * BOUNDS[number], min(3 * BOUNDS[number + 1], prompted + 1), 3)
    return [row(at, window=number, direction="backward", prompted=at == prompted) for at in frames]


def test_a_backward_pass_is_put_before_the_first_prompt(windows, tmp_path):
    forward = [write(tmp_path, 0, []), write(tmp_path, 1, []), write(tmp_path, 2, [row(24, prompted=True, window=2)])]
    backward = [write_pass(tmp_path, number, backward_rows(number), "backward") for number in range(3)]
    merge_windows(forward, tmp_path / "all.parquet", backward=backward)
    rows = read_table(tmp_path / "all.parquet", DETECTIONS).to_pylist()
    assert [(each["frame"], each["direction"]) for each in rows][-2:] == [(21, "backward"), (24, "forward")]
    assert [each["window"] for each in rows] == [0, 0, 0, 0, 1, 2, 2, 2, 2]


@pytest.mark.parametrize(
    ("number", "rows", "message"),
    [
        (1, [], "going backward, object 'a' appears in frame 9 without a prompt, but is missing in the processed"),
        (2, [row(15, "b"), *backward_rows(2)], "going backward, object 'b' appears in frame 15 without a prompt"),
        (1, [row(12), row(12)], "stands twice"),
        (1, [row(15)], "frame 15 does not belong to its window"),
        (2, backward_rows(2, 21), "object 'a' was prompted on frame 21 in one direction only"),
    ],
)
def test_backward_rows_that_cannot_be(tmp_path, number, rows, message):
    forward = [write(tmp_path, 0, []), write(tmp_path, 1, []), write(tmp_path, 2, [row(24, prompted=True, window=2)])]
    backward = [write_pass(tmp_path, each, backward_rows(each), "backward") for each in range(3)]
    write_pass(tmp_path, number, rows, "backward")
    with pytest.raises(SchemaError, match=message):
        merge_windows(forward, tmp_path / "all.parquet", backward=backward)
    assert not (tmp_path / "all.parquet").exists()


def test_passes_that_do_not_fit(windows, tmp_path):
    backward = [write_pass(tmp_path, number, [], "backward") for number in range(3)]
    with pytest.raises(SchemaError, match="3 windows forward and 2 backward"):
        merge_windows(windows, tmp_path / "all.parquet", backward=backward[:2])
    with pytest.raises(SchemaError, match="is no forward pass"):
        merge_windows(backward, tmp_path / "all.parquet")
    write_pass(tmp_path, 1, [], "backward", model="7")
    with pytest.raises(SchemaError, match=r"model is '7'.*belong to different runs"):
        merge_windows(windows, tmp_path / "all.parquet", backward=backward)


COVERS = [(0, 6), (4, 8), (5, 9)]


def independent(folder, covers=COVERS):
    """Windows of an object that is prompted in each of them, drawn on all frames that they cover."""
    return [
        write_pass(
            folder,
            number,
            [row(3 * at, f"auto-{number:04d}-00", prompted=at == start, window=number)
             for at in range(start, stop)],
            "forward",
            covers=(start, stop),
        )
        for number, (start, stop) in enumerate(covers)
    ]  # fmt: skip


def test_independent_windows_are_stitched(tmp_path):
    record = merge_windows(independent(tmp_path), tmp_path / "all.parquet")
    rows = read_table(tmp_path / "all.parquet", DETECTIONS).to_pylist()
    assert [(each["frame"], each["object"]) for each in rows] == [(at, "auto-0000-00") for at in range(0, 27, 3)]
    assert [each["window"] for each in rows] == [0, 0, 0, 0, 1, 2, 2, 2, 2]
    assert (record["rows"], record["windows"]) == (9, 3)


@pytest.mark.parametrize(
    ("covers", "message"),
    [
        ([(0, 4), (4, 8), (5, 9)], "shares no processed frame with the window before"),
        ([(0, 3), (4, 8), (5, 9)], "processed frames 0 up to 3, but 0 up to 4 are its own"),
        ([(0, 6), (3, 8), (5, 9)], "processed frames 3 up to 8, but 4 up to 5 are its own"),
    ],
)
def test_independent_windows_that_do_not_cover_their_own(tmp_path, covers, message):
    with pytest.raises(SchemaError, match=message):
        merge_windows(independent(tmp_path, covers), tmp_path / "all.parquet")


def test_rows_of_independent_windows_are_checked_one_by_one(tmp_path):
    windows = independent(tmp_path)
    write_pass(tmp_path, 1, [row(12, "auto-0001-00", prompted=True), row(18, "auto-0001-00")], "forward", (4, 8))
    with pytest.raises(SchemaError, match="'auto-0001-00' appears in frame 18 without a prompt"):
        merge_windows(windows, tmp_path / "all.parquet")
    write_pass(tmp_path, 1, [row(24, "auto-0001-00", prompted=True)], "forward", (4, 8))
    with pytest.raises(SchemaError, match="frame 24 does not belong to its window"):
        merge_windows(windows, tmp_path / "all.parquet")


def test_a_chain_covers_what_it_emits(windows, tmp_path):
    write(tmp_path, 1, [row(12)], grid_stop="7")
    with pytest.raises(SchemaError, match="processed frames 4 up to 7, but 4 up to 5 are its own"):
        merge_windows(windows, tmp_path / "all.parquet")


def test_merging_needs_no_torch():
    code = "import sys, longtake.annotate.merge; print('torch' in sys.modules)"
    found = subprocess.run(
        [sys.executable, "-c", code], env={"PYTHONPATH": str(ROOM)}, capture_output=True, text=True, check=False
    )
    assert found.stdout == "False\n", found.stderr
