"""Detections as MOTChallenge text: one line for each visible object on each processed frame."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Any

from longtake.export.rows import Annotated, by_frame
from longtake.store.atomic import atomic_path


def write_mot(item: Annotated, *, frame_interval: int, categories: Iterable[str], out: Path) -> dict[str, Any]:  # noqa: ARG001 (all writers are called alike)
    """Write ``frame,id,left,top,width,height,score,-1,-1,-1``.

    As MOTChallenge has it, frames, ids and pixels are counted from 1: line and source frame differ by one, and so do
    ``left`` and x_min. Frames that were not processed have no line. Ids count objects by their first row in the
    table, as ``track_id`` in COCO does; the job's record holds their names.

    Memory: one batch of the table.

    Returns
    -------
    dict
        JSON-able: the number of lines, and the id of each object.
    """
    tracks: dict[str, int] = {}
    lines = 0
    with atomic_path(out) as temporary, temporary.open("w", encoding="ascii", newline="\n") as file:
        for frame, rows in by_frame(item.detections):
            for row in rows:
                track = tracks.setdefault(row["object"], len(tracks) + 1)
                if row["visible"] and row["x_min"] is not None:
                    x, y = row["x_min"], row["y_min"]
                    edges = [x + 1, y + 1, row["x_max"] - x, row["y_max"] - y]
                    shape = ",".join(_number(edge) for edge in edges)
                    file.write(f"{frame + 1},{track},{shape},{row['score']:.4f},-1,-1,-1\n")
                    lines += 1
    return {"lines": lines, "tracks": tracks}


def _number(value: float) -> str:
    return f"{value:.3f}".rstrip("0").rstrip(".")
