"""The tables of a study of latents: their columns and types."""

from __future__ import annotations

from collections.abc import Sequence

import pyarrow as pa

from longtake.latents.names import TRAJECTORY
from longtake.store.schemas import declare

_TEXT, _INT, _LONG, _REAL = pa.string(), pa.int32(), pa.int64(), pa.float64()


def _reals(names: tuple[str, ...] | str) -> dict[str, pa.DataType]:
    return dict.fromkeys(names.split() if isinstance(names, str) else names, _REAL)


_UNIT = {"video": _TEXT, "group": _TEXT, "seed": _LONG}
_VIDEO = {
    **_UNIT,
    "prompt": _TEXT,
    "n_steps": _INT,
    "shape": pa.list_(_LONG),
    "dtype": _TEXT,
    "axes": _TEXT,
    "status": _TEXT,
    "reason": _TEXT,
    "files": _INT,
    "bytes": _LONG,
}

VIDEOS = declare(
    "latents_videos", 1, {**_VIDEO, "compared": pa.bool_(), "notices": pa.list_(_TEXT)}, "video group status files"
)
"""One row per video. `shape` is channel, frame, row, column; `files` and `bytes` are what was found on disk;
`compared` says whether it takes part in comparisons, which it does not with another shape than the study's."""

FILE = pa.struct(
    {
        "step": _INT, "name": _TEXT, "kind": _TEXT, "offset": _LONG, "nbytes": _LONG, "fortran": pa.bool_(),
        "scale": _REAL, "stored_shape": pa.list_(_LONG), "stored_dtype": _TEXT, "axes": _TEXT, "size": _LONG,
        "mtime_ns": _LONG, "timestep": _REAL, "sigma": _REAL,
    }
)  # fmt: skip
INDEX = declare("latents_index", 1, {**_VIDEO, "notices": pa.list_(_TEXT), "folder": _TEXT, "held": pa.list_(FILE)}, "")
"""One row per video, with what the header and the metadata of each of its files say."""


def metrics_table(names: Sequence[str]) -> pa.Schema:
    """One row per latent with these metrics, null where undefined.

    `n_undefined` counts the maps, pairs and channels that were left out of the means of the row.
    """
    columns = {**_UNIT, "step": _INT, "timestep": _REAL, "sigma": _REAL, **_reals(tuple(names)), "n_undefined": _LONG}
    return declare("latents_metrics", 1, columns, "video group step n_undefined")


CHANNELS = declare(
    "latents_channels",
    1,
    {**_UNIT, "step": _INT, "channel": _INT, **_reals("mean variance energy_share"), "correlation": pa.list_(_REAL)},
    "video group step channel",
)
"""One row per latent and channel; `correlation` is Pearson's with each channel, null for one that is constant."""

SPECTRA = declare(
    "latents_spectra",
    1,
    {**_UNIT, "step": _INT, "kind": _TEXT, "frequency": _REAL, "power": _REAL},
    "video group step kind frequency",
)
"""Spectra, averaged over channels: ``radial`` in cycles per latent pixel, ``temporal`` in cycles per latent frame."""

TRAJECTORIES = declare(
    "latents_trajectories",
    1,
    {**_UNIT, "n_steps": _INT, "first_step": _INT, "last_step": _INT, "step_gap": _INT, **_reals(TRAJECTORY)},
    "video group n_steps",
)
"""One row per video; lengths are divided by the root of the number of elements. `step_gap` is null if not regular."""

TRAJECTORY_STEPS = declare(
    "latents_trajectory_steps", 1,
    {
        **_UNIT, "step": _INT,
        **_reals("speed speed_sigma acceleration turning_angle curvature endpoint_alignment distance_to_final"),
    },
    "video group step",
)  # fmt: skip
"""One row per latent: motion from it to the next, turns at the next, and its distance to the last."""

STEP_VIDEOS = declare(
    "latents_step_videos",
    1,
    {**_UNIT, "step": _INT, **_reals("branch_distance exit_distance map_x map_y")},
    "video group step",
)
"""One row per latent: distance to the baseline's latent of the same seed, to the group's centroid, and its place on
the map of all videos of the step (classical scaling of the Gram matrix)."""

STEP_GROUPS = declare(
    "latents_step_groups", 1,
    {
        "group": _TEXT, "step": _INT,
        **_reals("corridor_width divergence dimension_twonn dimension_levina_bickel"), "n_dimension": _INT,
    },
    "group step",
)  # fmt: skip
"""One row per group and step, of the products of all its latents."""

GROUP_STEPS = declare(
    "latents_group_steps", 1,
    {
        "group": _TEXT, "step": _INT, "metric": _TEXT,
        **_reals("mean band_low band_high corridor_width divergence dimension_twonn dimension_levina_bickel"),
        "n": _INT, "n_dimension": _INT,
    },
    "group step metric n",
)  # fmt: skip
"""One row per group, step and metric with its mean and simultaneous band. Corridor, divergence and dimensions belong to
group and step, and stand in each of its rows."""

GROUPS = declare(
    "latents_groups", 1,
    {"group": _TEXT, "metric": _TEXT, "summary": _TEXT, **_reals("mean low high sd"), "n": _INT, "status": _TEXT,
     "reason": _TEXT},
    "group metric summary n status",
)  # fmt: skip
"""Mean over videos with its bootstrap interval: of the ``last`` step, the ``mean`` over steps, the ``trajectory``."""

TESTS = declare(
    "latents_tests", 1,
    {
        "test": _TEXT, "group": _TEXT, "baseline": _TEXT, "metric": _TEXT, "summary": _TEXT,
        **_reals("mean_group mean_baseline difference low high hedges_g cliffs_delta p p_maxt p_holm"),
        **_reals("least_possible_p least_possible_p_holm"),
        "n_group": _INT, "n_baseline": _INT, "n_paired": _INT, "n_single": _INT, "method": _TEXT, "status": _TEXT,
        "reason": _TEXT,
    },
    "test metric summary status",
)  # fmt: skip
"""One row per comparison (``contrast`` of two groups, ``trend`` over the order of groups), metric and summary."""

SEPARABILITY = declare(
    "latents_separability", 1,
    {
        "features": _TEXT, "step": _INT, **_reals("accuracy chance p distance_ratio p_distance"), "n": _INT,
        "n_groups": _INT, "folds": _INT, "folds_by": _TEXT, "group": _TEXT, "predicted": _TEXT, "count": _INT,
        "status": _TEXT, "reason": _TEXT,
    },
    "features status",
)  # fmt: skip
"""Whether groups can be told apart: rows of ``features`` all and step, and the confusion with group and predicted."""
