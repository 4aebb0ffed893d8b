"""Joining windows: every processed frame and object once, or an error that names the file."""

import pytest

from longtake.annotate.merge import merge_windows
from longtake.errors import SchemaError
from longtake.store.schemas import DETECTIONS
from longtake.store.tables import read_table, write_table

BOUNDS = [0, 4, 5, 9]


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
    with pytest.raises(SchemaError, match=f"{key} is '7'.*belong to different runs"):
        merge_windows(windows, tmp_path / "all.parquet")
