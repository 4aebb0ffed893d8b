"""A sheet of tab-separated text as checked rows: its columns are the fields of a dataclass.

::

    @dataclass(frozen=True)
    class Case:
        '''A row of volumes.tsv.'''

        row: int
        case: str = id_column("Id of the case, unique in the sheet.")
        path: str = path_column("Path of the volume's file.")
        split: str = column("Part of the study.", choices=("train", "val", "test"), default="train")
        age: float | None = column("Age in years.", minimum=0)

    cases = list(read_sheet("config/volumes.tsv", Case))

`row` is the line in the file, counted from 1. Parsed with the Snakefile in every job, so a sheet is read in one pass
with the standard library: a study may have a hundred thousand prompts.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import MISSING, Field, field, fields
from functools import cache
from pathlib import Path
from typing import Any, TypeVar, get_args, get_type_hints

from longtake.cells import original
from longtake.errors import SheetError, nearest
from longtake.settings.labels import tidy
from longtake.settings.paths import exists, shortened, written_out
from longtake.settings.section import LARGEST

_Row = TypeVar("_Row")
_BETWEEN = re.compile(r"[\s,;|]+")
_ID = "^[A-Za-z0-9][A-Za-z0-9._-]{0,99}$"
_LABEL = r"^[^{}\x00-\x1f\x7f-\x9f\u2028\u2029]*$"
_PATH = r"^[^\x00-\x1f\x7f]*$"


def column(
    description: str,
    *,
    needed: bool = False,
    default: Any = None,
    pattern: str = "",
    longest: float = math.inf,
    minimum: float = -math.inf,
    choices: Sequence[str] = (),
    parse: Callable[[str], Any] | None = None,
    tidied: Callable[[str], str] = str,
) -> Any:
    """Declare a column; its type is the field's: str, int, float, or one of these and None.

    Parameters
    ----------
    description
        What it means. Messages about a bad cell end with it, so it says what to write.
    needed
        Whether the column must be there and no cell of it empty. Else an empty cell is `default`.
    pattern, longest
        What a text must match, and its most characters; bytes may be twice as many.
    minimum
        The least number.
    choices
        The words that it may hold.
    parse
        Makes the value of a cell that is more than one of them; its ValueError says what is wrong, and what to write.
    tidied
        Makes one text of several that mean the same, before it is checked.
    """
    told = {"description": description, "pattern": pattern, "longest": longest, "minimum": minimum}
    told |= {"choices": tuple(choices), "parse": parse, "tidied": tidied}
    return field(metadata=told) if needed else field(default=default, metadata=told)


def id_column(description: str) -> Any:
    """Declare a column of ids that name files: letters, digits, dot, dash and underscore."""
    return column(description, needed=True, pattern=_ID)


def label_column(description: str) -> Any:
    """Declare a column of species, classes or groups, by which files are named; a cell may be empty.

    Accents that are composed or not, and blanks of any kind and number, make no other label.
    """
    # What names files is measured in bytes, too: most disks take 255, endings and all.
    return column(description, default="", pattern=_LABEL, longest=100, tidied=tidy)


def path_column(description: str) -> Any:
    """Declare a column of paths; `check_path` looks whether what they name is there."""
    return column(description, needed=True, pattern=_PATH)


def columns_of(row: type[Any]) -> dict[str, Field[Any]]:
    """Return the columns of the sheet whose rows are `row`, by name, in the order of its fields."""
    return {each.name: each for each in fields(row) if each.metadata}


def is_needed(part: Field[Any]) -> bool:
    """Whether a column must be there."""
    return part.default is MISSING


def read_sheet(path: str | Path, row: type[_Row]) -> Iterator[_Row]:
    """Yield each row of a sheet as a `row`; how many there are is for the caller to judge.

    Blank lines and those that begin with ``#`` are left out, the header above them too.

    Raises
    ------
    SheetError
        For a sheet that cannot be read, a column that is unknown, missing or given twice, too many cells, an empty
        cell where one is needed, or one that its column does not allow.
    """
    path, columns = Path(path), columns_of(row)
    needed = [name for name, part in columns.items() if is_needed(part)]
    convert = _converters(row)  # type: ignore[arg-type]
    # Python ends a line at seven more characters, which may well stand in a path or a label.
    lines = enumerate((line.split("\t") for line in _text(path).split("\n")), start=1)
    header = next(([name.strip() for name in cells] for _, cells in lines if not _skipped(cells, columns)), [])
    _check_header(path, header, columns, needed)
    for number, cells in lines:
        if _skipped(cells):
            continue
        if len(cells) > len(header):
            raise SheetError(f"{path}, row {number}: {len(cells)} cells for {len(header)} columns.")
        hint = _hint(cells[0]) if len(cells) == 1 < len(needed) else ""
        values: dict[str, Any] = {}
        for name, cell in zip(header, map(str.strip, cells), strict=False):
            if cell:
                try:
                    values[name] = convert[name](cell)
                except ValueError as problem:
                    said = _complaint(name, cell, columns[name], str(problem), hint)
                    raise SheetError(f"{path}, row {number}: {said}") from None
        for name in needed:
            if name not in values:
                said = columns[name].metadata["description"]
                raise SheetError(f"{path}, row {number}: column {name} is empty.{hint} {said}")
        yield row(row=number, **values)  # type: ignore[call-arg]


def check_path(path: str, what: str, where: str, *, later: bool = False) -> None:
    """Refuse a path that is an address, a pattern or a home, or that names nothing.

    Parameters
    ----------
    what
        Whose it is, for messages: "of video 'reef'".
    where
        The sheet and the row.
    later
        Whether the workflow makes the file itself, so that it may be missing now.

    Raises
    ------
    SheetError
    """
    shown = shortened(path)
    if re.match(r"[A-Za-z][A-Za-z0-9+.-]+:", path):
        raise SheetError(f"{where}: {shown!r} is an address; only local files are read. Copy it first.")
    if "{" in path or "}" in path:
        raise SheetError(
            f"{where}: the path {shown!r} holds a brace, which Snakemake takes for a wildcard. Rename the file, or "
            "link to it by another name."
        )
    if written_out(path):
        raise SheetError(f"{where}: the path {shown!r} {what} is taken as it stands.{written_out(path)}")
    named = f"{where}: the file or folder {shown!r} {what}"
    if not later and not exists(Path(path), named, SheetError):
        raise SheetError(f"{named} does not exist (looked in {Path.cwd()}). Correct the path, or remove the row.")
    if not later and not (Path(path).is_file() or Path(path).is_dir()):
        raise SheetError(f"{named} is a pipe or a device. Write what it gives into a file, and name that one.")


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


def _check_header(path: Path, header: list[str], columns: Mapping[str, Field[Any]], needed: list[str]) -> None:
    for name in header:
        if name not in columns:
            known = nearest(name, columns)
            raise SheetError(f"{path}: unknown column {shortened(name)!r}.{known}{_hint(name, columns)}")
    for name in needed:
        if name not in header:
            raise SheetError(f"{path}: column {name!r} is missing. {columns[name].metadata['description']}")
    refuse_twice(path, "column", ((1, name) for name in header))


def _hint(cell: str, known: Iterable[str] | None = None) -> str:
    """Say that columns want tabs, where a cell looks like several; with `known`, if one of those is in it."""
    parts = [part for part in _BETWEEN.split(cell) if part]
    if len(parts) < 2 or (known is not None and not set(parts) & set(known)):
        return ""
    return " Separate the columns by tabs."


def _complaint(name: str, cell: str, part: Field[Any], said: str, hint: str) -> str:
    told = part.metadata
    if told["parse"]:
        return said
    return f"{name} is {shortened(cell)!r}.{hint}{nearest(cell, told['choices'])} {told['description']}"


@cache
def _converters(row: type[Any]) -> dict[str, Callable[[str], Any]]:
    """Return what makes a value of a cell that is not empty, for each column."""
    kinds = get_type_hints(row)
    return {name: _converter(part.metadata, kinds[name]) for name, part in columns_of(row).items()}


def _converter(told: Mapping[str, Any], kind: Any) -> Callable[[str], Any]:
    if told["parse"]:
        return told["parse"]
    plain: type = next((each for each in get_args(kind) if each is not type(None)), kind)
    pattern, longest, choices, minimum = re.compile(told["pattern"]), told["longest"], told["choices"], told["minimum"]
    tidied = told["tidied"]

    def text(cell: str) -> str:
        if not pattern.search(cell):
            raise ValueError(cell)
        cell = tidied(original(cell))
        if len(cell) > longest or len(cell.encode()) > 2 * longest:
            raise ValueError(cell)
        if choices and cell not in choices:
            raise ValueError(cell)
        return cell

    def number(cell: str) -> Any:
        value = plain_number(cell, plain)
        if value < minimum:
            raise ValueError(cell)
        return value

    return text if plain is str else number
