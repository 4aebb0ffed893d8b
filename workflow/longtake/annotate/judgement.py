"""Prompts held against what the model then drew: the first thing to doubt in a poor track.

A video's prompts are judged once, over its merged detections, whichever window or pass drew the rows.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import pyarrow as pa

from longtake import masks
from longtake.annotate.prompts import Placed, Timeline, place_prompts
from longtake.annotate.sheet import Prompt
from longtake.kinds import Location, Row
from longtake.status import Status
from longtake.store.schemas import DETECTIONS, PROMPTS
from longtake.store.tables import scan_batches, write_table

LOST_BELOW = 0.5
# What the status of a detection says of the prompt that acts on it.
_REASONS = {
    "tainted": "its frame lies behind a decoding error",
    Status.APPROXIMATE: "its window was not computed as asked, or goes on from one that was not",
}
# Detections in memory at a time; about half a kilobyte each.
_BATCH_ROWS = 8192


def judge_prompts(
    prompts: Sequence[Prompt],
    timeline: Timeline,
    frame_interval: int,
    detections: Location,
    out: Location,
    *,
    lost_below: float = LOST_BELOW,
) -> dict[str, Any]:
    """Write the table ``PROMPTS`` of a video: what each prompt asked, and what the model then drew.

    Memory: the prompts, and one batch of detections.

    Parameters
    ----------
    prompts
        All prompts of the video.
    timeline
        The video's index.
    detections
        The video's merged table ``DETECTIONS``.
    out
        Written whole or not at all; in the order of the frames on which prompts act.
    lost_below
        A prompt counts as lost where its box or mask has a smaller IoU with what was drawn.

    Returns
    -------
    dict
        JSON-able: the number of prompts, of those not used, and of those lost.

    Raises
    ------
    SheetError
        A prompt does not fit the video.
    """
    placed = place_prompts(prompts, timeline, frame_interval)
    acting = {(each.grid_frame * frame_interval, each.prompt.object): each for each in placed if not each.reason}
    before = {(frame - frame_interval, name): each for (frame, name), each in acting.items()}
    drawn: dict[int, Row] = {}
    earlier: dict[int, float | None] = {}
    for row in _rows_on(detections, acting.keys() | before.keys()):
        place = (row["frame"], row["object"])
        if place in before:
            earlier[before[place].prompt.row] = _iou(before[place], row)
        if place in acting:
            drawn[acting[place].prompt.row] = _drawn(acting[place], row, lost_below)
    table = [
        _asked(each, timeline, frame_interval)
        | (drawn.get(each.prompt.row) or _failed(each))
        | {"previous_iou": earlier.get(each.prompt.row)}
        for each in placed
    ]
    write_table(out, table, PROMPTS)
    return {
        "prompts": len(table),
        "prompts_not_used": sum(row["status"] == Status.FAILED for row in table),
        "prompts_lost": sum(bool(row.get("lost")) for row in table),
    }


def _rows_on(detections: Location, places: set[tuple[int, str]]) -> Iterator[Row]:
    """Yield the detections that stand on any of (source frame, object), in the order of the table."""
    for batch in scan_batches(detections, DETECTIONS, _BATCH_ROWS):
        keys = zip(batch.column("frame").to_pylist(), batch.column("object").to_pylist(), strict=True)
        found = [number for number, key in enumerate(keys) if key in places]
        yield from batch.take(pa.array(found, pa.int64())).to_pylist()


def _asked(placed: Placed, timeline: Timeline, frame_interval: int) -> Row:
    return {
        "video": placed.prompt.video,
        "row": placed.prompt.row,
        "object": placed.prompt.object,
        "label": placed.prompt.label,
        "kind": placed.prompt.kind,
        "frame": placed.frame,
        "acts_on_frame": placed.grid_frame * frame_interval,
        "time_s": timeline.time_s(placed.frame),
        "clipped": placed.clipped,
    }


def _failed(placed: Placed) -> Row:
    reason = placed.reason or "the detections hold no row of the object on the frame on which the prompt acts"
    return {"status": Status.FAILED, "reason": reason}


def _drawn(placed: Placed, row: Row, lost_below: float) -> Row:
    visible, iou, honoured = row["visible"], _iou(placed, row), _points_honoured(placed.prompt, row)
    lost = not visible or (iou is not None and iou < lost_below) or (honoured is not None and honoured < 1)
    return {
        "status": Status.OK if row["status"] == Status.OK else Status.APPROXIMATE,
        "reason": _REASONS.get(row["status"], ""),
        "visible": visible,
        "score": row["score"],
        "iou": iou,
        "points_honoured": honoured,
        "mask_area": masks.area(row["mask"], row["height"], row["width"]) if visible else 0,
        "lost": lost,
    }


def _iou(placed: Placed, row: Row) -> float | None:
    """Give the IoU of the prompt's mask or box with the row's; None for points alone."""
    if placed.mask:
        return masks.encoded_iou(placed.mask, row["mask"], row["height"], row["width"]) if row["visible"] else 0.0
    if placed.box is None:
        return None
    return (
        masks.box_iou((row["x_min"], row["y_min"], row["x_max"], row["y_max"]), placed.box) if row["visible"] else 0.0
    )


def _points_honoured(prompt: Prompt, row: Row) -> float | None:
    """Give the share of the prompt's points that lie on the side of the mask that they ask for."""
    if not (prompt.points or prompt.negative_points):
        return None
    if not row["visible"]:
        return 0.0
    mask = masks.decode(row["mask"], row["height"], row["width"])
    inside = [bool(mask[int(y), int(x)]) for x, y in (*prompt.points, *prompt.negative_points)]
    wanted = [True] * len(prompt.points) + [False] * len(prompt.negative_points)
    return sum(a == b for a, b in zip(inside, wanted, strict=True)) / len(wanted)
