"""Tables beside each other as Parquet and CSV."""

import csv

import pyarrow as pa

from longtake.species.tables import write_tables
from longtake.store.tables import read_table

SCHEMA = pa.schema({"species": pa.string(), "lag": pa.int64()}, {"longtake.schema": "few", "longtake.version": "1"})


def test_a_species_called_like_a_formula_is_text_in_a_spreadsheet_and_itself_in_parquet(tmp_path):
    names = ["=1+1", "@x", "cod", None, "-eel", "'=1", "-3"]
    written = pa.table({"species": names, "lag": [-1, -2, 3, 4, 5, 6, 7]}, SCHEMA)
    write_tables(tmp_path / "few.parquet", [written], SCHEMA)
    assert read_table(tmp_path / "few.parquet", SCHEMA).to_pylist() == written.to_pylist()
    with (tmp_path / "few.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert [row["species"] for row in rows] == ["'=1+1", "'@x", "cod", "", "'-eel", "''=1", "-3"]
    assert [row["lag"] for row in rows] == ["-1", "-2", "3", "4", "5", "6", "7"]
