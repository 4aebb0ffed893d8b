"""Motion between two frames by dense optical flow."""

from __future__ import annotations

import cv2
import numpy as np


def flow(previous: np.ndarray, current: np.ndarray, width: int = 320) -> np.ndarray:
    """Displacement of each pixel from one frame to the next, by DIS optical flow.

    Dense inverse search (Kroeger et al., ECCV 2016), preset ultrafast, on 8-bit grey frames scaled to
    ``width`` (never up). Floating point frames are refused: scaled to [0, 1] they give a flow near zero.

    Parameters
    ----------
    previous, current
        (H, W, 3) RGB or (H, W) grey, uint8, of one size.
    width
        At which flow is computed.

    Returns
    -------
    ndarray
        (h, w, 2) float32: x and y displacement in *source* pixels a frame step, at the flow's resolution
        (w = min(width, W)).

    Raises
    ------
    ValueError
        Frames differ in shape or are not uint8.
    """
    if previous.shape != current.shape or previous.dtype != np.uint8 or current.dtype != np.uint8:
        raise ValueError(
            f"flow needs two uint8 frames of one shape, not {previous.shape} {previous.dtype} and "
            f"{current.shape} {current.dtype}."
        )
    before, after = _grey(previous, width), _grey(current, width)
    dis = cv2.DISOpticalFlow.create(cv2.DISOPTICAL_FLOW_PRESET_ULTRAFAST)
    vectors = np.asarray(dis.calc(before, after, np.zeros((*before.shape, 2), dtype=np.float32)))
    scale = np.array([previous.shape[1] / before.shape[1], previous.shape[0] / before.shape[0]], dtype=np.float32)
    return vectors * scale


def flow_magnitude(previous: np.ndarray, current: np.ndarray, width: int = 320) -> np.ndarray:
    """Length of the displacement in source pixels a frame step: (h, w) float32. See ``flow``."""
    return np.linalg.norm(flow(previous, current, width), axis=2)


def _grey(frame: np.ndarray, width: int) -> np.ndarray:
    grey = cv2.cvtColor(frame, cv2.COLOR_RGB2GRAY) if frame.ndim == 3 else np.ascontiguousarray(frame)
    if grey.shape[1] <= width:
        return grey
    height = max(1, round(grey.shape[0] * width / grey.shape[1]))
    return cv2.resize(grey, (width, height), interpolation=cv2.INTER_AREA)
