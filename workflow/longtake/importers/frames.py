"""Which video and source frame a picture of a JSON file stands for, and which object an annotation is of."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import PurePosixPath
from typing import Any

from longtake.importers.rows import one_line
from longtake.importers.source import Place, frame_number, mapping, sequence, text

# What Roboflow appends to a name, and puts between a video's name and the number; a size; and what is left.
_APPENDED = re.compile(r"_[a-z]{3,4}\.rf\.[0-9A-Za-z_-]+$")
_BETWEEN = re.compile(r"_(?:mp4|mov|avi|mkv|webm|m4v|mpe?g|wmv)-(?=[0-9]+$)", re.IGNORECASE)
_SIZE = re.compile(r"(?<![0-9])[0-9]{2,5}x[0-9]{2,5}(?![0-9])")
_NUMBER = re.compile(r"[0-9]+")
_LONGEST_NUMBER = 15


@dataclass
class Frames:
    """Frames that were given to pictures: no two pictures of a video may fall on one."""

    _taken: dict[tuple[str, int], Place] = field(default_factory=dict)

    def add(self, video: str, frame: int, place: Place) -> None:
        """Take a frame for the picture at `place`."""
        other = self._taken.setdefault((video, frame), place)
        if other is not place:
            place.refuse(
                f"is frame {frame} of {video!r}, as is {other.key}",
                "Remove one of them, or say where names hold the frame: --frame-pattern.",
            )


def frame_pattern(pattern: str) -> re.Pattern[str]:
    """Return a regular expression with a group ``frame`` (else its first), and ``video`` where names hold it, too.

    Raises
    ------
    ValueError
        It is none, or has no group.
    """
    try:
        found = re.compile(pattern)
    except re.error as error:
        raise ValueError(f"{pattern!r} is no regular expression ({error})") from None
    if not found.groups:
        raise ValueError(f"{pattern!r} has no group: write (?P<frame>[0-9]+) where the frame stands")
    return found


@dataclass(frozen=True)
class Naming:
    """How the pictures of a file are called: the `video` of those in no folder, the number of its `first` frame, and a
    `pattern` of `frame_pattern`'s. With `by_place` names say no frame, and a picture's place in the list is its frame.
    """

    video: str = ""
    first: int = 0
    pattern: re.Pattern[str] | None = None
    by_place: bool = False


def folders_and_frames(names: Sequence[tuple[str, Place]], naming: Naming) -> list[tuple[str, int]]:
    """Return the folder and the frame of each picture's name, such as ``folder/frame_00042.jpg``.

    The folder is the whole path above the picture; it is empty for a bare file name. The frame is the number in the
    name. Of several it is the last, where the names of a folder differ in that one and in no other; sizes
    (``1920x1080``) and what Roboflow appends (``_jpg.rf.3f2a``) do not count. With a pattern it is what that finds.

    Raises
    ------
    SheetError
        A name holds no number, or several of which any could be the frame, or one before the first frame.
    """
    paths = [_path(name) for name, _ in names]
    if naming.by_place:
        return [(_folder(path), step) for step, path in enumerate(paths)]
    if naming.pattern is None:
        found = _numbered(paths, names)
    else:
        found = [_matched(naming.pattern, path, place) for path, (_, place) in zip(paths, names, strict=True)]
    counted = zip(found, names, strict=True)
    return [(folder, frame_number(number - naming.first, place)) for (folder, number), (_, place) in counted]


def _numbered(paths: Sequence[PurePosixPath], names: Sequence[tuple[str, Place]]) -> list[tuple[str, int]]:
    numbers = [_NUMBER.findall(_plain(path)) for path in paths]
    varying = _varying(paths, numbers)
    found = []
    for path, given, (name, place) in zip(paths, numbers, names, strict=True):
        if not given:
            place.refuse(f"is {name[:200]!r}, which names no frame", "Name pictures by their frame: video/00042.jpg.")
        if len(given) > 1 and varying[_template(path)] != {len(given) - 1}:
            place.refuse(
                f"is {name[:200]!r}, which holds the numbers {', '.join(given)[:200]}",
                "Say which is the frame: --frame-pattern 'dive1_(?P<frame>[0-9]+)_'.",
            )
        found.append((_folder(path), _whole(given[-1], name, place)))
    return found


def file_of(name: str) -> str:
    """Return what a picture's file is called; empty where no cell of a table can hold that."""
    file = _path(name).name
    return file if file == one_line(file) else ""


