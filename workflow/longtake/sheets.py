"""The sheets of videos and prompts: tab-separated text in, checked records out.

Parsed with the Snakefile in every job, so a sheet is read in one pass with the standard library; columns, types
and patterns come from ``config/videos.schema.yaml`` and ``config/prompts.schema.yaml``.
"""

from __future__ import annotations

import hashlib
import math
import re
from bisect import bisect_right
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from itertools import accumulate
from pathlib import Path
from typing import Any

from longtake.config import SCHEMA, load_schema
from longtake.errors import SheetError, nearest

# Ids of objects that nobody prompted: the window that found them, and a number in it.
SEEDED = re.compile(r"auto-[0-9]{4,}-[0-9]{2,}")
# What stands between a video's id and the ending of a file's name (results/README.md).
OWN_ENDINGS = frozenset(
    "agreement backward clips coco curves cvat forecast holes index jsonl mot mots objects perturbations prompts state "
    "stationary truth ytvis".split()
)
# COCO's compressed counts: six bits a character from 0 to o, of which the upper half announces another.
_RUNS = re.compile(r"(?:[P-o]{0,8}[0-O])+")


@dataclass(frozen=True)
class Video:
    """A row of videos.tsv."""

    row: int
    video: str
    path: str
    species: str


@dataclass(frozen=True)
class Prompt:
    """A row of prompts.tsv: what shows an object at a frame or a time, never both.

    A box, points, both, or a mask alone, in source pixels as displayed. Box: maxima exclusive. Points: (x, y), those
    in `points` on the object and those in `negative_points` beside it. `mask`: COCO compressed RLE counts of the source
    frame, or the path of a PNG of its size, non-zero on the object; `mask_digest` is the PNG's, where a job needs it.
    """

    row: int
    video: str
    object: str
    label: str
    frame: int | None
    time_s: float | None
    x_min: float | None
    y_min: float | None
    x_max: float | None
    y_max: float | None
    until_s: float | None
    points: tuple[tuple[float, float], ...] = ()
    negative_points: tuple[tuple[float, float], ...] = ()
    mask: str = ""
    mask_digest: str = ""

    @property
    def box(self) -> tuple[float, float, float, float] | None:
        """The box as (x_min, y_min, x_max, y_max); None for a row without one."""
        edges = (self.x_min, self.y_min, self.x_max, self.y_max)
        return None if None in edges else edges  # type: ignore[return-value]

    @property
    def kind(self) -> str:
        """What the row gives: ``box``, ``points``, ``box and points``, or ``mask``."""
        if self.mask:
            return "mask"
        parts = ["box"] * (self.box is not None) + ["points"] * bool(self.points or self.negative_points)
        return " and ".join(parts)

    @property
    def mask_file(self) -> str:
        """The path of the mask's PNG; empty where the mask is run lengths, or there is none."""
        # Run lengths are written with the characters 0 to o, and a dot is none of them.
        return self.mask if "." in self.mask else ""


def read_videos(path: str | Path, rendered: bool = False, *, empty: bool = False) -> list[Video]:
    """Read videos.tsv.

    Parameters
    ----------
    path
        The sheet.
    rendered
        Whether the workflow makes the files itself, so that they may be missing now.
    empty
        Whether a sheet without a row will do.

    Raises
    ------
    SheetError
        For an id that is no safe file name, an id given twice (also in other letter case, which is one file on
        some disks), ids whose files would share names, an address instead of a path, or a file that does not exist.
    """
    videos = [Video(**row) for row in _rows(Path(path), "videos.schema.yaml")]
    if not videos and not empty:
        raise SheetError(f"{path} holds no video. Add a row: an id, a tab, and the path of the file.")
    _unique(path, "video", ((video.row, video.video.lower()) for video in videos))
    _refuse_shared_names(path, videos)
    for video in videos:
        if re.match(r"[A-Za-z][A-Za-z0-9+.-]+:", video.path):
            raise SheetError(
                f"{path}, row {video.row}: {video.path!r} is an address; only local files are read. Copy it first."
            )
        if "{" in video.path or "}" in video.path:
            raise SheetError(
                f"{path}, row {video.row}: the path {video.path!r} holds a brace, which Snakemake takes for a "
                "wildcard. Rename the file, or link to it by another name."
            )
        if not rendered and not Path(video.path).exists():
            raise SheetError(
                f"{path}, row {video.row}: the file or folder {video.path!r} of video {video.video!r} does not exist "
                f"(looked in {Path.cwd()}). Correct the path, or remove the row."
            )
    return videos


