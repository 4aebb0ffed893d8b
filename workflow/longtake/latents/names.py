"""The names of all metrics, by family, each with its unit and what it says in one line.

The order is that of the tables' columns.
"""

from __future__ import annotations

from collections.abc import Iterable

FAMILIES: dict[str, dict[str, tuple[str, str]]] = {
    "spatial": {
        "spatial_variance": ("variance", "how much a map varies over its pixels"),
        "autocorrelation_row": ("r", "how like a pixel is to the one below it"),
        "autocorrelation_column": ("r", "how like a pixel is to the one right of it"),
        "edge_density": ("share", "pixels whose Sobel gradient passes latents.edge_threshold"),
    },
    "patches": {},
    "temporal": {
        "frame_correlation": ("r", "how like a frame is to the next"),
        "temporal_variance": ("variance", "how much a pixel varies over the frames"),
        "motion": ("latent units", "mean absolute change of a pixel from frame to frame"),
        "mean_autocorrelation": ("r", "how like a channel's mean is to that of the next frame"),
        "dominant_frequency": ("cycles per latent frame", "the strongest rhythm of the channels' means"),
        "dominant_share": ("share", "power of that rhythm, of all but the constant part"),
    },
    "channel": {
        "channel_variance": ("variance", "how much a channel varies over frames and pixels"),
        "channel_correlation": ("r", "mean correlation of two channels, with its sign"),
        "channel_correlation_abs": ("r", "mean size of the correlation of two channels"),
        "frame_channel_correlation": ("r", "mean correlation of two channels within a frame"),
        "entropy": ("bits", "how evenly the energy is spread over channels"),
        "evenness": ("share", "that entropy, of the largest there can be"),
        "dominance": ("share", "energy of the strongest channel"),
    },
    "information": {
        "mutual_information": ("bits", "what one channel tells of another at the same place"),
        "conditional_entropy": ("bits", "what is left to tell of a pixel when the frame before is known"),
        "information_density": ("bits", "entropy of the values of a map"),
    },
    "complexity": {
        "pca_components": ("count", "components of the channels that hold 95 % of the variance"),
        "participation_ratio": ("count", "how many such components there are in effect"),
        "zlib_ratio": ("share", "compressed bytes of a channel, of those in 8 bits"),
        "box_dimension": ("dimension", "how the region above a map's mean fills the plane, by counting boxes"),
    },
    "global": {
        "total_variance": ("variance", "how much the whole latent varies"),
        "mirror_left_right": ("r", "how like the left half is to the mirrored right one"),
        "mirror_top_bottom": ("r", "how like the upper half is to the mirrored lower one"),
        "structural_entropy": ("share", "how evenly the variance is spread over all maps"),
    },
    "frequency": {
        "spectral_entropy": ("bits", "how evenly a channel's spatial power is spread over frequencies"),
        "spectral_flatness": ("share", "geometric mean of that power, of its arithmetic mean: 1 for white noise"),
        "spectral_slope": ("exponent", "how power falls with spatial frequency: -2 for f^-2"),
    },
}
PATCH_SIZES = (4, 8, 16)
"""Unless latents.patch_sizes says otherwise; the metrics of patches are named by their size."""


def texts(families: Iterable[str] = FAMILIES, patch_sizes: Iterable[int] = PATCH_SIZES) -> dict[str, tuple[str, str]]:
    """Unit and meaning of every metric of these families, in the order of the columns."""
    wanted = set(families)
    found: dict[str, tuple[str, str]] = {}
    for family, known in FAMILIES.items():
        if family not in wanted:
            continue
        found |= known
        for size in patch_sizes if family == "patches" else ():
            patch = f"patches of {size} x {size} pixels"
            found[f"patch{size}_variance"] = ("variance", f"how much {patch} vary inside")
            found[f"patch{size}_distinctiveness"] = ("latent units", f"how far {patch} lie apart, per pixel")
    return found


def metrics(families: Iterable[str] = FAMILIES, patch_sizes: Iterable[int] = PATCH_SIZES) -> tuple[str, ...]:
    """The names of the metrics, which are columns of ``metrics.parquet``."""
    return tuple(texts(families, patch_sizes))


TRAJECTORY_TEXTS: dict[str, tuple[str, str]] = {
    "length": ("RMS", "length of the way over all steps"),
    "speed_mean": ("RMS per step", "mean length of a step"),
    "speed_cv": ("share", "standard deviation of the steps' lengths, of their mean"),
    "speed_sigma": ("RMS per unit of sigma", "mean of a step's length over its change of sigma"),
    "acceleration": ("RMS per step^2", "mean change from one step to the next"),
    "endpoint_distance": ("RMS", "straight distance from the first latent to the last"),
    "tortuosity": ("ratio", "length of the way over that distance: 1 for a straight way"),
    "endpoint_alignment": ("cosine", "how well steps point to where the way ends"),
    "turning_angle": ("radians", "mean angle of one step to the next"),
    "curvature": ("1 / RMS", "mean of Menger's curvature over three latents"),
    "half_life": ("steps", "when the distance to the last latent is half of what it was"),
    "half_life_fraction": ("share", "the same, of all steps"),
    "pc1_share": ("share", "variance of the way along its main direction"),
    "pc3_share": ("share", "variance of the way along its three main directions"),
    "participation_ratio": ("count", "how many directions the way has in effect"),
}
TRAJECTORY: tuple[str, ...] = tuple(TRAJECTORY_TEXTS)