def _path(name: str) -> PurePosixPath:
    return PurePosixPath(name.replace("\\", "/"))


def _folder(path: PurePosixPath) -> str:
    return "" if path.parent == PurePosixPath() else str(path.parent)


def _plain(path: PurePosixPath) -> str:
    return _SIZE.sub("x", _BETWEEN.sub("-", _APPENDED.sub("", path.stem)))


def _template(path: PurePosixPath) -> str:
    return f"{_folder(path)}/{_NUMBER.sub('0', _plain(path))}"


def _varying(paths: Sequence[PurePosixPath], numbers: Sequence[list[str]]) -> dict[str, set[int]]:
    """For the names of a folder that are alike but for their numbers: which of the numbers differ."""
    first: dict[str, list[str]] = {}
    differing: dict[str, set[int]] = {}
    for path, given in zip(paths, numbers, strict=True):
        if len(given) > 1:
            key = _template(path)
            before = first.setdefault(key, given)
            differ = {place for place, (one, other) in enumerate(zip(before, given, strict=True)) if one != other}
            differing.setdefault(key, set()).update(differ)
    return differing


def _matched(pattern: re.Pattern[str], path: PurePosixPath, place: Place) -> tuple[str, int]:
    hit = pattern.search(str(path))
    parts = {} if hit is None else hit.groupdict()
    number = parts.get("frame") if "frame" in pattern.groupindex else hit and hit[1]
    if not number or not number.isascii() or not number.isdigit():
        place.refuse(
            f"is {str(path)[:200]!r}, in which --frame-pattern {pattern.pattern!r} finds no number", "Correct the one."
        )
    return parts.get("video") or _folder(path), _whole(number, str(path), place)


def _whole(digits: str, name: str, place: Place) -> int:
    if len(digits.lstrip("0")) > _LONGEST_NUMBER:
        place.refuse(f"is {name[:200]!r}, whose number is no frame", "Say where the frame stands: --frame-pattern.")
    return int(digits)


def names_by_id(value: Any, place: Place) -> dict[Any, str]:
    """Return ``id -> name`` of a list of ``{id, name}``, such as categories."""
    found: dict[Any, str] = {}
    for order, item in enumerate(sequence(value, place)):
        part = mapping(item, place / order)
        key = text(part.get("id"), place / order / "id")
        if key in found:
            (place / order).refuse(f"repeats the id {key}", "Ids are unique; export the file anew.")
        found[key] = text(part.get("name", key), place / order / "name")
    return found


def label_of(annotation: Mapping[str, Any], categories: Mapping[Any, str], place: Place) -> str:
    """Return the name of an annotation's category."""
    category = text(annotation.get("category_id"), place / "category_id")
    if category not in categories:
        (place / "category_id").refuse(f"is {category}, which is no category of the file", "Export the file anew.")
    return categories[category]


def attributes_of(annotation: Mapping[str, Any], place: Place) -> dict[str, Any]:
    """Return what an annotation says beyond COCO, as CVAT does: track_id, keyframe, rotation."""
    found = annotation.get("attributes")
    return {} if found is None or isinstance(found, list) else mapping(found, place / "attributes")


def object_of(annotation: Mapping[str, Any], place: Place) -> str:
    """Return an annotation's object: longtake's own name, else a track's number, else its own id."""
    if "object" in annotation:
        return text(annotation["object"], place / "object")
    for part, at in ((annotation, place), (attributes_of(annotation, place), place / "attributes")):
        for key in ("track_id", "instance_id"):
            if part.get(key) is not None:
                return f"track-{text(part[key], at / key)}"
    return f"annotation-{text(annotation.get('id'), place / 'id')}"