def _refuse_shared_names(path: str | Path, videos: Iterable[Video]) -> None:
    """Refuse ids whose files would share names: detections/a.prompts.parquet could be of a, and of a.prompts."""
    ids = {video.video.lower() for video in videos}
    for video in videos:
        stem, _, ending = video.video.lower().rpartition(".")
        if ending in OWN_ENDINGS and stem in ids:
            raise SheetError(
                f"{path}, row {video.row}: files of video {video.video!r} would have the names of files of video "
                f"{stem!r}. Write it with a dash: {video.video[: len(stem)]}-{video.video[len(stem) + 1 :]}."
            )


def read_prompts(path: str | Path, videos: Iterable[str]) -> dict[str, list[Prompt]]:
    """Read prompts.tsv and return the prompts of each video in `videos`, in the order of the sheet.

    Raises
    ------
    SheetError
        For an unknown video, a row with both or neither of `frame` and `time_s`, a box that is empty or lacks an edge,
        points or run lengths that are none, a mask's file that does not exist, a row that shows nothing or gives a
        mask and something else, an object with two labels, or an object that ends before its prompt. Whether a box,
        a point or a mask fits the picture is known only to the job, which reads the video's size.
    """
    found: dict[str, list[Prompt]] = {video: [] for video in videos}
    labels: dict[tuple[str, str], str] = {}
    for row in _rows(Path(path), "prompts.schema.yaml"):
        where = f"{path}, row {row['row']}"
        for column in ("points", "negative_points"):
            row[column] = tuple(_points(row[column], column, where))
        prompt = Prompt(**row)
        if prompt.video not in found:
            raise SheetError(
                f"{where}: video {prompt.video!r} is not in the sheet of videos.{nearest(prompt.video, found)}"
            )
        if (prompt.frame is None) == (prompt.time_s is None):
            raise SheetError(f"{where}: give either frame or time_s of the prompt, not both and not neither.")
        if SEEDED.fullmatch(prompt.object):
            raise SheetError(
                f"{where}: the id {prompt.object!r} is kept for objects that longtake finds by itself; give another."
            )
        _check_shape(prompt, where)
        if None not in (prompt.until_s, prompt.time_s) and prompt.until_s < prompt.time_s:  # type: ignore[operator]
            raise SheetError(
                f"{where}: object {prompt.object!r} ends at until_s {prompt.until_s:g}, before its prompt at "
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


def mask_digest(prompt: Prompt) -> str:
    """Digest the contents of the prompt's PNG, so that an edited mask is another prompt; empty where there is none."""
    if not prompt.mask_file:
        return ""
    return _file_digest(prompt.mask_file, Path(prompt.mask_file).stat().st_mtime_ns)


@cache
def _file_digest(path: str, modified: int) -> str:  # noqa: ARG001 - part of the key
    with Path(path).open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _points(cell: str, column: str, where: str) -> Iterator[tuple[float, float]]:
    for word in cell.split():
        try:
            x, y = map(float, word.split(","))
        except ValueError:
            x = y = math.nan
        if not (math.isfinite(x) and math.isfinite(y)):
            raise SheetError(
                f"{where}: {word!r} in {column} is no point. Write x,y in source pixels with a decimal point, and a "
                "blank between points: 410,220 455.5,260."
            )
        yield x, y


def _check_shape(prompt: Prompt, where: str) -> None:
    """Refuse what cannot show an object whatever the size of the picture."""
    edges = {name: getattr(prompt, name) for name in ("x_min", "y_min", "x_max", "y_max")}
    missing = [name for name, value in edges.items() if value is None]
    if 0 < len(missing) < 4:
        raise SheetError(f"{where}: {missing[0]} is empty. A box needs all four edges; a row without a box, none.")
    if not prompt.kind:
        raise SheetError(
            f"{where}: nothing shows object {prompt.object!r}. Give a box, points, both, or a mask; remove the row to "
            "leave the object alone."
        )
    if prompt.box is not None and not (prompt.box[0] < prompt.box[2] and prompt.box[1] < prompt.box[3]):
        spans = "x {:g} to {:g}, y {:g} to {:g}".format(*(prompt.box[k] for k in (0, 2, 1, 3)))
        raise SheetError(
            f"{where}: the box {spans} of object {prompt.object!r} is empty. Maxima are exclusive and lie right of and "
            "below the minima."
        )
    if prompt.negative_points and not (prompt.points or prompt.box):
        raise SheetError(
            f"{where}: object {prompt.object!r} has points beside it and none on it. Give points or a box as well."
        )
    if prompt.mask:
        _check_mask(prompt, where)


def _check_mask(prompt: Prompt, where: str) -> None:
    if prompt.box or prompt.points or prompt.negative_points:
        raise SheetError(
            f"{where}: object {prompt.object!r} is given by a mask and by a box or points. A mask says all of it: keep "
            "one of them."
        )
    if prompt.mask_file:
        if not prompt.mask_file.lower().endswith(".png"):
            raise SheetError(
                f"{where}: the mask {prompt.mask!r} is no PNG. Give the path of a PNG, or COCO's RLE counts."
            )
        if not Path(prompt.mask_file).is_file():
            raise SheetError(
                f"{where}: the mask {prompt.mask!r} of object {prompt.object!r} does not exist (looked in "
                f"{Path.cwd()}). Correct the path, or remove the row."
            )
    elif not _RUNS.fullmatch(prompt.mask):
        shown = prompt.mask if len(prompt.mask) <= 40 else prompt.mask[:37] + "..."
        raise SheetError(
            f"{where}: the mask {shown!r} is neither COCO's compressed RLE counts nor the path of a PNG (name.png)."
        )


def most_at_once(prompts: Iterable[Prompt], fps: float) -> int:
    """Return how many objects are tracked at the same time, at most, by their first prompts and last `until_s`.

    Frames become seconds by the mean rate `fps` of the video: enough to say what memory will be needed.
    """
    given: dict[str, list[tuple[float, float]]] = {}
    for each in prompts:
        start = each.time_s if each.time_s is not None else (each.frame or 0) / fps
        end = math.inf if each.until_s is None else max(start, each.until_s)
        given.setdefault(each.object, []).append((start, end))
    # An object still counts on the frame of its end, so of one time starts come first.
    steps = sorted(
        step for spans in given.values() for span in _joined(spans) for step in ((span[0], -1), (span[1], 1))
    )
    return max((-total for total in accumulate(change for _, change in steps)), default=0)


def most_prompted(
    prompts: Iterable[Prompt],
    fps: float,
    frame_interval: int,
    spans: Sequence[tuple[float, float]] = ((0, math.inf),),
) -> int:
    """Return on how many processed frames one object is prompted, at most: each is one that the model may read.

    Of prompts that act on one processed frame, every `frame_interval`-th, one is used. Times become frames by the mean
    rate `fps` of the video: enough to say what memory will be needed. An object that ends and begins anew is counted
    as if nothing were forgotten. `spans` are what jobs know the prompts of: source frames [start, stop), ascending, of
    windows that stand alone; by default the whole video.
    """
    starts, stops = zip(*spans, strict=True)
    frames: dict[tuple[str, int], set[float]] = {}
    for each in prompts:
        frame = each.frame if each.frame is not None else round((each.time_s or 0.0) * fps)
        # The nearest processed frame, the earlier one in a tie (longtake.annotate.prompts).
        nearest = (2 * frame + frame_interval - 1) // (2 * frame_interval) * frame_interval
        at = min(nearest, stops[-1] - 1)
        for span in range(bisect_right(stops, at), bisect_right(starts, at)):
            frames.setdefault((each.object, span), set()).add(at)
    return max(map(len, frames.values()), default=0)


def _joined(spans: Iterable[tuple[float, float]]) -> list[tuple[float, float]]:
    """Join an object's spans that touch; it ends where the latest prompt says."""
    joined: list[tuple[float, float]] = []
    for start, end in sorted(spans):
        begin = joined.pop()[0] if joined and joined[-1][1] >= start else start
        joined.append((begin, end))
    return joined


def _rows(path: Path, schema_name: str) -> Iterable[dict[str, Any]]:
    schema = load_schema(SCHEMA.parent / schema_name)
    columns: Mapping[str, Any] = schema["properties"]
    convert = {name: _converter(part) for name, part in columns.items()}
    try:
        text = path.read_text(encoding="utf-8-sig")
    except FileNotFoundError:
        raise SheetError(f"The sheet {path} does not exist (looked in {Path.cwd()}).") from None
    except OSError as error:
        raise SheetError(f"The sheet {path} cannot be read ({error.strerror}). Name a text file.") from None
    except UnicodeDecodeError as error:
        raise SheetError(f"{path} is not UTF-8 text ({error}). Save it as UTF-8, tab separated.") from None
    lines = (line.split("\t") for line in text.splitlines())
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
        # Python reads 1_000 and digits of other scripts, which in a sheet are slips.
        value = kind(cell) if cell.isascii() and "_" not in cell else math.nan
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
