"""Detections as JSON lines, one a processed frame, in the names of HD-EPIC."""

from __future__ import annotations

import json
from collections.abc import Iterable
from pathlib import Path

from longtake.export.rows import Annotated, Row, processed_frames, rows_at
from longtake.store.atomic import atomic_path


def write_jsonl(item: Annotated, *, frame_interval: int, categories: Iterable[str], out: Path) -> dict[str, int]:  # noqa: ARG001 (all writers are called alike)
    """Write ``{"frame_number": n, "objects": [{"assoc_id", "assoc_name", "bbox"}]}``.

    ``frame_number`` is the source frame, counted from 0; ``bbox`` is [x_min, y_min, x_max, y_max] in source pixels,
    maxima exclusive. Every processed frame has a line, with an empty list where nothing is visible.

    Memory: one batch of the table.

    Returns
    -------
    dict
        JSON-able counts: frames, boxes.
    """
    frames = processed_frames(item.windows, frame_interval)
    boxes = 0
    with atomic_path(out) as temporary, temporary.open("w", encoding="utf-8", newline="\n") as file:
        for frame, rows in rows_at(item.detections, iter(frames)):
            objects = [_object(row) for row in rows if row["visible"] and row["x_min"] is not None]
            boxes += len(objects)
            line = {"frame_number": frame, "objects": objects}
            file.write(json.dumps(line, ensure_ascii=False, allow_nan=False) + "\n")
    return {"frames": len(frames), "boxes": boxes}


def _object(row: Row) -> dict[str, object]:
    edges = [row["x_min"], row["y_min"], row["x_max"], row["y_max"]]
    return {"assoc_id": row["object"], "assoc_name": row["label"], "bbox": edges}
