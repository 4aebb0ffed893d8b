"""The sheet of prompts: what shows the objects to follow, at a frame or a time.

Parsed with the Snakefile in every job.
"""

from __future__ import annotations

import hashlib
import math
import re
from bisect import bisect_right
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cache, partial
from itertools import accumulate
from pathlib import Path

from longtake.cells import MOST_MASK_TEXT
from longtake.errors import SheetError, nearest
from longtake.settings.labels import Labels
from longtake.settings.paths import exists, shortened, written_out
from longtake.settings.sheet import column, id_column, label_column, plain_number, read_sheet

SHEET = "prompts.tsv"
# Ids of objects that nobody prompted: the window that found them, and a number in it.
SEEDED = re.compile(r"auto-[0-9]{4,}-[0-9]{2,}")
# COCO's compressed counts: six bits a character from 0 to o, of which the upper half announces another.
_RUNS = re.compile(r"(?:[P-o]{0,8}[0-O])+")


def _points(name: str, cell: str) -> tuple[tuple[float, float], ...]:
    """Return the points of a cell of column `name`."""
    found = []
    for word in cell.split():
        try:
            x, y = map(plain_number, word.split(","))
        except ValueError:
            raise ValueError(
                f"{shortened(word)!r} in {name} is no point. Write x,y in source pixels with a decimal point, and a "
                "blank between points: 410,220 455.5,260."
            ) from None
        found.append((x, y))
    return tuple(found)


@dataclass(frozen=True)
class Prompt:
    """A row of prompts.tsv: what shows an object at a frame or a time, never both.

    A box, points, both, or a mask alone, in source pixels as displayed. Box: maxima exclusive. Points: (x, y), those
    in `points` on the object and those in `negative_points` beside it. `mask`: COCO compressed RLE counts of the source
    frame, or the path of a PNG of its size, non-zero on the object; `mask_digest` is the PNG's, where a job needs it.
    """

    row: int
    video: str = column("Id of a video in videos.tsv.", needed=True)
    object: str = id_column(
        "Id of the object, unique within its video. Several rows of one object correct it as it goes."
    )
    label: str = label_column(
        "Species or class of the object. Empty means the species of its video. Up to 100 characters (200 bytes), "
        "without braces or control characters, as files are named by it."
    )
    frame: int | None = column("Source frame of the prompt, counted from 0. Give either frame or time_s.", minimum=0)
    time_s: float | None = column("Time of the prompt in seconds from the first frame.", minimum=0)
    x_min: float | None = column(
        "Left edge of the box in source pixels as displayed. A row gives a box, points, a box with points, or a mask "
        "alone."
    )
    y_min: float | None = column("Top edge of the box in source pixels.")
    x_max: float | None = column("Right edge of the box in source pixels, exclusive.")
    y_max: float | None = column("Bottom edge of the box in source pixels, exclusive.")
    until_s: float | None = column(
        "Time in seconds after which the object need not be followed. Empty means to the end.", minimum=0
    )
    points: tuple[tuple[float, float], ...] = column(
        "Points on the object in source pixels, written x,y with a blank between points (410,220 455.5,260).",
        default=(),
        parse=partial(_points, "points"),
    )
    negative_points: tuple[tuple[float, float], ...] = column(
        "Points beside the object, written alike; they come with points or a box.",
        default=(),
        parse=partial(_points, "negative_points"),
    )
    mask: str = column(
        "The object's mask at the size of the source, as COCO's compressed RLE counts, or the path of a PNG (non-zero "
        "= object), relative to the working directory.",
        default="",
    )
    picture: str = column(
        "Name of the frame's file, where the video is a folder of pictures: the frame is then its place there, "
        "whatever number the row gives. Importers write it.",
        default="",
    )
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


ROW = Prompt


