"""The sheets of videos and prompts: tab-separated text in, checked records out.

Parsed with the Snakefile in every job, so a sheet is read in one pass with the standard library; columns, types
and patterns come from ``config/videos.schema.yaml`` and ``config/prompts.schema.yaml``.
"""

from __future__ import annotations

import csv
import math
import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from longtake.config import SCHEMA, load_schema
from longtake.errors import SheetError, nearest


@dataclass(frozen=True)
class Video:
    """A row of videos.tsv."""

    row: int
    video: str
    path: str
    species: str


@dataclass(frozen=True)
class Prompt:
    """A row of prompts.tsv: a box (source pixels, maxima exclusive) at a frame or a time, never both."""

    row: int
    video: str
    object: str
    label: str
    frame: int | None
    time_s: float | None
    x_min: float
    y_min: float
    x_max: float
    y_max: float
    until_s: float | None


def read_videos(path: str | Path, rendered: bool = False) -> list[Video]:
    """Read videos.tsv.

    Parameters
    ----------
    path
        The sheet.
    rendered
        Whether the workflow makes the files itself, so that they may be missing now.

    Raises
    ------
    SheetError
        For an id that is no safe file name, an id given twice (also in other letter case, which is one file on
        some disks), an address instead of a path, or a file that does not exist.
    """
    videos = [Video(**row) for row in _rows(Path(path), "videos.schema.yaml")]
    if not videos:
        raise SheetError(f"{path} holds no video. Add a row: an id, a tab, and the path of the file.")
    _unique(path, "video", ((video.row, video.video.lower()) for video in videos))
    for video in videos:
        if re.match(r"[A-Za-z][A-Za-z0-9+.-]+:", video.path):
            raise SheetError(
                f"{path}, row {video.row}: {video.path!r} is an address; only local files are read. Copy it first."
            )
        if not rendered and not Path(video.path).is_file():
            raise SheetError(
                f"{path}, row {video.row}: the file {video.path!r} of video {video.video!r} does not exist "
                f"(looked in {Path.cwd()}). Correct the path, or remove the row."
            )
    return videos


def read_prompts(path: str | Path, videos: Iterable[str]) -> dict[str, list[Prompt]]:
    """Read prompts.tsv and return the prompts of each video in `videos`, in the order of the sheet.

    Raises
    ------
    SheetError
        For an unknown video, a row with both or neither of `frame` and `time_s`, an empty box, an object with two
        labels, or an object that ends before its prompt. Whether a box lies in the picture is known only to the
        job, which reads the video's size.
    """
    found: dict[str, list[Prompt]] = {video: [] for video in videos}
    labels: dict[tuple[str, str], str] = {}
    for row in _rows(Path(path), "prompts.schema.yaml"):
        prompt = Prompt(**row)
        where = f"{path}, row {prompt.row}"
        if prompt.video not in found:
            raise SheetError(
                f"{where}: video {prompt.video!r} is not in the sheet of videos.{nearest(prompt.video, found)}"
            )
        if (prompt.frame is None) == (prompt.time_s is None):
            raise SheetError(f"{where}: give either frame or time_s of the box, not both and not neither.")
        if prompt.x_max <= prompt.x_min or prompt.y_max <= prompt.y_min:
            raise SheetError(
                f"{where}: the box x {prompt.x_min:g} to {prompt.x_max:g}, y {prompt.y_min:g} to "
                f"{prompt.y_max:g} of object {prompt.object!r} is empty. Maxima are exclusive and lie right of and "
                "below the minima."
            )
        if None not in (prompt.until_s, prompt.time_s) and prompt.until_s < prompt.time_s:  # type: ignore[operator]
            raise SheetError(
                f"{where}: object {prompt.object!r} ends at until_s {prompt.until_s:g}, before its box at "
                f"{prompt.time_s:g} s."
            )
        label = labels.setdefault((prompt.video, prompt.object), prompt.label)
        if label != prompt.label:
            raise SheetError(
                f"{where}: object {prompt.object!r} is labelled {prompt.label!r} here and {label!r} above. "
                "One object has one label; give the other a new id."
            )
        found[prompt.video].append(prompt)
    return found


def _rows(path: Path, schema_name: str) -> Iterable[dict[str, Any]]:
    schema = load_schema(SCHEMA.parent / schema_name)
    columns: Mapping[str, Any] = schema["properties"]
    convert = {name: _converter(part) for name, part in columns.items()}
    try:
        text = path.read_text(encoding="utf-8-sig")
    except FileNotFoundError:
        raise SheetError(f"The sheet {path} does not exist (looked in {Path.cwd()}).") from None
    except UnicodeDecodeError as error:
        raise SheetError(f"{path} is not UTF-8 text ({error}). Save it as UTF-8, tab separated.") from None
    lines = csv.reader(text.splitlines(), delimiter="\t", quoting=csv.QUOTE_NONE)
    header = [name.strip() for name in next(lines, [])]
    _check_header(path, header, columns, schema["required"])
    for number, cells in enumerate(lines, start=2):
        if not any(cell.strip() for cell in cells) or cells[0].startswith("#"):
            continue
        if len(cells) > len(header):
            raise SheetError(f"{path}, row {number}: {len(cells)} cells for {len(header)} columns.")
        given = dict(zip(header, (cell.strip() for cell in cells), strict=False))
        row: dict[str, Any] = {"row": number}
        for name in columns:
            cell = given.get(name, "")
            if not cell and name in schema["required"]:
                raise SheetError(f"{path}, row {number}: column {name} is empty. {columns[name]['description']}")
            try:
                row[name] = convert[name](cell)
            except ValueError:
                raise SheetError(f"{path}, row {number}: {name} is {cell!r}. {columns[name]['description']}") from None
        yield row


def _check_header(path: Path, header: list[str], columns: Mapping[str, Any], required: list[str]) -> None:
    for name in header:
        if name not in columns:
            separated = " Separate the columns by tabs." if len(header) == 1 and "," in name else ""
            raise SheetError(f"{path}: unknown column {name!r}.{nearest(name, columns)}{separated}")
    for name in required:
        if name not in header:
            raise SheetError(f"{path}: column {name!r} is missing. {columns[name]['description']}")
    _unique(path, "column", ((1, name) for name in header))


def _converter(part: Mapping[str, Any]) -> Callable[[str], Any]:
    if part["type"] == "string":
        pattern = re.compile(part.get("pattern", ""))

        def text(cell: str) -> str:
            if not pattern.search(cell):
                raise ValueError(cell)
            return cell

        return text
    kind: type = int if part["type"] == "integer" else float
    minimum = part.get("minimum", -math.inf)

    def number(cell: str) -> Any:
        if not cell:
            return None
        value = kind(cell)
        if not math.isfinite(value) or value < minimum:
            raise ValueError(cell)
        return value

    return number


def _unique(path: str | Path, what: str, rows: Iterable[tuple[int, str]]) -> None:
    seen: dict[str, int] = {}
    for row, name in rows:
        if name in seen:
            raise SheetError(f"{path}, row {row}: {what} {name!r} stands already in row {seen[name]}.")
        seen[name] = row
