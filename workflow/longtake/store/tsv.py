"""Tables of text whose rows are records: the fields of a dataclass are the columns, and their types the cells'.

What is None is an empty cell, and mappings and lists are JSON. A table may have further columns, which are for people.
Read with the Snakefile in every job: the standard library only.
"""

from __future__ import annotations

import json
import types
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import fields
from functools import cache
from pathlib import Path
from typing import Any, Generic, TypeVar, Union, get_args, get_origin, get_type_hints

from longtake.cells import split_lines
from longtake.errors import SchemaError
from longtake.kinds import Location
from longtake.store.atomic import write_tsv

_Record = TypeVar("_Record")
_JSON = (Mapping, Sequence, dict, list, tuple)
REMEDY = "Delete it: it is made anew."


def columns_of(kind: type[Any]) -> list[str]:
    """Return the columns of a table of `kind`: the names of its fields."""
    return [part.name for part in fields(kind)]


def cells_of(record: Any) -> dict[str, Any]:
    """Return a record as a row of its table."""
    values = {part.name: getattr(record, part.name) for part in fields(record)}
    return {
        name: json.dumps(_plain(value)) if isinstance(value, Mapping | list | tuple) else value
        for name, value in values.items()
    }


def write_records(path: Location, kind: type[Any], records: Iterable[Any], *more: str) -> None:
    """Write `records` to `path`, atomically and one by one; `more` are properties that stand beside the fields."""
    rows = (cells_of(record) | {name: getattr(record, name) for name in more} for record in records)
    write_tsv(path, [*columns_of(kind), *more], rows)


def read_records(path: Location, kind: type[_Record], remedy: str = REMEDY) -> Iterator[_Record]:
    """Yield the rows of a table as `kind`, one by one.

    Raises
    ------
    SchemaError
        The table lacks a column, or a row has a cell that is none of its column's type. The message ends with `remedy`.
    """
    with Path(path).open(encoding="utf-8", newline="") as file:
        yield from parse_records(file, kind, path, remedy)


def parse_records(lines: Iterable[str], kind: type[_Record], path: Location, remedy: str = REMEDY) -> Iterator[_Record]:
    """Yield what the lines of the table at `path` tell of, the first of which names its columns."""
    cells = split_lines(lines)
    record = Parser(next(cells, []), kind, path, remedy)
    for number, row in enumerate(cells, start=2):
        if row:
            yield record(row, f"line {number}")


class Parser(Generic[_Record]):
    """Makes records of the rows of a table that has this header."""

    def __init__(self, header: Sequence[str], kind: type[_Record], path: Location, remedy: str = REMEDY) -> None:
        self._kind, self._path, self._remedy = kind, path, remedy
        convert = _converters(kind)  # type: ignore[arg-type]
        missing = [name for name in convert if name not in header]
        if missing:
            raise SchemaError(
                f"{path} is no table of {kind.__name__.lower()}s of this version: it has the columns "
                f"{', '.join(header) or 'none'}, and {missing[0]} is not among them. {remedy}"
            )
        self._places = [(name, header.index(name), each) for name, each in convert.items()]

    def __call__(self, cells: Sequence[str], where: str) -> _Record:
        """Return a row as a record; `where` names it in messages."""
        values = {}
        for name, place, convert in self._places:
            cell = cells[place] if place < len(cells) else ""
            try:
                values[name] = convert(cell)
            except ValueError:
                raise SchemaError(
                    f"{self._path}, {where}: {name} is {cell!r}, which cannot be. {self._remedy}"
                ) from None
        return self._kind(**values)


@cache
def _converters(kind: type[Any]) -> dict[str, Callable[[str], Any]]:
    hints = get_type_hints(kind)
    return {part.name: _converter(hints[part.name]) for part in fields(kind)}


def _converter(hint: Any) -> Callable[[str], Any]:
    if get_origin(hint) in (Union, types.UnionType):
        (inner,) = (part for part in get_args(hint) if part is not type(None))
        some = _converter(inner)
        return lambda cell: some(cell) if cell else None
    outer = get_origin(hint) or hint
    if isinstance(outer, type) and issubclass(outer, _JSON) and not issubclass(outer, str):
        return json.loads
    return _truth if outer is bool else outer


def _truth(cell: str) -> bool:
    if cell not in ("True", "False"):
        raise ValueError(cell)
    return cell == "True"


def _plain(value: Any) -> Any:
    return dict(value) if isinstance(value, Mapping) else list(value)