def read_prompts(
    path: str | Path, videos: Iterable[str], species: Mapping[str, str] | None = None
) -> dict[str, list[Prompt]]:
    """Read prompts.tsv and return the prompts of each video in `videos`, in the order of the sheet.

    `species` are the labels of the sheet of videos, and where each stands.

    Raises
    ------
    SheetError
        For an unknown video, a row with both or neither of `frame` and `time_s`, a box that is empty or lacks an edge,
        points or run lengths that are none, a mask's file that does not exist, a row that shows nothing or gives a
        mask and something else, an object with two labels, a label that is written in two ways, or an object that ends
        before its prompt. Whether a box, a point or a mask fits the picture is known only to the job, which reads the
        video's size.
    """
    found: dict[str, list[Prompt]] = {video: [] for video in videos}
    labels: dict[tuple[str, str], str] = {}
    known = Labels()
    for label, place in (species or {}).items():
        known.add(label, place)
    for prompt in read_sheet(path, Prompt):
        where = f"{path}, row {prompt.row}"
        if prompt.video not in found:
            raise SheetError(
                f"{where}: video {prompt.video!r} is not in the sheet of videos.{nearest(prompt.video, found)}"
            )
        if (prompt.frame is None) == (prompt.time_s is None):
            raise SheetError(f"{where}: give either frame or time_s of the prompt, not both and not neither.")
        if prompt.picture and prompt.frame is None:
            raise SheetError(f"{where}: picture is {prompt.picture!r}, which needs its number in the column frame.")
        if SEEDED.fullmatch(prompt.object):
            raise SheetError(
                f"{where}: the id {prompt.object!r} is kept for objects that longtake finds by itself; give another."
            )
        _check_shape(prompt, where)
        _check_end(prompt, where)
        known.add(prompt.label, where)
        label = labels.setdefault((prompt.video, prompt.object), prompt.label)
        if label != prompt.label:
            raise SheetError(
                f"{where}: object {prompt.object!r} is labelled {prompt.label!r} here and {label!r} above. "
                "One object has one label; give the other a new id."
            )
        found[prompt.video].append(prompt)
    return found


def mask_digest(prompt: Prompt) -> str:
    """Digest the contents of the prompt's PNG, so that an edited mask is another prompt; empty where there is none.

    Raises
    ------
    SheetError
        The file has vanished since the sheet was read, or may not be read.
    """
    if not prompt.mask_file:
        return ""
    try:
        return _file_digest(prompt.mask_file, Path(prompt.mask_file).stat().st_mtime_ns)
    except OSError as error:
        raise SheetError(
            f"row {prompt.row} of the sheet of prompts: the mask {shortened(prompt.mask)!r} of object "
            f"{prompt.object!r} in video {prompt.video!r} cannot be looked at ({error.strerror}). Correct the path, or "
            "who may read it."
        ) from error


@cache
def _file_digest(path: str, modified: int) -> str:  # noqa: ARG001 - part of the key
    with Path(path).open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


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
    if prompt.box is not None and (prompt.box[2] <= 0 or prompt.box[3] <= 0):
        raise SheetError(
            f"{where}: the box of object {prompt.object!r} ends at x {prompt.box[2]:g}, y {prompt.box[3]:g}, wholly "
            "left of or above the picture, which begins at 0, 0. Give its edges in source pixels."
        )
    if prompt.negative_points and not (prompt.points or prompt.box):
        raise SheetError(
            f"{where}: object {prompt.object!r} has points beside it and none on it. Give points or a box as well."
        )
    if prompt.mask:
        _check_mask(prompt, where)


def _check_end(prompt: Prompt, where: str) -> None:
    """Refuse an end before the prompt where that can be told without the video: when a frame is, is not known yet."""
    end, time_s, frame = prompt.until_s, prompt.time_s, prompt.frame
    if end is not None and ((time_s is not None and end < time_s) or (frame and end <= 0)):
        at = f"{time_s:g} s" if time_s is not None else f"frame {frame}"
        raise SheetError(
            f"{where}: object {prompt.object!r} ends at until_s {end:g}, before its prompt at {at}. Give a later end, "
            "or leave it empty for the end of the video."
        )


def _check_mask(prompt: Prompt, where: str) -> None:
    if prompt.box or prompt.points or prompt.negative_points:
        raise SheetError(
            f"{where}: object {prompt.object!r} is given by a mask and by a box or points. A mask says all of it: keep "
            "one of them."
        )
    if prompt.mask_file:
        if not prompt.mask_file.lower().endswith(".png"):
            raise SheetError(
                f"{where}: the mask {shortened(prompt.mask)!r} is no PNG. Give the path of a PNG, or COCO's RLE counts."
            )
        what = f"{where}: the mask {shortened(prompt.mask)!r} of object {prompt.object!r}"
        if written_out(prompt.mask):
            raise SheetError(f"{what} is taken as it stands.{written_out(prompt.mask)}")
        if not exists(Path(prompt.mask), what, SheetError, Path.is_file):
            raise SheetError(f"{what} does not exist (looked in {Path.cwd()}). Correct the path, or remove the row.")
    elif len(prompt.mask) > MOST_MASK_TEXT:
        raise SheetError(
            f"{where}: the mask of object {prompt.object!r} is {len(prompt.mask)} characters of run lengths, and no "
            f"object has more than {MOST_MASK_TEXT}. Draw it smoother, or give the path of a PNG."
        )
    elif not _RUNS.fullmatch(prompt.mask):
        raise SheetError(
            f"{where}: the mask {shortened(prompt.mask)!r} is neither COCO's compressed RLE counts nor the path of a "
            "PNG (name.png)."
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
