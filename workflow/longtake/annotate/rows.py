"""What the model says of an object in a frame, as a row of detections in source pixels."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from longtake import masks
from longtake.annotate.geometry import source_mask
from longtake.annotate.passes import Row
from longtake.annotate.prompts import Placed
from longtake.annotate.session import Prediction
from longtake.status import Status


@dataclass(frozen=True)
class Tracked:
    """A frame after the model has seen it: source frame number, seconds, and every object's prediction.

    `fresh` are the prompts that acted on it, `begun` the objects that began on it, by a prompt or by themselves.
    """

    frame: int
    time_s: float
    tainted: bool
    fresh: Mapping[str, Placed]
    begun: frozenset[str]
    labels: Mapping[str, str]
    predictions: Mapping[str, Prediction]


def detection_rows(
    tracked: Tracked, *, video: str, window: int, direction: str, width: int, height: int, status: str = Status.OK
) -> list[Row]:
    """Draw every object of a frame in source pixels; `width` and `height` are the source's.

    `status` is that of every row whose frame is not tainted.
    """
    same = {
        "video": video,
        "frame": tracked.frame,
        "time_s": tracked.time_s,
        "height": height,
        "width": width,
        "window": window,
        "status": "tainted" if tracked.tainted else status,
        "direction": direction,
    }
    return [
        same
        | {"object": name, "label": tracked.labels[name], "prompted": name in tracked.begun}
        | _drawn(prediction, width, height)
        for name, prediction in tracked.predictions.items()
    ]


def _drawn(prediction: Prediction, width: int, height: int) -> Row:
    drawn = source_mask(prediction.logits, width, height) if prediction.score_logit > 0 else None
    if drawn is None:
        return {"score": prediction.score, "visible": False}
    crop, x, y = drawn
    x_min, y_min, x_max, y_max = masks.box(crop) or (0, 0, 0, 0)
    return {
        "score": prediction.score,
        "visible": True,
        "mask": masks.encode_crop(crop[y_min:y_max, x_min:x_max], x + x_min, y + y_min, height, width),
        "x_min": float(x + x_min),
        "y_min": float(y + y_min),
        "x_max": float(x + x_max),
        "y_max": float(y + y_max),
    }


def prompt_record(placed: Placed, acts_on_frame: int, row: Row) -> Row:
    """Hold a prompt against what the model drew on the frame where it acted."""
    drawn = (row["x_min"], row["y_min"], row["x_max"], row["y_max"]) if row["visible"] else None
    return prompt_facts(placed, acts_on_frame) | {
        "visible": row["visible"],
        "score": row["score"],
        "box_iou": (masks.box_iou(drawn, placed.box) if drawn else 0.0) if placed.box else None,
        "mask_area": masks.area(row["mask"], row["height"], row["width"]) if drawn else 0,
        "status": Status.OK,
        "reason": "",
    }


def prompt_facts(placed: Placed, acts_on_frame: int) -> Row:
    """Say what a prompt asked for, as JSON values."""
    return {
        "row": placed.prompt.row,
        "object": placed.prompt.object,
        "label": placed.prompt.label,
        "frame": placed.frame,
        "acts_on_frame": acts_on_frame,
        "box": list(placed.box) if placed.box else None,
        "clipped": placed.clipped,
    }
