"""The tables that training writes, with their schemas."""

from __future__ import annotations

import pyarrow as pa

from longtake.store.schemas import declare

_TEXT, _INT, _LONG, _REAL, _FLAG = pa.string(), pa.int32(), pa.int64(), pa.float64(), pa.bool_()


CLIPS = declare(
    "training_clips",
    1,
    {
        "video": _TEXT,
        "spec": _TEXT,
        "clip": _INT,
        "kind": _TEXT,
        "key": _TEXT,
        "frames": pa.list_(_LONG),
        "parameters": _TEXT,
        "status": _TEXT,
        "reason": _TEXT,
        "sha256": _TEXT,
    },
    "video spec clip kind frames parameters status reason",
)
"""One row per clip. `clip` 0 is the original, 1 and on the augmentations (`kind` "original" or "augmented") of the
specification `spec` (frames x pixels); `frames`
their numbers in the video; `parameters` what was drawn, as JSON, from which the clip can be made again; `key` its name
in the store and `sha256` of its pixels, both null where `status` is "failed" and `reason` says why."""

SOURCES = declare(
    "training_sources",
    1,
    {
        "video": _TEXT,
        "sha256": _TEXT,
        "hashes": pa.list_(pa.uint64()),
        "status": _TEXT,
        "reason": _TEXT,
        "frames": _LONG,
        "duration_s": _REAL,
        "fps": _REAL,
        "width": _INT,
        "height": _INT,
        "bytes": _LONG,
        "codec": _TEXT,
    },
    "video status reason",
)
"""One row per video: the digest of all its bytes, the difference hashes of its frames, and what its container says."""

FOLDS = declare(
    "training_folds",
    1,
    {"video": _TEXT, "label": _TEXT, "group": _TEXT, "repeat": _INT, "fold": _INT, "inner": pa.list_(_INT)},
    "video label group repeat fold inner",
)
"""One row per video and repeat. `fold` tests it (-1: the test set, never trained on); `inner` are the folds in whose
training it belongs to the split that stops early, fits the temperature and fixes the threshold."""

DUPLICATES = declare(
    "training_duplicates",
    1,
    {"video_a": _TEXT, "video_b": _TEXT, "distance": _REAL, "kind": _TEXT, "declared": _FLAG},
    "video_a video_b distance kind declared",
)
"""One row per pair: `kind` "exact" (same bytes) or "near"; `declared` where the sheet puts both into one group."""

PREDICTIONS = declare(
    "training_predictions",
    1,
    {
        "video": _TEXT,
        "label": _TEXT,
        "logits": pa.list_(_REAL),
        "probabilities": pa.list_(_REAL),
        "calibrated": pa.list_(_REAL),
        "part": _TEXT,
    },
    "video label logits probabilities calibrated part",
)
"""One row per video that a fold's model did not train on. `part` "outer" (its own fold), "inner" (the split that chose
the epoch), "test"; probabilities in the order of the classes; `calibrated` with the temperature of the inner split."""

ALL_PREDICTIONS = declare(
    "training_all_predictions",
    1,
    {
        "model": _TEXT,
        "control": _TEXT,
        "repeat": _INT,
        "fold": _INT,
        **{field.name: field.type for field in PREDICTIONS},
    },
    "model control repeat fold video label part",
)

HISTORY = declare(
    "training_history",
    1,
    {
        "epoch": _INT,
        "steps": _INT,
        "learning_rate": _REAL,
        "train_loss": _REAL,
        "inner_loss": _REAL,
        "inner_accuracy": _REAL,
        "best": _FLAG,
    },
    "epoch steps",
)
"""One row per epoch; `best` where the inner loss was the least so far."""

METRICS = declare(
    "training_metrics",
    1,
    {
        "model": _TEXT,
        "control": _TEXT,
        "repeat": _INT,
        "fold": _TEXT,
        "class": _TEXT,
        "metric": _TEXT,
        "value": _REAL,
        "low": _REAL,
        "high": _REAL,
        "n_videos": _INT,
        "n_groups": _INT,
        "status": _TEXT,
        "reason": _TEXT,
    },
    "model control repeat fold class metric n_videos n_groups status reason",
)
"""One row per model, fold ("all": out of fold), class ("all": over classes) and metric; intervals over groups."""

COMPARISONS = declare(
    "training_comparisons",
    1,
    {
        "model_a": _TEXT,
        "model_b": _TEXT,
        "metric": _TEXT,
        "difference": _REAL,
        "low": _REAL,
        "high": _REAL,
        "p": _REAL,
        "p_least": _REAL,
        "p_holm": _REAL,
        "n_groups": _INT,
        "status": _TEXT,
        "reason": _TEXT,
    },
    "model_a model_b metric n_groups status reason",
)

CALIBRATION = declare(
    "training_calibration",
    1,
    {
        "model": _TEXT,
        "repeat": _INT,
        "kind": _TEXT,
        "bin": _INT,
        "confidence": _REAL,
        "accuracy": _REAL,
        "n_videos": _INT,
    },
    "model repeat kind bin n_videos",
)
"""Reliability: mean confidence and accuracy by bin of confidence, `kind` "probabilities" or "calibrated"."""

FEATURES = declare(
    "training_features", 1, {"video": _TEXT, "names": pa.list_(_TEXT), "values": pa.list_(_REAL)}, "video names values"
)
