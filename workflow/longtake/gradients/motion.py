"""Motion of the picture and of the animal between two frames of a clip."""

import cv2
import numpy as np

from longtake.gradients.clips import Region
from longtake.media.flow import METHODS, Method, flow_magnitude
from longtake.memory.ledger import stage


@stage("flow")
def motion_field(previous: np.ndarray, current: np.ndarray, width: int, method: Method = METHODS["dis"]) -> np.ndarray:
    """Length of the motion from `previous` to `current`: (h, w) float32, source pixels per frame step.

    Optical flow of whole source frames (H, W, 3) uint8 RGB, computed at `width` pixels. It is taken from current back
    to previous: of equal length, and on the grid of the current frame, on which the animal's mask is.
    """
    return flow_magnitude(current, previous, width, method)


def mean_over_mask(field: np.ndarray, mask: np.ndarray) -> float | None:
    """Mean of `field` (h, w) over a source mask (H, W) bool; None if the mask is empty.

    The mask is scaled to the field's grid as weights, so that a small animal is not lost.
    """
    weight = cv2.resize(mask.astype(np.float32), (field.shape[1], field.shape[0]), interpolation=cv2.INTER_AREA)
    total = float(weight.sum(dtype=np.float64))
    return float((field * weight).sum(dtype=np.float64)) / total if total > 0 else None


def mean_over_region(field: np.ndarray, region: Region, height: int, width: int) -> float:
    """Mean of `field` (h, w) over a region of the (height, width) source, to the nearest grid line of the field."""
    rows, columns = field.shape
    top, left = min(rows - 1, region.y_min * rows // height), min(columns - 1, region.x_min * columns // width)
    bottom = max(top + 1, round(region.y_max * rows / height))
    right = max(left + 1, round(region.x_max * columns / width))
    return float(field[top:bottom, left:right].mean(dtype=np.float64))
