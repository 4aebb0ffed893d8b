"""Cells of tables as text, the same way in and out, and none of them a formula in a spreadsheet.

A spreadsheet computes a cell that begins with ``=``, ``+``, ``-`` or ``@``, and a formula may send what stands beside
it to an address. What is no number gets the apostrophe by which a spreadsheet knows text (OWASP, "CSV injection"); a
reader here takes it away again. Parsed with the Snakefile in every job: the standard library only.
"""

from __future__ import annotations

import csv
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any, TextIO

# The wide forms begin a formula in some languages' spreadsheets. Apostrophes count, or their own would be lost in going
# back. Both patterns are read by Arrow's RE2, too.
FORMULA = r"^'*\s*[=+\-@\t\r＝＋－＠]"
NUMBER = r"^\s*[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?\s*$|^-inf$"
_FORMULA, _NUMBER = re.compile(FORMULA), re.compile(NUMBER, re.ASCII)


MOST_MASK_TEXT = 2**20
"""Characters of one mask's run lengths; an animal on a 4K frame has some thousands."""


class _Tabs(csv.Dialect):
    """Cells between tabs, in quotes where they hold one: what spreadsheets and data frames expect."""

    delimiter = "\t"
    quotechar = '"'
    doublequote = True
    lineterminator = "\n"
    quoting = csv.QUOTE_MINIMAL


def harmless(text: str) -> str:
    """Return `text` with an apostrophe before it where a spreadsheet would compute it; numbers stay numbers."""
    return f"'{text}" if _FORMULA.match(text) and not _NUMBER.match(text) else text


def original(cell: str) -> str:
    """Return the text that `harmless` made `cell` of."""
    return cell[1:] if cell[:1] == "'" and _FORMULA.match(cell) else cell


def write_cells(file: TextIO, columns: Sequence[str], rows: Iterable[Mapping[str, Any]]) -> None:
    """Write a header and `rows` as tab-separated text, row by row.

    A row's other keys are left out; what is missing or None is an empty cell; tabs and line ends inside become blanks.
    """
    writer = csv.writer(file, dialect=_Tabs)
    writer.writerow(columns)
    for row in rows:
        cells = ("" if row.get(name) is None else str(row[name]) for name in columns)
        writer.writerow(harmless(" ".join(cell.splitlines()).replace("\t", " ")) for cell in cells)


def write_commas(file: TextIO, columns: Sequence[str], rows: Iterable[Mapping[str, Any]]) -> None:
    """Write a header and `rows` as comma-separated text, row by row; what is missing or None is an empty cell."""
    writer = csv.writer(file, lineterminator="\n")
    writer.writerow([harmless(name) for name in columns])
    for row in rows:
        writer.writerow("" if row.get(name) is None else harmless(str(row[name])) for name in columns)


def read_cells(lines: Iterable[str]) -> Iterator[dict[str, str]]:
    """Yield the rows that `write_cells` wrote, by column; the first line names them. Empty cells are empty texts."""
    header: list[str] | None = None
    for cells in split_lines(lines):
        if header is None:
            header = cells
        elif cells:
            yield dict(zip(header, [*cells, *[""] * (len(header) - len(cells))], strict=False))


def split_lines(lines: Iterable[str]) -> Iterator[list[str]]:
    """Yield the cells of each of `lines`, as they were given to `write_cells`."""
    for cells in csv.reader(lines, dialect=_Tabs):
        yield [original(cell) for cell in cells]
