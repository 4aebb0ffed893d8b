"""A sheet of tab-separated text as rows of checked values.

Parsed with the Snakefile in every job, so a sheet is read in one pass with the standard library.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

from longtake.cells import original
from longtake.config import LARGEST, SCHEMA, load_schema, shortened, written_out
from longtake.errors import SheetError, nearest

_BETWEEN = re.compile(r"[\s,;|]+")


def read_rows(path: Path, schema_name: str) -> Iterator[dict[str, Any]]:
    """Yield each row of a sheet as its number, ``row``, and the values of all columns that its schema lists.

    Lines are counted from 1. Blank ones and those that begin with ``#`` are left out, the header above them too.

    Raises
    ------
    SheetError
        For a sheet that cannot be read, a column that is unknown, missing or given twice, too many cells, an empty
        cell where one is needed, or one that the schema does not allow.
    """
    schema = load_schema(SCHEMA.parent / schema_name)
    columns: Mapping[str, Any] = schema["properties"]
    convert = {name: _converter(part) for name, part in columns.items()}
    # Python ends a line at seven more characters, which may well stand in a path or a label.
    lines = enumerate((line.split("\t") for line in _text(path).split("\n")), start=1)
    header = next(([name.strip() for name in cells] for _, cells in lines if not _skipped(cells, columns)), [])
    _check_header(path, header, columns, schema["required"])
    for number, cells in lines:
        if _skipped(cells):
            continue
        if len(cells) > len(header):
            raise SheetError(f"{path}, row {number}: {len(cells)} cells for {len(header)} columns.")
        given = dict(zip(header, (cell.strip() for cell in cells), strict=False))
        hint = _hint(cells[0]) if len(cells) == 1 < len(schema["required"]) else ""
        row: dict[str, Any] = {"row": number}
        for name in columns:
            cell = given.get(name, "")
            if not cell and name in schema["required"]:
                raise SheetError(f"{path}, row {number}: column {name} is empty.{hint} {columns[name]['description']}")
            try:
                row[name] = convert[name](cell)
            except ValueError:
                raise SheetError(
                    f"{path}, row {number}: {name} is {shortened(cell)!r}.{hint} {columns[name]['description']}"
                ) from None
        yield row


def plain_number(text: str, kind: type = float) -> Any:
    """Return `text` as a number of `kind`; a ValueError for what is none, has no end, or is beyond all measure."""
    # Python reads 1_000 and digits of other scripts, which in a sheet are slips.
    value = kind(text) if text.isascii() and "_" not in text else math.nan
    if not -LARGEST <= value <= LARGEST:
        raise ValueError(text)
    return value


def refuse_twice(path: str | Path, what: str, rows: Iterable[tuple[int, str]]) -> None:
    """Refuse a name that stands in two of the rows, given as their numbers and names."""
    seen: dict[str, int] = {}
    for row, name in rows:
        if name in seen:
            raise SheetError(f"{path}, row {row}: {what} {name!r} stands already in row {seen[name]}.")
        seen[name] = row


def _text(path: Path) -> str:
    shown = shortened(str(path))
    try:
        return path.read_text(encoding="utf-8-sig")
    except FileNotFoundError:
        raise SheetError(f"The sheet {shown} does not exist (looked in {Path.cwd()}).{written_out(path)}") from None
    except OSError as error:
        raise SheetError(f"The sheet {shown} cannot be read ({error.strerror}). Name a text file.") from None
    except UnicodeDecodeError as error:
        raise SheetError(f"{shown} is not UTF-8 text ({error}). Save it as UTF-8, tab separated.") from None


def _skipped(cells: list[str], columns: Iterable[str] = ()) -> bool:
    """Whether a line is blank or a remark; a header behind a # is none, and its first column is then unknown."""
    if not any(cell.strip() for cell in cells):
        return True
    return cells[0].startswith("#") and cells[0].lstrip("# ").strip() not in columns


def _check_header(path: Path, header: list[str], columns: Mapping[str, Any], required: list[str]) -> None:
    for name in header:
        if name not in columns:
            known = nearest(name, columns)
            raise SheetError(f"{path}: unknown column {shortened(name)!r}.{known}{_hint(name, columns)}")
    for name in required:
        if name not in header:
            raise SheetError(f"{path}: column {name!r} is missing. {columns[name]['description']}")
    refuse_twice(path, "column", ((1, name) for name in header))


def _hint(cell: str, known: Iterable[str] | None = None) -> str:
    """Say that columns want tabs, where a cell looks like several; with `known`, if one of those is in it."""
    parts = [part for part in _BETWEEN.split(cell) if part]
    if len(parts) < 2 or (known is not None and not set(parts) & set(known)):
        return ""
    return " Separate the columns by tabs."


def _converter(part: Mapping[str, Any]) -> Callable[[str], Any]:
    if part["type"] == "string":
        pattern = re.compile(part.get("pattern", ""))
        longest = part.get("maxLength", math.inf)

        def text(cell: str) -> str:
            # What names files is measured in bytes, too: most disks take 255, endings and all.
            if not pattern.search(cell) or len(cell) > longest or len(cell.encode()) > 2 * longest:
                raise ValueError(cell)
            return original(cell)

        return text
    kind: type = int if part["type"] == "integer" else float
    minimum = part.get("minimum", -math.inf)

    def number(cell: str) -> Any:
        if not cell:
            return None
        value = plain_number(cell, kind)
        if value < minimum:
            raise ValueError(cell)
        return value

    return number
