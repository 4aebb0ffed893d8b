"""A table that is torn or was changed is refused by name, wherever the change is."""

import pyarrow.parquet as pq
import pytest

from longtake.errors import SchemaError
from longtake.store.checksum import CHECKSUM
from longtake.store.schemas import AGREEMENT
from longtake.store.tables import concatenate, read_table, scan_batches, write_table

ROW = {"video": "a", "kind": "seam", "window": 0, "frames": 3, "joined": True}


@pytest.fixture
def table(tmp_path):
    path = tmp_path / "window-0003.parquet"
    write_table(
        path, [{**ROW, "window": number, "mean_iou": number / 7} for number in range(200)], AGREEMENT, {"m": "1"}
    )
    return path


def test_a_bit_that_is_wrong_anywhere_is_seen(table):
    whole = table.read_bytes()
    places = [*range(0, len(whole), 11), len(whole) - 1]
    for place in places:
        data = bytearray(whole)
        data[place] ^= 1 << place % 8
        table.write_bytes(data)
        with pytest.raises(SchemaError, match=r"(?s)window-0003\.parquet.*elete it and run again"):
            read_table(table, AGREEMENT)
    table.write_bytes(whole)
    assert read_table(table, AGREEMENT).num_rows == 200


@pytest.mark.parametrize("left", [0, 3, 100, -1])
def test_a_torn_table_is_refused_by_name(table, left):
    table.write_bytes(table.read_bytes()[:left])
    with pytest.raises(SchemaError, match=r"window-0003\.parquet"):
        list(scan_batches(table, AGREEMENT))
    with pytest.raises(SchemaError, match=r"window-0003\.parquet"):
        concatenate([table], table.with_name("all.parquet"), AGREEMENT)
    assert not table.with_name("all.parquet").exists()


def test_a_table_that_was_rewritten_in_good_order_is_refused(table):
    found = pq.read_table(table)
    changed = found.set_column(
        2, found.schema.field(2), found["window"].combine_chunks().take(list(range(199, -1, -1)))
    )
    pq.write_table(changed, table)
    assert pq.read_schema(table).metadata[b"longtake.schema"] == b"agreement"
    with pytest.raises(SchemaError, match="was changed after it was written"):
        read_table(table, AGREEMENT)


def test_the_same_rows_make_the_same_bytes_and_a_plain_reader_reads_them(table, tmp_path):
    again = tmp_path / "again.parquet"
    write_table(again, read_table(table, AGREEMENT), AGREEMENT, {"m": "1"})
    assert again.read_bytes() == table.read_bytes()
    assert pq.read_table(table).num_rows == 200
    assert len(pq.read_metadata(table).metadata[CHECKSUM.encode()]) == 64
