"""Rows of prompts.tsv, and the safe ids in them.

Foreign names become ids by a rule that looks at nothing but the name: a name that is an id already stays, any other
gets its bad characters replaced and the first eight hex digits of its SHA-256 appended. So two names never meet in
one id, and the order of a file, or another file, changes none.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import TextIO

from longtake.cells import harmless
from longtake.errors import SheetError

COLUMNS = "video object label frame time_s x_min y_min x_max y_max points mask until_s picture".split()
_ID = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,99}")
Box = tuple[float, float, float, float]


@dataclass(frozen=True)
class Row:
    """What shows an object on a source frame, in source pixels; `source` is its name where it comes from.

    A box (maxima exclusive), or a mask (COCO compressed RLE counts of the frame), or points on the object. `picture` is
    the name of the frame's file, where it is one: in a folder of pictures the frame is then found by it.
    """

    video: str
    object: str
    label: str
    frame: int
    box: Box | None
    until_s: float | None = None
    source: tuple[str, str] = ("", "")
    mask: str = ""
    points: tuple[tuple[float, float], ...] = ()
    picture: str = ""


@dataclass
class Ids:
    """Safe ids for foreign names, each the same wherever it is met."""

    path: str
    _taken: dict[str, str] = field(default_factory=dict)

    def __call__(self, name: str) -> str:
        """Return the id of `name`: letters, digits, dot, dash, underscore; at most 100.

        Raises
        ------
        SheetError
            If another name has this id, also in other letter case, which is one file on some disks.
        """
        given = safe_id(name)
        other = self._taken.setdefault(given.lower(), name)
        if other != name:
            raise SheetError(f"{self.path}: {other!r} and {name!r} would both be {given!r}. Rename one of them.")
        return given


def safe_id(name: str) -> str:
    """Return `name` if it is an id, else its safe characters and a digest of all of it."""
    if _ID.fullmatch(name):
        return name
    digest = hashlib.sha256(name.encode("utf-8", "surrogatepass")).hexdigest()[:8]
    words = re.sub(r"[^A-Za-z0-9._-]+", "_", name).strip("._-")[:80]
    return f"{words or 'x'}-{digest}"


def one_line(text: str) -> str:
    """Return `text` without tabs, line ends and characters that cannot be printed; runs of blanks become one."""
    return " ".join("".join(letter if letter.isprintable() else " " for letter in text).split())


def write_rows(rows: Iterable[Row], file: TextIO) -> int:
    """Write prompts.tsv; a comment above an object's first row says what it was called, where its id differs.

    Returns
    -------
    int
        The number of rows.
    """
    file.write("\t".join(COLUMNS) + "\n")
    count = 0
    told: set[tuple[str, ...]] = set()
    for row in rows:
        count += 1
        named = (("video", row.video, row.source[0]), ("object", row.object, row.source[1]))
        for (kind, given, source), key in zip(named, ((row.video,), (row.video, row.object)), strict=True):
            if source not in ("", given) and key not in told:
                file.write(f"# {kind} {'/'.join(key)} is {json.dumps(source)}\n")
            told.add(key)
        until = "" if row.until_s is None else _number(row.until_s)
        box = [""] * 4 if row.box is None else map(_number, row.box)
        points = " ".join(f"{_number(x)},{_number(y)}" for x, y in row.points)
        label, picture = harmless(one_line(row.label)), harmless(row.picture)
        cells = [row.video, row.object, label, str(row.frame), "", *box, points, row.mask, until, picture]
        file.write("\t".join(cells) + "\n")
    return count


def _number(value: float) -> str:
    return str(int(value)) if float(value).is_integer() else repr(float(value))
