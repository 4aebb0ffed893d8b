"""CVAT for video 1.1: XML with tracks of boxes, and of masks, polygons and points where they are asked for.

CVAT's coordinates are positions on the picture's plane, not pixel numbers: a box reaches from xtl to xbr, so xbr and
ybr are exclusive maxima as they stand. Frames are those of the source, also where the task began late or took every
n-th frame. A keyframe is a box that somebody drew; what CVAT interpolated between them is no prompt.

The file may come from anyone. It is read by expat as a stream, and a document type declaration is refused before
anything in it is looked at: without one there are no entities, so none can be expanded or fetched.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import NoReturn
from xml.parsers import expat

from longtake.importers.rows import Box, Ids, Row
from longtake.importers.shapes import Points, checked_size, crop_mask, polygon_mask, upright
from longtake.importers.source import Place, checked, frame_number, number

CHUNK_BYTES = 65_536
# CVAT rounds to hundredths of a pixel.
_INSIDE = 0.01
_DRAWN = {"mask", "polygon", "points"}
_OTHERS = {"polyline", "cuboid", "skeleton", "ellipse"}


@dataclass(frozen=True)
class Shape:
    """What somebody drew: a box, a mask as COCO compressed RLE counts of the frame, or points on the object."""

    box: Box | None = None
    mask: str = ""
    points: Points = ()


@dataclass
class Track:
    """A track as it stands in the file: drawn shapes by frame, and the frames on which it is outside."""

    number: str
    label: str
    name: str = ""
    shapes: dict[int, Shape] = field(default_factory=dict)
    outside: list[int] = field(default_factory=list)


class _Reader:
    """Expat's callbacks; holds the tracks that are complete and not yet fetched."""

    def __init__(self, path: Path, with_masks: bool) -> None:
        self.path = path
        self.place = Place(path)
        self.with_masks = with_masks
        self.size: dict[str, int] = {}
        self.done: list[Track] = []
        self.source = ""
        self.tasks: list[str] = []
        self._seen: set[str] = set()
        self._open: list[str] = []
        self._track: Track | None = None
        self._attribute = ""
        self._words: list[str] = []
        self.parser = expat.ParserCreate()
        self.parser.buffer_text = True
        self.parser.StartDoctypeDeclHandler = self._doctype
        self.parser.StartElementHandler = self._start
        self.parser.EndElementHandler = self._end
        self.parser.CharacterDataHandler = self._text

    def _doctype(self, *_: object) -> NoReturn:
        self.place.refuse("declares a document type", "CVAT writes none; export the file anew.")

    def _start(self, tag: str, given: dict[str, str]) -> None:
        self._open.append(tag)
        self._words = []
        if len(self._open) == 1 and tag != "annotations":
            self.place.refuse(f"begins with <{tag}>", "Give a file of CVAT, exported as CVAT for video 1.1.")
        if len(self._open) == 2 and tag == "image":
            self.place.refuse("holds images, not tracks", "Export the task as CVAT for video 1.1.")
        if tag == "task" and self._open[1:2] == ["meta"]:
            self.tasks.append("")
        elif tag == "track":
            self._begin(given)
        elif self._track is not None and (tag == "box" or (tag in _DRAWN and self.with_masks)):
            self._shape(self._track, tag, given)
        elif self._track is not None and tag == "attribute":
            self._attribute = given.get("name", "")
        elif self._track is not None and tag in _DRAWN | _OTHERS:
            place = self.place / "track" / self._track.number
            if tag in _DRAWN:
                place.refuse(f"holds a <{tag}>", "Take masks, polygons and points with --masks, or remove the track.")
            place.refuse(f"holds a <{tag}>", "No prompt is drawn so: make it a rectangle, or remove the track.")

    def _begin(self, given: dict[str, str]) -> None:
        if len(self.tasks) > 1:
            named = ", ".join(name or "without a name" for name in self.tasks)
            self.place.refuse(
                f"holds {len(self.tasks)} tasks ({named[:400]}), whose frames a project counts through",
                "Export each task alone.",
            )
        place = self.place / "track"
        self._track = Track(_attribute(given, "id", place), _attribute(given, "label", place))
        if self._track.number in self._seen:
            (place / self._track.number).refuse("is there twice", "Ids are unique; export the file anew.")
        self._seen.add(self._track.number)

    def _shape(self, track: Track, tag: str, given: dict[str, str]) -> None:
        place = self.place / "track" / track.number / tag
        frame = frame_number(_float(given, "frame", place), place / "frame")
        if given.get("outside", "0") == "1":
            track.outside.append(frame)
        elif given.get("keyframe", "1") == "1":
            read = {"box": _box, "points": self._clicks, "polygon": self._polygon, "mask": self._mask}[tag]
            if frame in track.shapes:
                (place / frame).refuse("is a second shape on its frame", "Give it a track of its own, or remove it.")
            track.shapes[frame] = read(given, place / frame)

    def _clicks(self, given: dict[str, str], place: Place) -> Shape:
        """Points, which lie on the plane: one on the right or lower edge of the picture is of the last pixel there."""
        points = _points(given, place)
        if self.size.keys() == {"height", "width"}:
            height, width = self._frame_size(place)
            for x, y in points:
                if not (0 <= x <= width and 0 <= y <= height):
                    place.refuse(f"has a point {x:g},{y:g} outside the frame of {width} x {height}", "Correct it.")
            points = tuple((min(x, width - _INSIDE), min(y, height - _INSIDE)) for x, y in points)
        return Shape(points=points)

    def _polygon(self, given: dict[str, str], place: Place) -> Shape:
        return Shape(mask=polygon_mask([_points(given, place)], self._frame_size(place), place))

    def _mask(self, given: dict[str, str], place: Place) -> Shape:
        left, top, width, height = (_float(given, name, place) for name in ("left", "top", "width", "height"))
        words = _attribute(given, "rle", place)
        return Shape(mask=crop_mask(words, (left, top), (width, height), self._frame_size(place), place))

    def _frame_size(self, place: Place) -> tuple[int, int]:
        if self.size.keys() != {"height", "width"}:
            place.refuse("lies in a frame of unknown size: the task names no original_size", "Export the file anew.")
        return checked_size(self.size["height"], self.size["width"], self.place / "original_size")

    def _text(self, words: str) -> None:
        self._words.append(words)

    def _end(self, tag: str) -> None:
        words = "".join(self._words).strip()
        if tag == "track" and self._track is not None:
            self.done.append(self._track)
            self._track = None
        elif tag == "attribute" and self._track is not None and self._attribute == "object" and words:
            self._track.name = words
        elif self._open[1:2] == ["meta"] and self._open[-2:] in (["original_size", tag] for tag in ("width", "height")):
            at = self.place / "original_size" / tag
            self.size[tag] = frame_number(_float({tag: words}, tag, at), at)
        elif tag == "source" and self._open[1:2] == ["meta"] and (len(self._open) == 3 or self._open[-2] == "task"):
            self.source = words
        elif self.tasks and self._open[-2:] == ["task", tag] and tag in ("id", "name"):
            self.tasks[-1] = f"{self.tasks[-1]} {words}".strip()
        self._open.pop()
        self._words = []


