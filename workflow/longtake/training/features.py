"""Handcrafted features of a video, from its frames as they are decoded: resizing would destroy most of them."""

from __future__ import annotations

import math
from collections.abc import Iterator
from itertools import pairwise

import cv2
import numpy as np

from longtake.errors import UnreadableVideo
from longtake.media.index import VideoIndex
from longtake.media.reader import read_frames
from longtake.training.sampling import frame_numbers

_BANDS = 6
_FRAME_NAMES = (
    "residual_std",
    "residual_kurtosis",
    "residual_row_correlation",
    "residual_column_correlation",
    *(f"dct_band_{band}" for band in range(_BANDS)),
    "sharpness",
    "block_boundary",
    "luma_mean",
    "luma_std",
    "saturation",
)
_VIDEO_NAMES = ("frame_difference_mean", "frame_difference_std")
METADATA_NAMES = ("width", "height", "duration_s", "fps", "bits_per_pixel", "keyframe_interval_s", "is_h264", "is_hevc")
"""What the container says and no pixel does: the control "metadata" is trained on these alone."""
NAMES = (
    *(f"{name}_{way}" for way in ("mean", "std") for name in _FRAME_NAMES),
    *_VIDEO_NAMES,
    *METADATA_NAMES,
)


def video_features(index: VideoIndex, count: int) -> np.ndarray:
    """Return the features `NAMES` of a video, (n,) float64, from `count` frames at uniform times.

    Memory: two frames in source resolution, and what one decoder holds.

    Raises
    ------
    UnreadableVideo
        A frame does not decode.
    """
    rows, differences = [], []
    before: np.ndarray | None = None
    for luma, saturation in _planes(index, count):
        rows.append([*_frame(luma), saturation])
        if before is not None:
            differences.append(float(np.abs(luma - before).mean()))
        before = luma
    frames = np.asarray(rows)
    between = np.asarray(differences or [0.0])
    return np.concatenate(
        [frames.mean(0), frames.std(0), [between.mean(), between.std()], metadata_features(index)]
    ).astype(float)


def metadata_features(index: VideoIndex) -> np.ndarray:
    """Return what the container says, (8,) float64 in the order of `METADATA_NAMES`."""
    seconds = max(index.duration_s, 1e-9)
    pixels = index.width * index.height * index.n_frames
    codec = index.facts.codec
    return np.array(
        [
            index.width,
            index.height,
            index.duration_s,
            index.fps,
            8 * index.source_bytes / max(pixels, 1),
            seconds / max(len(index.keys), 1),
            codec == "h264",
            codec in ("hevc", "h265"),
        ],
        float,
    )


def _planes(index: VideoIndex, count: int) -> Iterator[tuple[np.ndarray, float]]:
    """Luma (H, W) float32 in grey levels and mean saturation of each sampled frame."""
    numbers = sorted(set(frame_numbers(index, count)))

    def missing(frame: int, reason: str) -> None:
        raise UnreadableVideo(f"{index.path}: frame {frame}: {reason}")

    for frame in read_frames(index, numbers, on_missing=missing):
        luma = cv2.cvtColor(frame.pixels, cv2.COLOR_RGB2GRAY).astype(np.float32)
        spread = frame.pixels.max(2).astype(np.float32) - frame.pixels.min(2)
        yield luma, float(spread.mean())


def _frame(luma: np.ndarray) -> list[float]:
    residual = luma - cv2.medianBlur(luma, 3)
    return [
        float(residual.std()),
        _kurtosis(residual),
        _correlation(residual[:-1], residual[1:]),
        _correlation(residual[:, :-1], residual[:, 1:]),
        *_dct_bands(luma),
        math.log1p(float(cv2.Laplacian(luma, cv2.CV_32F).var())),
        _block_boundary(luma),
        float(luma.mean()),
        float(luma.std()),
    ]


def _kurtosis(values: np.ndarray) -> float:
    centred = values.astype(float) - values.mean()
    second = float((centred**2).mean())
    return float((centred**4).mean()) / second**2 - 3 if second > 1e-12 else 0.0


def _correlation(one: np.ndarray, other: np.ndarray) -> float:
    a, b = one.ravel() - one.mean(), other.ravel() - other.mean()
    norm = float(np.sqrt((a * a).sum(dtype=float) * (b * b).sum(dtype=float)))
    return float((a * b).sum(dtype=float)) / norm if norm > 1e-12 else 0.0


def _dct_bands(luma: np.ndarray) -> list[float]:
    """Log energy of the 8 x 8 cosine transform in bands of rising frequency, on the grid of the codec's blocks."""
    height, width = (side // 8 * 8 for side in luma.shape)
    if min(height, width) < 8:
        return [0.0] * _BANDS
    blocks = luma[:height, :width].reshape(height // 8, 8, width // 8, 8).transpose(0, 2, 1, 3).reshape(-1, 8, 8)
    basis = _dct_basis()
    energy = np.square(basis @ blocks @ basis.T).mean(0)
    ring = np.add.outer(np.arange(8), np.arange(8))
    edges = np.linspace(1, 15, _BANDS + 1)
    pairs = pairwise(edges)
    return [math.log1p(float(energy[(ring >= low) & (ring < high)].mean())) for low, high in pairs]


def _dct_basis() -> np.ndarray:
    """The orthonormal cosine transform of eight samples (type II), (8, 8) float32."""
    k, n = np.arange(8)[:, None], np.arange(8)[None]
    basis = np.cos(np.pi * (2 * n + 1) * k / 16) * np.sqrt(2 / 8)
    basis[0] /= np.sqrt(2)
    return basis.astype(np.float32)


def _block_boundary(luma: np.ndarray) -> float:
    """How much steeper luma is across the borders of 8 x 8 blocks than inside them: log ratio, 0 without blocks."""
    total = 0.0
    for steps in (np.abs(np.diff(luma, axis=1)), np.abs(np.diff(luma, axis=0)).T):
        border = np.arange(steps.shape[1]) % 8 == 7
        if not border.any() or border.all():
            return 0.0
        total += math.log((float(steps[:, border].mean()) + 1e-3) / (float(steps[:, ~border].mean()) + 1e-3))
    return total / 2
