"""Files appear whole or not at all, and a table is what its reader declared."""

import json

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from longtake.errors import SchemaError
from longtake.store import tables
from longtake.store.arrays import read_arrays, write_arrays
from longtake.store.atomic import atomic_path, write_json, write_tsv
from longtake.store.schemas import CLIPS, DETECTIONS
from longtake.store.tables import concatenate, read_metadata, read_table, scan_batches, scan_frames, write_table

SMALL = pa.schema(
    [pa.field("name", pa.string(), nullable=False), pa.field("value", pa.float64())],
    metadata={"longtake.schema": "small", "longtake.version": "1"},
)


def test_a_failed_write_leaves_the_old_file_and_nothing_else(tmp_path):
    path = tmp_path / "x.json"
    write_json(path, {"a": 1})
    with pytest.raises(RuntimeError), atomic_path(path) as temporary:
        temporary.write_text("half")
        raise RuntimeError
    assert json.loads(path.read_text()) == {"a": 1}
    assert list(tmp_path.iterdir()) == [path]


def test_the_temporary_file_lies_in_the_same_folder_and_keeps_the_suffix(tmp_path):
    with atomic_path(tmp_path / "new" / "x.parquet") as temporary:
        assert temporary.parent == tmp_path / "new"
        assert temporary.suffix == ".parquet"
        temporary.write_text("x")
    assert (tmp_path / "new" / "x.parquet").stat().st_mode & 0o444 == 0o444


def test_json_refuses_what_is_no_json(tmp_path):
    with pytest.raises(ValueError):
        write_json(tmp_path / "x.json", {"a": float("nan")})
    assert not list(tmp_path.iterdir())


def test_a_table_reads_back_with_its_metadata(tmp_path):
    path = tmp_path / "t.parquet"
    assert write_table(path, [{"name": "a", "value": 1.5}, {"name": "b"}], SMALL, {"why": "test"}) == 2
    assert read_table(path, SMALL).to_pylist() == [{"name": "a", "value": 1.5}, {"name": "b", "value": None}]
    assert read_metadata(path)["why"] == "test"


def test_no_rows_still_make_a_table(tmp_path):
    for schema in (SMALL, DETECTIONS, CLIPS):
        assert write_table(tmp_path / "t.parquet", [], schema) == 0
        assert read_table(tmp_path / "t.parquet", schema).num_rows == 0


def test_tables_are_concatenated_in_order(tmp_path):
    paths = [tmp_path / f"{number}.parquet" for number in range(3)]
    for number, path in enumerate(paths):
        write_table(path, ([{"name": f"{number}{part}", "value": part}] for part in range(number)), SMALL)
    assert concatenate(paths, tmp_path / "all.parquet", SMALL) == 3
    batches = scan_batches(tmp_path / "all.parquet", SMALL)
    assert [row["name"] for batch in batches for row in batch.to_pylist()] == ["10", "20", "21"]


@pytest.mark.parametrize(
    ("rows", "words"),
    [
        ([{"name": "a", "vlaue": 1.0}], "vlaue"),
        ([{"value": 1.0}], "'name' must not be empty"),
        (pa.table({"name": ["a"]}), "not those of small"),
        (pa.table({"name": ["a"], "value": ["b"]}), "not those of small"),
    ],
)
def test_rows_that_do_not_fit_are_refused_and_nothing_is_written(tmp_path, rows, words):
    with pytest.raises(SchemaError, match=words):
        write_table(tmp_path / "t.parquet", rows, SMALL)
    assert not list(tmp_path.iterdir())


def test_a_reader_refuses_what_it_did_not_declare(tmp_path):
    path = tmp_path / "t.parquet"
    with pytest.raises(SchemaError, match="does not exist"):
        read_table(path, SMALL)
    path.write_text("no table")
    with pytest.raises(SchemaError, match="not a Parquet file"):
        read_table(path, SMALL)
    pq.write_table(pa.table({"name": ["a"]}), path)
    with pytest.raises(SchemaError, match=r"longtake\.schema"):
        read_table(path, SMALL)
    write_table(path, [], SMALL.with_metadata({"longtake.schema": "small", "longtake.version": "2"}))
    with pytest.raises(SchemaError, match="version"):
        read_table(path, SMALL)


