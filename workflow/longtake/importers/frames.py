"""Which video and source frame a picture of a JSON file stands for."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import PurePosixPath
from typing import Any

from longtake.importers.source import Place, frame_number, mapping, sequence, text


def folder_and_number(file_name: str, place: Place) -> tuple[str, int]:
    """Return the folder and the last number of ``folder/frame_00042.jpg``: a video's name and a frame.

    The folder is the whole path above the picture; it is empty for a bare file name.
    """
    path = PurePosixPath(file_name.replace("\\", "/"))
    digits = re.findall(r"[0-9]+", path.stem)
    if not digits or len(digits[-1]) > 18:
        place.refuse(f"is {file_name!r}, which names no frame", "Name pictures by their source frame: video/00042.jpg.")
    folder = str(path.parent)
    return ("" if folder == "." else folder), int(digits[-1])


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


def first_frame(value: int, first: int, place: Place) -> int:
    """Return `value` counted from 0 where the file counts from `first`."""
    return frame_number(value - first, place)


def label_of(annotation: Mapping[str, Any], categories: Mapping[Any, str], place: Place) -> str:
    """Return the name of an annotation's category."""
    category = text(annotation.get("category_id"), place / "category_id")
    if category not in categories:
        (place / "category_id").refuse(f"is {category}, which is no category of the file", "Export the file anew.")
    return categories[category]


def object_of(annotation: Mapping[str, Any], place: Place) -> str:
    """Return an annotation's object: longtake's own name, else a track's number, else its own id."""
    if "object" in annotation:
        return text(annotation["object"], place / "object")
    for key in ("track_id", "instance_id"):
        if annotation.get(key) is not None:
            return f"track-{text(annotation[key], place / key)}"
    return f"annotation-{text(annotation.get('id'), place / 'id')}"
