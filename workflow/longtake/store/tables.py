"""Parquet tables with a declared schema, written whole and checked on read."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import pairwise
from pathlib import Path
from typing import Any, TypeAlias

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from longtake.errors import SchemaError
from longtake.store.atomic import atomic_path
from longtake.store.checksum import CHECKSUM, UNSEALED, refuse_changed, seal

GROUP_BYTES, MOST_GROUP_BYTES, SHARE_OF_ALL = 2**18, 2**24, 64
"""How large a row group is at least: a small part of what is written already, within these bounds."""
# A table of one row holds some 500 bytes for each of its columns.
_SMALL_TABLES = 32
Rows: TypeAlias = pa.Table | pa.RecordBatch | list[dict[str, Any]]


def write_table(
    path: str | os.PathLike[str],
    rows: Rows | Iterable[Rows],
    schema: pa.Schema,
    metadata: Mapping[str, str] | None = None,
) -> int:
    """Write `rows` to `path` with exactly `schema`, atomically, and return the number of rows.

    `rows` is a table, a list of row dictionaries, or an iterable of either, written one after the other: memory holds
    one item and what `gathered` holds. `metadata` is added to the schema's own.

    Raises
    ------
    SchemaError
        If a column is missing, unknown, of another type, or null where the schema requires a value.
    """
    full = schema.with_metadata({**(schema.metadata or {}), **(metadata or {})})
    count = 0
    with atomic_path(path) as temporary:
        with pq.ParquetWriter(temporary, full, compression="zstd") as writer:
            for table in gathered(_conform(item, schema, path) for item in _items(rows)):
                if table.num_rows:
                    writer.write_table(table.replace_schema_metadata(full.metadata))
                    count += table.num_rows
            writer.add_key_value_metadata({CHECKSUM: UNSEALED})
        seal(temporary)
    return count


def gathered(parts: Iterable[pa.Table]) -> Iterator[pa.Table]:
    """Put small tables of one schema together, the more there were before; one that is large stays as it is.

    Until a file is closed its writer holds a kilobyte for each column of each row group. So they are a 64th of what is
    written already: for a file of gigabytes there are some hundreds, and one of megabytes has small ones.
    """
    held: list[pa.Table] = []
    nbytes = written = 0
    for part in parts:
        held.append(part)
        nbytes += part.nbytes
        if nbytes >= min(MOST_GROUP_BYTES, max(GROUP_BYTES, written // SHARE_OF_ALL)):
            yield pa.concat_tables(held).combine_chunks() if len(held) > 1 else held[0]
            written += nbytes
            held, nbytes = [], 0
        elif len(held) == _SMALL_TABLES:
            held = [pa.concat_tables(held).combine_chunks()]
    if held:
        yield pa.concat_tables(held).combine_chunks() if len(held) > 1 else held[0]


def read_table(path: str | os.PathLike[str], schema: pa.Schema) -> pa.Table:
    """Read the whole table at `path`, refused with `SchemaError` unless it was written with `schema`."""
    table = pq.read_table(_checked(path, schema))
    return table.select(schema.names)


def scan_batches(
    path: str | os.PathLike[str], schema: pa.Schema, rows: int = 65_536, columns: Sequence[str] | None = None
) -> Iterator[pa.RecordBatch]:
    """Yield the table at `path` in batches of at most `rows` rows, in file order; memory holds one batch.

    All columns, or those named; the others are then not read.
    """
    with pq.ParquetFile(_checked(path, schema)) as file:
        yield from file.iter_batches(batch_size=rows, columns=list(columns or schema.names))


def scan_groups(
    path: str | os.PathLike[str], schema: pa.Schema, column: str, columns: Sequence[str] | None = None
) -> Iterator[pa.Table]:
    """Yield the rows of each value of `column` as one table, in file order; memory holds one, and one batch.

    Raises
    ------
    SchemaError
        The rows of a value do not follow each other.
    """
    held: list[pa.RecordBatch] = []
    seen: set[Any] = set()
    now: Any = None
    for batch in scan_batches(path, schema, 8192, columns):
        values = batch.column(column).to_pylist()
        cuts = [0, *(at for at in range(1, len(values)) if values[at] != values[at - 1]), len(values)]
        for start, stop in pairwise(cuts if values else []):
            if values[start] != now or not seen:
                if held:
                    yield pa.Table.from_batches(held)
                held, now = [], values[start]
                if now in seen:
                    raise SchemaError(f"{path}: the rows of {column} {now!r} do not follow each other; merge it anew.")
                seen.add(now)
            held.append(batch.slice(start, stop - start))
    if held:
        yield pa.Table.from_batches(held)


def scan_frames(path: str | os.PathLike[str], schema: pa.Schema, start: int, stop: int) -> Iterator[pa.RecordBatch]:
    """Yield the rows at `path` whose `frame` lies in [start, stop), in file order; memory holds one row group.

    Row groups that hold no such frame, by their statistics, are not read.
    """
    column = schema.get_field_index("frame")
    with pq.ParquetFile(_checked(path, schema)) as file:
        for number in range(file.num_row_groups):
            known = file.metadata.row_group(number).column(column).statistics
            if known is not None and known.has_min_max and (known.max < start or known.min >= stop):
                continue
            group = file.read_row_group(number, columns=schema.names)
            inside = pc.and_(pc.greater_equal(group["frame"], start), pc.less(group["frame"], stop))
            yield from group.filter(inside).to_batches()


def concatenate(paths: Iterable[str | os.PathLike[str]], path: str | os.PathLike[str], schema: pa.Schema) -> int:
    """Write the tables at `paths`, one after the other, to `path`; return the number of rows.

    Memory holds one batch, however many the tables.
    """
    return write_table(path, (batch for part in paths for batch in scan_batches(part, schema)), schema)


def read_metadata(path: str | os.PathLike[str]) -> dict[str, str]:
    """Return the key-value metadata of the Parquet file at `path`."""
    found = pq.read_schema(path).metadata or {}
    return {key.decode(): value.decode() for key, value in found.items()}


def _items(rows: Rows | Iterable[Rows]) -> Iterator[Rows]:
    if isinstance(rows, pa.Table | pa.RecordBatch):
        yield rows
    elif isinstance(rows, list) and all(isinstance(row, dict) for row in rows):
        yield rows
    else:
        yield from rows


def _conform(rows: Rows, schema: pa.Schema, path: str | os.PathLike[str]) -> pa.Table:
    if isinstance(rows, list):
        unknown = {name for row in rows for name in row} - set(schema.names)
        if unknown:
            raise SchemaError(f"{path}: columns {sorted(unknown)} are not in the schema {_name(schema)}.")
        table = pa.Table.from_pylist(rows, schema=schema)
    else:
        table = pa.Table.from_batches([rows]) if isinstance(rows, pa.RecordBatch) else rows
        if table.schema.names != schema.names or table.schema.types != schema.types:
            raise SchemaError(f"{path}: columns {table.schema.names} are not those of {_name(schema)}.")
        table = table.cast(schema)
    for field in schema:
        if not field.nullable and table.column(field.name).null_count:
            raise SchemaError(f"{path}: column {field.name!r} must not be empty in {_name(schema)}.")
    return table


def _checked(path: str | os.PathLike[str], schema: pa.Schema) -> Path:
    file = Path(path)
    try:
        found = pq.read_schema(file)
    except FileNotFoundError:
        raise SchemaError(f"{file} does not exist; run the step that writes it.") from None
    except (pa.ArrowException, OSError, ValueError) as error:
        raise SchemaError(f"{file} is not a Parquet file ({error}); delete it and run again.") from None
    metadata = found.metadata or {}
    wanted = schema.metadata or {}
    if b"longtake.schema" in metadata:
        refuse_changed(file)
    for key in (b"longtake.schema", b"longtake.version"):
        if metadata.get(key) != wanted.get(key):
            raise SchemaError(
                f"{file}: {key.decode()} is {metadata.get(key)!r}, expected {wanted.get(key)!r}; "
                "it was written by another step or version. Delete it and run again."
            )
    if found.names != schema.names or found.types != schema.types:
        raise SchemaError(f"{file}: columns {found.names} are not those of {_name(schema)}.")
    return file


def _name(schema: pa.Schema) -> str:
    return (schema.metadata or {}).get(b"longtake.schema", b"(unnamed)").decode()