def test_the_same_arrays_and_metadata_give_the_same_bytes(tmp_path):
    names = [f"key {k}" for k in range(20)]
    write_arrays(tmp_path / "a", {"x": np.ones(2)}, dict.fromkeys(names, "1"))
    write_arrays(tmp_path / "b", {"x": np.ones(2)}, dict.fromkeys(reversed(names), "1"))
    assert (tmp_path / "a").read_bytes() == (tmp_path / "b").read_bytes()
    write_arrays(tmp_path / "c", {"x": np.ones(2)})
    assert read_arrays(tmp_path / "c")[1] == {}


def test_rows_as_tab_separated_text(tmp_path):
    rows = [{"a": "one\ttwo\nthree", "b": None, "c": 3}, {"b": 0.5}]
    write_tsv(tmp_path / "t.tsv", ["a", "b"], rows)
    assert (tmp_path / "t.tsv").read_text() == "a\tb\none two three\t\n\t0.5\n"


def test_arrays_read_back(tmp_path):
    path = tmp_path / "a.safetensors"
    array = np.arange(6, dtype=np.float16).reshape(2, 3).T
    write_arrays(path, {"x": array}, {"scale": "2"})
    arrays, metadata = read_arrays(path)
    np.testing.assert_array_equal(arrays["x"], array)
    assert metadata == {"scale": "2"}
    path.write_bytes(path.read_bytes()[:20])
    with pytest.raises(SchemaError, match="damaged"):
        read_arrays(path)


def test_frames_are_read_from_the_row_groups_that_hold_them(tmp_path, monkeypatch):
    schema = pa.schema(
        [pa.field("frame", pa.int64(), nullable=False), pa.field("name", pa.string())],
        metadata={"longtake.schema": "framed", "longtake.version": "1"},
    )
    monkeypatch.setattr(tables, "GROUP_BYTES", 1)
    groups = [[{"frame": frame, "name": str(frame)} for frame in range(first, first + 10)] for first in (0, 10, 20, 30)]
    write_table(tmp_path / "t.parquet", groups, schema)
    read = []
    plain = pq.ParquetFile.read_row_group
    monkeypatch.setattr(
        pq.ParquetFile, "read_row_group", lambda self, n, **options: (read.append(n), plain(self, n, **options))[1]
    )
    found = [row["name"] for batch in scan_frames(tmp_path / "t.parquet", schema, 15, 22) for row in batch.to_pylist()]
    assert found == [str(frame) for frame in range(15, 22)]
    assert read == [1, 2]
    assert list(scan_frames(tmp_path / "t.parquet", schema, 40, 50)) == []


def test_small_tables_share_a_row_group(tmp_path, monkeypatch):
    schema = pa.schema([pa.field("n", pa.int64())], metadata={"longtake.schema": "n", "longtake.version": "1"})
    monkeypatch.setattr(tables, "GROUP_BYTES", 8 * 100)
    parts = ([{"n": 10 * part + k} for k in range(10)] for part in range(25))
    assert write_table(tmp_path / "t.parquet", parts, schema) == 250
    metadata = pq.read_metadata(tmp_path / "t.parquet")
    assert [metadata.row_group(k).num_rows for k in range(metadata.num_row_groups)] == [100, 100, 50]
    assert read_table(tmp_path / "t.parquet", schema)["n"].to_pylist() == list(range(250))


def test_groups_of_a_column(tmp_path):
    schema = pa.schema([pa.field("w", pa.int64()), pa.field("n", pa.int64())],
                       metadata={"longtake.schema": "w", "longtake.version": "1"})  # fmt: skip
    write_table(tmp_path / "t.parquet", [{"w": n // 20_000, "n": n} for n in range(50_000)], schema)
    found = list(tables.scan_groups(tmp_path / "t.parquet", schema, "w"))
    assert [len(table) for table in found] == [20_000, 20_000, 10_000]
    assert [n for table in found for n in table["n"].to_pylist()] == list(range(50_000))
    write_table(tmp_path / "t.parquet", [{"w": w} for w in (0, 1, 0)], schema)
    with pytest.raises(SchemaError, match="rows of w 0 do not follow each other"):
        list(tables.scan_groups(tmp_path / "t.parquet", schema, "w"))