def read_tracks(path: Path, with_masks: bool = False) -> Iterator[tuple[Track, str]]:
    """Yield (track, the video file that the task names, or an empty text); memory holds the tracks of 64 KiB of XML.

    Raises
    ------
    SheetError
        For XML that is broken or declares a document type, a task of images, or a track with other shapes.
    """
    reader = _Reader(path, with_masks)
    try:
        with path.open("rb") as file:
            while True:
                chunk = file.read(CHUNK_BYTES)
                reader.parser.Parse(chunk, not chunk)
                for track in reader.done:
                    yield track, reader.source
                reader.done.clear()
                if not chunk:
                    return
    except (expat.ExpatError, LookupError, ValueError) as error:
        reader.place.refuse(f"is not XML ({error})", "Give annotations.xml as CVAT exported it, unpacked.")
    except OSError as error:
        reader.place.refuse(f"cannot be read ({error.strerror})", "Correct the path.")


def import_cvat(
    path: Path, *, video: str = "", fps: float | None = None, every_box: bool = True, with_masks: bool = False
) -> Iterator[Row]:
    """Yield the drawn boxes, masks and points of a CVAT file, by track and frame.

    An object is called by its attribute ``object`` if the label has one (longtake writes it), else
    ``track-<number>``.

    Parameters
    ----------
    video
        The video's id; empty takes the stem of the file that the task names.
    fps
        Frames a second. If given, a box gets the time of the last frame before its track next goes outside as
        ``until_s``.
    every_box
        Whether every drawn box is a prompt, or only the first of each track.
    with_masks
        Take masks, polygons (as the masks that they enclose) and points (as points on the object), too, instead of
        refusing them.
    """
    ids, inside = Ids(str(path)), Ids(str(path))
    for track, source in read_tracks(path, with_masks):
        name = video or Path(source.replace("\\", "/")).stem
        if not name:
            Place(path).refuse("names no video", "Say whose tracks they are: --video ID.")
        thing = track.name or f"track-{track.number}"
        frames = sorted(track.shapes)
        for frame in frames if every_box else frames[:1]:
            gone = min((out for out in track.outside if out > frame), default=None)
            until_s = None if fps is None or gone is None else _time_s(gone - 1, fps)
            shape = track.shapes[frame]
            yield Row(
                ids(name),
                inside(thing),
                track.label,
                frame,
                shape.box,
                until_s,
                (name, thing),
                shape.mask,
                shape.points,
            )


def _box(given: dict[str, str], place: Place) -> Shape:
    edges = [_float(given, name, place) for name in ("xtl", "ytl", "xbr", "ybr")]
    turned = _float(given, "rotation", place) if "rotation" in given else 0.0
    return Shape(checked(upright((edges[0], edges[1], edges[2], edges[3]), turned), place))


def _time_s(frame: int, fps: float) -> float:
    """Time of a frame, to the microsecond that is not before it: one that is would be of the frame before."""
    return math.ceil(round(frame / fps * 1e6, 3)) / 1e6


def _points(given: dict[str, str], place: Place) -> Points:
    found = []
    for word in _attribute(given, "points", place).split(";"):
        pair = word.split(",")
        if len(pair) != 2:
            (place / "points").refuse(f"holds {word[:60]!r}, no point", "Export the file anew.")
        x, y = (_float({"points": value}, "points", place) for value in pair)
        found.append((x, y))
    return tuple(found)


def _attribute(given: dict[str, str], name: str, place: Place) -> str:
    if name not in given:
        place.refuse(f"has no {name!r}", "Export the task as CVAT for video 1.1.")
    return given[name]


def _float(given: dict[str, str], name: str, place: Place) -> float:
    words = _attribute(given, name, place)
    try:
        return number(float(words), place / name)
    except ValueError:
        (place / name).refuse(f"is {words[:60]!r}, not a number", "Export the file anew.")
