"""Detections as MOTS text: one line for each visible object on each processed frame, with its mask."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from itertools import count
from pathlib import Path
from typing import Any

from longtake import masks
from longtake.errors import SchemaError
from longtake.export.rows import Annotated, Row, by_frame
from longtake.store.atomic import atomic_path

# MOTS numbers an object class * 1000 + instance, and takes class 10 as regions to ignore.
PER_CLASS = 1000
IGNORED = 10


def write_mots(item: Annotated, *, frame_interval: int, categories: Iterable[str], out: Path) -> dict[str, Any]:  # noqa: ARG001 (all writers are called alike)
    """Write ``frame id class height width rle``, frames counted from 1 as in MOTSChallenge.

    Classes are the sorted species from 1, without 10; ids are class * 1000 + the number of the object in its class,
    by first row in the table. The job's record holds the names. MOTS allows a pixel one object only: where masks
    overlap, the pixel goes to the object with the higher score (the earlier row, if equal); an object that loses all
    its pixels has no line.

    Memory: one batch of the table, and two whole masks where some overlap.

    Returns
    -------
    dict
        JSON-able: lines, objects with pixels taken away and with none left, ids of objects, numbers of classes.

    Raises
    ------
    SchemaError
        If a class has 1000 objects or more, which the format cannot number.
    """
    free = (number for number in count(1) if number != IGNORED)
    classes = {name: next(free) for name in sorted(set(categories))}
    tracks: dict[str, int] = {}
    in_class: dict[int, int] = {}
    facts = {"lines": 0, "masks_cut": 0, "masks_hidden": 0}
    with atomic_path(out) as temporary, temporary.open("w", encoding="ascii", newline="\n") as file:
        for frame, rows in by_frame(item.detections):
            for row in rows:
                if row["label"] not in classes:
                    classes[row["label"]] = next(free)
                if row["object"] not in tracks:
                    number = classes[row["label"]]
                    in_class[number] = in_class.get(number, 0) + 1
                    if in_class[number] >= PER_CLASS:
                        raise SchemaError(
                            f"{item.detections}: more than {PER_CLASS - 1} objects are labelled {row['label']!r}, "
                            "which MOTS cannot number; take mots out of export.formats."
                        )
                    tracks[row["object"]] = number * PER_CLASS + in_class[number]
            for row, counts in _apart(rows, facts):
                size = f"{row['height']} {row['width']}"
                file.write(f"{frame + 1} {tracks[row['object']]} {classes[row['label']]} {size} {counts}\n")
                facts["lines"] += 1
    return {**facts, "tracks": tracks, "classes": classes}


def _apart(rows: Sequence[Row], facts: dict[str, int]) -> Iterator[tuple[Row, str]]:
    """Yield (row, RLE counts) of the visible rows in their order, no pixel twice."""
    visible = [row for row in rows if row["visible"] and row["mask"] is not None]
    ranked = sorted(range(len(visible)), key=lambda at: -visible[at]["score"])
    counts: dict[int, str] = {}
    taken: str | None = None
    for at in ranked:
        row = visible[at]
        height, width = row["height"], row["width"]
        own: str = row["mask"]
        if taken is not None and masks.overlap(own, taken, height, width):
            left = masks.decode(own, height, width) & ~masks.decode(taken, height, width)
            own = masks.encode(left)
            facts["masks_cut" if left.any() else "masks_hidden"] += 1
        if masks.area(own, height, width):
            counts[at] = own
            taken = own if taken is None else masks.union(own, taken, height, width)
    for at, row in enumerate(visible):
        if at in counts:
            yield row, counts[at]
