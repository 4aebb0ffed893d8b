"""The way from source pixels into the model's square frame, and back.

SAM 2 sees every frame squashed to a square. Whatever size a frame was decoded at, the square stands for the whole
source frame; so prompts go from *source* pixels straight to the square, and masks from the square straight to source
pixels. The decoded size never enters, and a box cannot be scaled differently from the frame that it belongs to.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
import numpy.typing as npt
import torch
from torch.nn import functional

from longtake import masks
from longtake.annotate.prompts import Placed
from longtake.errors import SheetError
from longtake.masks import BoolMask, Box

FloatArray = npt.NDArray[np.float32]


@dataclass(frozen=True)
class Preprocessing:
    """How the model wants its frames: the side of the square in pixels, and the colour statistics in [0, 1]."""

    image_size: int
    mean: tuple[float, float, float]
    std: tuple[float, float, float]


@dataclass(frozen=True)
class ModelPrompt:
    """A prompt as the model takes it: points, a box among them, or else a mask.

    ``points``: (P, 2) float32, x and y in the model's square. ``labels``: (P,) int32: 1 inside the object, 0 outside
    it, 2 and 3 the first and the last corner of its box, which come first. ``mask``: (side, side) float32 of 0 and 1
    in the model's square, given alone, without points.
    """

    points: torch.Tensor
    labels: torch.Tensor
    mask: torch.Tensor | None = None


def model_frame(pixels: npt.NDArray[np.uint8], preprocessing: Preprocessing) -> torch.Tensor:
    """Squash a frame to the model's square and normalise its colours.

    The steps are those of the published processor: bilinear with antialiasing to 8-bit levels, then
    (x / 255 - mean) / std.

    Parameters
    ----------
    pixels : (h, w, 3) uint8, RGB

    Returns
    -------
    (3, image_size, image_size) float32
    """
    side = preprocessing.image_size
    levels = torch.from_numpy(np.ascontiguousarray(pixels)).permute(2, 0, 1).unsqueeze(0).float()
    if levels.shape[-2:] != (side, side):
        levels = functional.interpolate(levels, (side, side), mode="bilinear", align_corners=False, antialias=True)
        levels = levels.round_().clamp_(0.0, 255.0)
    mean = torch.tensor(preprocessing.mean).view(3, 1, 1)
    std = torch.tensor(preprocessing.std).view(3, 1, 1)
    return levels.squeeze(0).div_(255.0).sub_(mean).div_(std)


def model_box(box: Box, width: int, height: int, image_size: int) -> torch.Tensor:
    """Scale a box of source pixels into the model's square.

    Returns
    -------
    (2, 2) float32
        Upper left and lower right corner, (x, y) each.
    """
    return _in_square([box[:2], box[2:]], width, height, image_size)


def _in_square(points: Sequence[tuple[float, ...]], width: int, height: int, image_size: int) -> torch.Tensor:
    scale = torch.tensor([image_size / width, image_size / height], dtype=torch.float32)
    return torch.tensor(points, dtype=torch.float32).view(-1, 2) * scale


def model_prompt(placed: Placed, width: int, height: int, image_size: int) -> ModelPrompt:
    """Scale a prompt of source pixels into the model's square.

    Boxes and points by the two sides' ratios. Masks as the published processor does it: bilinear with antialiasing,
    then a pixel is the object's from one half on.

    Raises
    ------
    SheetError
        A mask so small or thin that no pixel of the square is half full; the model would take the object as absent.
    """
    corners = [] if placed.box is None else [placed.box[:2], placed.box[2:]]
    positive, negative = placed.prompt.points, placed.prompt.negative_points
    points = _in_square([*corners, *positive, *negative], width, height, image_size)
    given = ([2, 3] if corners else []) + [1] * len(positive) + [0] * len(negative)
    labels = torch.tensor(given, dtype=torch.int32)
    if not placed.mask:
        return ModelPrompt(points, labels)
    whole = torch.from_numpy(masks.decode(placed.mask, height, width))[None, None].float()
    size = (image_size, image_size)
    share = functional.interpolate(whole, size, mode="bilinear", align_corners=False, antialias=True)
    mask = (share[0, 0] >= 0.5).float()
    if not mask.any():
        raise SheetError(
            f"row {placed.prompt.row}: the mask of object {placed.prompt.object!r} vanishes in the model's square of "
            f"{image_size} x {image_size} pixels; give a box or a point instead."
        )
    return ModelPrompt(points, labels, mask)


@lru_cache(maxsize=16)
def _taps(size: int, source: int) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64], FloatArray]:
    """Give the two source samples and the weight of the second for each of `size` bilinear samples (pixel centres)."""
    # In float32 throughout, as torch computes it.
    step = np.float32(source) / np.float32(size)
    position = np.maximum((np.arange(size, dtype=np.float32) + np.float32(0.5)) * step - np.float32(0.5), 0)
    first = np.minimum(position.astype(np.int64), source - 1)
    second = np.minimum(first + 1, source - 1)
    return first, second, np.clip(position - first.astype(np.float32), 0, 1)


def source_mask(logits: FloatArray, width: int, height: int) -> tuple[BoolMask, int, int] | None:
    """Upsample mask logits to source pixels and threshold them at 0, computing only the crop that can be positive.

    Bilinear with pixel centres aligned (``align_corners=False``), as the published processor does on whole frames; a
    sample can exceed 0 only where one of its four neighbours does, so nothing outside the crop is lost. A pixel whose
    logit is 0 up to float32 rounding may fall on the other side than in a whole-frame pass by torch.

    Parameters
    ----------
    logits : (h, w) float32
        The model's mask logits over the whole frame.
    width, height : int
        The source size.

    Returns
    -------
    (crop, x, y) or None
        The crop, (rows, columns) bool, and the column and row of its first pixel; None where nothing is positive.
        Memory: a few float32 copies of the crop.
    """
    positive = logits > 0
    rows, columns = np.flatnonzero(positive.any(axis=1)), np.flatnonzero(positive.any(axis=0))
    if rows.size == 0:
        return None
    top, bottom = _span(height, logits.shape[0], int(rows[0]), int(rows[-1]))
    left, right = _span(width, logits.shape[1], int(columns[0]), int(columns[-1]))
    upper, lower, down = (tap[top:bottom] for tap in _taps(height, logits.shape[0]))
    nearer, farther, across = (tap[left:right] for tap in _taps(width, logits.shape[1]))
    if upper.size == 0 or nearer.size == 0:
        return None
    # Columns first: the crop is still low in the other direction, so the wide product is made once.
    low, high = int(upper[0]), int(lower[-1]) + 1
    band = logits[low:high]
    band = band[:, nearer] * (1 - across) + band[:, farther] * across
    crop = band[upper - low] * (1 - down)[:, None] + band[lower - low] * down[:, None] > 0
    return (crop, left, top) if crop.any() else None


def _span(size: int, source: int, first: int, last: int) -> tuple[int, int]:
    """Give the range of samples that look at any source sample of [first, last]."""
    near, far, _ = _taps(size, source)
    return int(np.searchsorted(far, first, side="left")), int(np.searchsorted(near, last, side="right"))
