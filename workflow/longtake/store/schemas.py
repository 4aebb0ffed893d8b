"""The Arrow schemas of every Parquet table, each with its name and version in the metadata.

A reader names the schema it expects; a table of another name, version or set of columns is refused.
"""

from __future__ import annotations

import pyarrow as pa

_TEXT, _INT, _LONG, _REAL, _FLOAT, _FLAG = (
    pa.string(),
    pa.int32(),
    pa.int64(),
    pa.float64(),
    pa.float32(),
    pa.bool_(),
)
HOLES = "longtake.holes"
"""What the metadata of detections with holes call them: JSON, a list of window, first and last frame."""


def declare(name: str, version: int, columns: dict[str, pa.DataType], required: str) -> pa.Schema:
    """Return the schema `name` of this version; the columns named in `required`, blanks between, are never empty."""
    needed = set(required.split())
    fields = [pa.field(column, kind, nullable=column not in needed) for column, kind in columns.items()]
    return pa.schema(fields, metadata={"longtake.schema": name, "longtake.version": str(version)})


def _reals(names: str) -> dict[str, pa.DataType]:
    return dict.fromkeys(names.split(), _REAL)


DETECTIONS = declare(
    "detections",
    2,
    {
        "video": _TEXT,
        "frame": _LONG,
        "time_s": _REAL,
        "object": _TEXT,
        "label": _TEXT,
        **_reals("x_min y_min x_max y_max"),
        "mask": _TEXT,
        "height": _INT,
        "width": _INT,
        "score": _FLOAT,
        "visible": _FLAG,
        "prompted": _FLAG,
        "window": _INT,
        "status": _TEXT,
        "direction": _TEXT,
        "agreement": _FLOAT,
    },
    "video frame time_s object label height width score visible prompted window status direction",
)
"""One row per processed frame and object. Boxes and masks in source pixels (display orientation), maxima
exclusive; `mask` holds COCO compressed RLE counts; box and mask are null where the object is not visible.
`direction` is that of the pass which drew the row, "forward" or "backward"; where the other pass saw the object
on the same frame, `agreement` is the IoU of the two masks, and null elsewhere."""

AGREEMENT = declare(
    "agreement",
    1,
    {
        "video": _TEXT,
        "kind": _TEXT,
        "window": _INT,
        "object": _TEXT,
        "other": _TEXT,
        "identity": _TEXT,
        "first_frame": _LONG,
        "last_frame": _LONG,
        "frames": _INT,
        "mean_iou": _REAL,
        "minimum_iou": _REAL,
        "joined": _FLAG,
    },
    "video kind window frames joined",
)
"""How far two runs over the same frames agree. `kind` "seam": two neighbouring windows, `window` the earlier,
`object` and `other` a track's id in the earlier and in the later window (one is null where a track has no counterpart),
`identity` its name in the detections, null where it was dropped. "directions": the forward and the backward pass of one
window over `object`. IoU of the masks over the `frames` (from first to last) on which both tracked the object and at
least one saw it; null where there is none."""

PROMPTS = declare(
    "prompts",
    1,
    {
        "video": _TEXT,
        "row": _INT,
        "object": _TEXT,
        "label": _TEXT,
        "kind": _TEXT,
        "frame": _LONG,
        "acts_on_frame": _LONG,
        "time_s": _REAL,
        "clipped": _FLAG,
        "status": _TEXT,
        "reason": _TEXT,
        "visible": _FLAG,
        "score": _FLOAT,
        "iou": _REAL,
        "points_honoured": _REAL,
        "previous_iou": _REAL,
        "mask_area": _LONG,
        "lost": _FLAG,
    },
    "video row object label kind frame acts_on_frame time_s clipped status reason",
)
"""One row per prompt: what it asked, and what the model then drew. `row` is that of the sheet; `kind` "box", "points",
"box and points" or "mask"; it names `frame` (at `time_s`) and acts on `acts_on_frame`, the nearest processed one.
`iou` is that of the prompt's box or mask with the one drawn there, null for points alone; `points_honoured` the share
of points on the side of the mask that they ask for; `previous_iou` the prompt's IoU with what was drawn one processed
frame earlier, before the model knew the prompt, null where the object was not tracked there; `mask_area` in square
source pixels. `lost`: nothing was drawn, `iou` is below `annotate.lost_below`, or a point is not honoured. What was
drawn is null where `status` is "failed": the prompt was not used, and `reason` says why."""

CURVES = declare(
    "curves",
    1,
    {
        "video": _TEXT,
        "window": _INT,
        "object": _TEXT,
        "label": _TEXT,
        "clip": _INT,
        "offset": _INT,
        "frame": _LONG,
        "time_s": _REAL,
        **_reals(
            "magnitude l2_norm max_pool weighted_magnitude magnitude_inside magnitude_outside gradient_x_input "
            "gradient_change motion_frame motion_region motion_object"
        ),
    },
    "video window object label clip offset frame time_s magnitude l2_norm max_pool weighted_magnitude",
)
"""One row per clip and frame of it: temporal importance I_t by each measure, and motion in source pixels per
frame step, over the frame, the clip's crop and the object's mask. `gradient_change` and motion are null at
offset 0; the masked columns where no mask is known."""

CLIPS = declare(
    "clips",
    2,
    {
        "video": _TEXT,
        "window": _INT,
        "object": _TEXT,
        "label": _TEXT,
        "clip": _INT,
        "first_frame": _LONG,
        "last_frame": _LONG,
        "stride": _INT,
        "status": _TEXT,
        "reason": _TEXT,
        "target": _INT,
        "target_name": _TEXT,
        "predicted": _INT,
        "predicted_name": _TEXT,
        "score": _REAL,
        "correct": _FLAG,
        "region_x_min": _INT,
        "region_y_min": _INT,
        "region_x_max": _INT,
        "region_y_max": _INT,
        **_reals("mean std minimum maximum range variation skewness n_peaks autocorrelation"),
        **_reals("gradient_change_mean gradient_change_max"),
        "motion": _TEXT,
        **_reals("pearson spearman detrended detrended_p detrended_low detrended_high effective_n"),
        **_reals("mutual_information mutual_information_chance best_lag best_lag_r best_lag_p"),
        **_reals("peak_alignment peak_alignment_chance phase_coherence phase_coherence_chance"),
        "relation": _TEXT,
    },
    "video window object label clip status",
)
"""One row per clip: what was asked of the model, the pattern of I_t, and its relation to motion, which is
that of the object where its mask is known on every frame of the clip, else that of the crop (`motion`)."""

PERTURBATIONS = declare(
    "perturbations",
    2,
    {
        "video": _TEXT,
        "window": _INT,
        "object": _TEXT,
        "label": _TEXT,
        "clip": _INT,
        "perturbation": _TEXT,
        "repeat": _INT,
        "status": _TEXT,
        "reason": _TEXT,
        "n_frames": _INT,
        "score": _REAL,
        "predicted": _INT,
        "predicted_name": _TEXT,
        **_reals("agrees logit_cosine answer answer_power ratio total importance_r kept"),
        "band": _TEXT,
    },
    "video window object label clip perturbation repeat status n_frames",
)
"""One row per clip, perturbation and draw of it: the score of the clip's target for the disturbed clip, how far its
answer and gradient are those of the clip, and what that speaks for. `short` is the clip in windows of `n_frames`."""
