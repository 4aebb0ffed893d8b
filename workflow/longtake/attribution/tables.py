"""The tables of a study of volumes: their columns and types."""

from __future__ import annotations

import pyarrow as pa

from longtake.store.schemas import declare

_TEXT, _INT, _LONG, _REAL, _FLAG = pa.string(), pa.int32(), pa.int64(), pa.float64(), pa.bool_()


def _reals(names: str) -> dict[str, pa.DataType]:
    return dict.fromkeys(names.split(), _REAL)


_CASE = dict.fromkeys("volume subject split label eye".split(), _TEXT)
_MAP = {"method": _TEXT, "layer": _TEXT, "target": _TEXT}

RESULTS = declare(
    "attribution_results",
    1,
    {
        **_CASE,
        **_MAP,
        "contrast": _TEXT,
        "status": _TEXT,
        "reason": _TEXT,
        "file": _TEXT,
        "logits": pa.list_(_REAL),
        "probabilities": pa.list_(_REAL),
        "score": _REAL,
        "predicted": _TEXT,
        "true": _TEXT,
        "correct": _FLAG,
        **_reals("min max mean sum"),
        "peak_voxel": pa.list_(_INT),
        **_reals("completeness weight_ratio negative_share sigma"),
        "n": _INT,
        "standard_error": _REAL,
        "way": _TEXT,
        "rung": _TEXT,
        "predicted_bytes": _LONG,
        "measured_bytes": _LONG,
        **_reals("deletion deletion_random deletion_edges insertion insertion_random insertion_edges"),
        **_reals("pointing mask_share mask_evidence mask_auprc mask_iou randomisation repeatability"),
    },
    "volume method status",
)
"""One row per volume, method, layer and target. `file` is the map's, in the volume's folder; it is empty where the map
failed. `peak_voxel` is in the file's order. `completeness` is how far integrated gradients are off the difference
of scores; `weight_ratio` the largest abs(mean g) / mean abs(g) of a channel; `sigma` the noise's standard deviation
and `n` the number of draws or steps. `deletion` and `insertion` are areas under the curves of the target's
probability, those of a random order and of an edge map beside them. `mask_evidence` is the share of the map's sum
inside the mask, `mask_share` the mask's share of voxels, which is chance. `randomisation` is the rank correlation
with the map of a model whose weights were all drawn anew, `repeatability` the largest difference of a second
computation."""

REGIONS = declare(
    "attribution_regions",
    1,
    {
        **_CASE,
        **_MAP,
        "predicted": _TEXT,
        "correct": _FLAG,
        "region": _INT,
        "name": _TEXT,
        "voxels": _LONG,
        **_reals("voxel_share evidence evidence_share mean max"),
    },
    "volume method region voxels",
)
"""One row per map and label of the volume of regions. `evidence` is the sum of the map's values above 0 in the region,
null with its share where the map has none."""

CURVES = declare(
    "attribution_curves",
    1,
    {**_CASE, **_MAP, "kind": _TEXT, "order": _TEXT, "step": _INT, "at": _REAL, "value": _REAL, "probability": _REAL},
    "volume method kind order step value",
)
"""Curves of each map. `kind` "deletion" and "insertion": `at` is the share of voxels that were replaced or put back in
the `order` of the map, at random or by edges, `value` the target's score and `probability` its probability.
"profile": `order` is an axis, `at` the place along it from 0 to 1, `value` the share of the map's evidence in that
slice. "randomisation": `order` is the first layer whose weights were drawn, `at` the share of layers, `value` the
rank correlation of the maps."""
