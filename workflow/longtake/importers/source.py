"""Reading files from strangers: every value is checked, and an error names the file, the key and the remedy."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NoReturn

from longtake.errors import SheetError
from longtake.importers.rows import Box
from longtake.settings.section import LARGEST


@dataclass(frozen=True)
class Place:
    """Where in a file something stands; the keys are joined by dots."""

    path: Path
    key: str = ""

    def __truediv__(self, key: object) -> Place:
        return Place(self.path, f"{self.key}.{key}" if self.key else str(key))

    def refuse(self, what: str, remedy: str) -> NoReturn:
        """Raise SheetError that says where, `what` is wrong, and the `remedy`."""
        where = f"{self.path}: {self.key}" if self.key else str(self.path)
        raise SheetError(f"{where} {what}. {remedy}")


def read_json(path: Path) -> dict[str, Any]:
    """Read a JSON object; memory is that of the file. NaN, infinity and endless nesting are refused."""
    place = Place(path)

    def constant(word: str) -> NoReturn:
        place.refuse(f"holds {word}", "JSON knows no such number; export the file anew.")

    try:
        with path.open(encoding="utf-8-sig") as file:
            found = json.load(file, parse_constant=constant)
    except OSError as error:
        place.refuse(f"cannot be read ({error.strerror})", "Correct the path.")
    except (ValueError, RecursionError) as error:
        place.refuse(f"is not JSON ({error})", "Give the file as it was exported, unpacked.")
    except MemoryError:
        place.refuse("does not fit into memory", "Export fewer videos at a time.")
    return mapping(found, place)


def mapping(value: Any, place: Place) -> dict[str, Any]:
    """Return `value` if it is an object."""
    if not isinstance(value, dict):
        place.refuse(f"is {_short(value)}, not an object", "The file is of another format; check the importer's name.")
    return value


def sequence(value: Any, place: Place) -> list[Any]:
    """Return `value` if it is a list."""
    if not isinstance(value, list):
        place.refuse(f"is {_short(value)}, not a list", "The file is of another format; check the importer's name.")
    return value


def get(part: Mapping[str, Any], key: str, place: Place) -> Any:
    """Return ``part[key]``, which must be there."""
    if key not in part:
        place.refuse(f"has no {key!r}", "The file is incomplete or of another format.")
    return part[key]


def text(value: Any, place: Place) -> str:
    """Return `value`, a string or whole number, as text."""
    if isinstance(value, bool) or not isinstance(value, str | int):
        place.refuse(f"is {_short(value)}, not a name", "Give a text or a whole number.")
    return str(value)


def number(value: Any, place: Place) -> float:
    """Return `value` if it is a finite number."""
    if isinstance(value, bool) or not isinstance(value, int | float):
        place.refuse(f"is {_short(value)}, not a number", "Correct it, or remove the entry.")
    if not -LARGEST <= value <= LARGEST:
        place.refuse(f"is {_short(value)}, not a finite number up to {LARGEST:.0e}", "Correct it, or remove the entry.")
    return float(value)


def frame_number(value: Any, place: Place) -> int:
    """Return `value` if it is a whole number from 0."""
    found = number(value, place)
    if found < 0 or not found.is_integer():
        place.refuse(f"is {_short(value)}, not a frame", "Frames are whole numbers from 0.")
    return int(found)


def corners(value: Any, place: Place, *, inclusive: bool = False) -> Box:
    """Return [x_min, y_min, x_max, y_max] as a box with exclusive maxima, one pixel more if they are inclusive."""
    parts = sequence(value, place)
    if len(parts) != 4:
        place.refuse(f"has {len(parts)} numbers, not 4", "Correct it, or remove the entry.")
    x_min, y_min, x_max, y_max = (number(part, place) for part in parts)
    return checked((x_min, y_min, x_max + inclusive, y_max + inclusive), place)


def sized(value: Any, place: Place) -> Box:
    """Return [x, y, width, height] as a box with exclusive maxima."""
    parts = sequence(value, place)
    if len(parts) != 4:
        place.refuse(f"has {len(parts)} numbers, not 4", "Correct it, or remove the entry.")
    x, y, width, height = (number(part, place) for part in parts)
    return checked((x, y, x + width, y + height), place)


def checked(box: Box, place: Place) -> Box:
    """Return `box` if it holds any area, and no more than a number can say."""
    if not all(-LARGEST <= edge <= LARGEST for edge in box):
        place.refuse("reaches beyond all numbers", "Correct it, or remove the entry.")
    if not (box[0] < box[2] and box[1] < box[3]):
        spans = f"x {box[0]:g} to {box[2]:g}, y {box[1]:g} to {box[3]:g}"
        place.refuse(f"is an empty box ({spans})", "Correct it, or remove the entry.")
    return box


def _short(value: Any) -> str:
    try:
        shown = repr(value)
    except RecursionError:
        return "a nest of lists"
    return shown if len(shown) <= 60 else shown[:57] + "..."
