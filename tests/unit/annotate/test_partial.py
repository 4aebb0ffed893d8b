"""Windows that exist, joined around those that do not: all of one run, nothing lost, and the holes named."""

import csv
import importlib.util
import json
from pathlib import Path

import pytest

from longtake.annotate.merge import merge_windows
from longtake.annotate.partial import HOLES, merge_what_exists
from longtake.errors import SchemaError
from longtake.store.schemas import DETECTIONS
from longtake.store.tables import read_metadata, read_table
from longtake.windows import Window

# The tables of whole videos are tested beside this file; here are the same ones, with some missing.
spec = importlib.util.spec_from_file_location("whole", Path(__file__).with_name("test_merge.py"))
whole = importlib.util.module_from_spec(spec)
spec.loader.exec_module(whole)
windows = whole.windows
PLAN = [
    Window("pond", number, 3 * start, 3 * stop, 3 * start, 3 * stop, 0.3 * start, 0.3 * stop)
    for number, (start, stop) in enumerate(zip(whole.BOUNDS, whole.BOUNDS[1:], strict=False))
]


def join(folder, *passes):
    facts = merge_what_exists(
        windows=PLAN,
        passes=passes,
        index=None,
        prompts=(),
        overlap_iou=0.5,
        dense_seeding="auto",
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
    assert (facts, holes) == ({"windows": 3, "missing": 0, "rows": 9}, [])
    assert read_metadata(tmp_path / "partial.parquet")["longtake.model"] == "m"


@pytest.mark.parametrize("missing", [[0], [1], [2], [0, 2], [0, 1], [0, 1, 2]])
def test_what_exists_is_there_and_what_does_not_is_named(windows, tmp_path, missing):
    given = [None if number in missing else path for number, path in enumerate(windows)]
    facts, rows, holes = join(tmp_path, given)
    wanted = [3 * at for n in range(3) if n not in missing for at in range(whole.BOUNDS[n], whole.BOUNDS[n + 1])]
    assert [row["frame"] for row in rows] == wanted
    assert facts == {"windows": 3, "missing": len(missing), "rows": len(wanted)}
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
    _, rows, _ = join(tmp_path, [paths[0], None, paths[2]])
    assert {row["object"] for row in rows} == {"auto-0000-00", "auto-0002-00"}
    assert [row["frame"] for row in rows] == [0, 3, 6, 9, 12, 15, 18, 21, 24], "a neighbour drew some of the hole"


@pytest.mark.parametrize("missing", [0, 1])
def test_windows_of_different_runs_are_refused(windows, tmp_path, missing):
    whole.write(tmp_path, 2, [whole.row(24)], model="7")
    with pytest.raises(SchemaError, match=r"model is '7'.*belong to different runs"):
        join(tmp_path, [None if number == missing else path for number, path in enumerate(windows)])
    assert not (tmp_path / "partial.parquet").exists()
