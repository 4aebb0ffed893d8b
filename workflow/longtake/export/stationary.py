"""Which objects moved at no time."""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from longtake.export.rows import Annotated, Row, by_frame
from longtake.store.atomic import atomic_path

STILL = 0.25
"""An object is stationary if its box's centre never strayed further than this share of its own mean box diagonal.

Smaller steps are what masks flicker by; a quarter of its own size is what one would call moved."""

COLUMNS = "video object label stationary n_visible first_s last_s travel_px diagonal_px travel".split()


@dataclass
class _Stay:
    """Where an object's box centre has been, in source pixels."""

    label: str
    first_s: float
    last_s: float
    x_low: float
    x_high: float
    y_low: float
    y_high: float
    n: int = 0
    diagonals: float = 0.0


def write_stationary(item: Annotated, *, frame_interval: int, categories: Iterable[str], out: Path) -> dict[str, int]:  # noqa: ARG001 (all writers are called alike)
    """Write a TSV with one row for each object that was seen, in the order of their first visible rows.

    ``travel_px`` is the diagonal of the rectangle that holds all centres of the object's box, so no two of its
    positions lie further apart; ``travel`` is that over ``diagonal_px``, the mean diagonal of the box.
    ``stationary`` is ``yes`` where ``travel`` is at most `STILL`, else ``no``, and ``undecided`` for an object seen
    on one frame only. Positions are the picture's: where the camera moves, everything does.

    Memory: one batch of the table, and nine numbers for each object.

    Returns
    -------
    dict
        JSON-able counts: objects, stationary ones.
    """
    stays: dict[str, _Stay] = {}
    for _, rows in by_frame(item.detections):
        for row in rows:
            if row["visible"] and row["x_min"] is not None:
                _add(stays, row)
    still = 0
    with atomic_path(out) as temporary, temporary.open("w", encoding="utf-8", newline="\n") as file:
        file.write("\t".join(COLUMNS) + "\n")
        for name, stay in stays.items():
            travel, diagonal = math.hypot(stay.x_high - stay.x_low, stay.y_high - stay.y_low), stay.diagonals / stay.n
            verdict = "undecided" if stay.n < 2 else "yes" if travel <= STILL * diagonal else "no"
            still += verdict == "yes"
            numbers = [f"{stay.first_s:.6f}", f"{stay.last_s:.6f}", f"{travel:.3f}", f"{diagonal:.3f}"]
            cells = [item.video, name, stay.label, verdict, str(stay.n), *numbers, f"{travel / diagonal:.4f}"]
            file.write("\t".join(cells) + "\n")
    return {"objects": len(stays), "stationary": still}


def _add(stays: dict[str, _Stay], row: Row) -> None:
    x, y = (row["x_min"] + row["x_max"]) / 2, (row["y_min"] + row["y_max"]) / 2
    time_s = row["time_s"]
    stay = stays.setdefault(row["object"], _Stay(row["label"], time_s, time_s, x, x, y, y))
    stay.last_s = time_s
    stay.x_low, stay.x_high = min(stay.x_low, x), max(stay.x_high, x)
    stay.y_low, stay.y_high = min(stay.y_low, y), max(stay.y_high, y)
    stay.n += 1
    stay.diagonals += math.hypot(row["x_max"] - row["x_min"], row["y_max"] - row["y_min"])
