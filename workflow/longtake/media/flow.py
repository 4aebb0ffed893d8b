"""Motion between two frames by dense optical flow."""

from __future__ import annotations

import importlib
from collections.abc import Callable, Mapping

import cv2
import numpy as np

from longtake.errors import ConfigError, nearest

Method = Callable[[np.ndarray, np.ndarray], np.ndarray]
"""Two grey frames (h, w) uint8 -> displacement (h, w, 2) from the first to the second, x and y in their pixels."""


def _dis(preset: int) -> Method:
    def method(before: np.ndarray, after: np.ndarray) -> np.ndarray:
        start = np.zeros((*before.shape, 2), dtype=np.float32)
        return np.asarray(cv2.DISOpticalFlow.create(preset).calc(before, after, start))

    return method


def _farneback(before: np.ndarray, after: np.ndarray) -> np.ndarray:
    start = np.zeros((*before.shape, 2), dtype=np.float32)
    return np.asarray(cv2.calcOpticalFlowFarneback(before, after, start, 0.5, 4, 15, 3, 5, 1.2, 0))


METHODS: Mapping[str, Method] = {
    "dis": _dis(cv2.DISOPTICAL_FLOW_PRESET_ULTRAFAST),
    "dis-fine": _dis(cv2.DISOPTICAL_FLOW_PRESET_MEDIUM),
    "farneback": _farneback,
}
"""Dense inverse search (Kroeger et al., ECCV 2016), fast and fine, and polynomial expansion (Farneback, SCIA 2003)."""


def flow_method(name: str) -> Method:
    """Return a method by its name, or a function of the user's own, ``module:function``.

    Raises
    ------
    ConfigError
        There is no such method, or it cannot be imported.
    """
    if name in METHODS:
        return METHODS[name]
    module, colon, function = name.partition(":")
    if not colon:
        raise ConfigError(
            f"no optical flow is called {name!r}.{nearest(name, METHODS)} Known: {', '.join(METHODS)}, or "
            "module:function of your own."
        )
    try:
        found: Method = getattr(importlib.import_module(module), function)
    except (ImportError, AttributeError) as error:
        raise ConfigError(
            f"optical flow {name} cannot be loaded ({error}). Is the folder of {module}.py on PYTHONPATH?"
        ) from error
    return found


def flow(previous: np.ndarray, current: np.ndarray, width: int = 320, method: Method = METHODS["dis"]) -> np.ndarray:
    """Displacement of each pixel from one frame to the next, by optical flow, DIS if nothing else is asked for.

    On 8-bit grey frames scaled to ``width`` (never up). Floating point frames are refused: scaled to [0, 1] they give
    a flow near zero.

    Parameters
    ----------
    previous, current
        (H, W, 3) RGB or (H, W) grey, uint8, of one size.
    width
        At which flow is computed.
    method
        From ``flow_method``.

    Returns
    -------
    ndarray
        (h, w, 2) float32: x and y displacement in *source* pixels a frame step, at the flow's resolution
        (w = min(width, W)).

    Raises
    ------
    ValueError
        Frames differ in shape or are not uint8, or the method gives another shape than asked for.
    """
    if previous.shape != current.shape or previous.dtype != np.uint8 or current.dtype != np.uint8:
        raise ValueError(
            f"flow needs two uint8 frames of one shape, not {previous.shape} {previous.dtype} and "
            f"{current.shape} {current.dtype}."
        )
    before, after = _grey(previous, width), _grey(current, width)
    vectors = np.asarray(method(before, after), dtype=np.float32)
    if vectors.shape != (*before.shape, 2):
        raise ValueError(f"the flow of two frames {before.shape} has the shape {vectors.shape}, not (h, w, 2).")
    scale = np.array([previous.shape[1] / before.shape[1], previous.shape[0] / before.shape[0]], dtype=np.float32)
    return vectors * scale


def flow_magnitude(
    previous: np.ndarray, current: np.ndarray, width: int = 320, method: Method = METHODS["dis"]
) -> np.ndarray:
    """Length of the displacement in source pixels a frame step: (h, w) float32. See ``flow``."""
    return np.linalg.norm(flow(previous, current, width, method), axis=2)


def _grey(frame: np.ndarray, width: int) -> np.ndarray:
    grey = cv2.cvtColor(frame, cv2.COLOR_RGB2GRAY) if frame.ndim == 3 else np.ascontiguousarray(frame)
    if grey.shape[1] <= width:
        return grey
    height = max(1, round(grey.shape[0] * width / grey.shape[1]))
    return cv2.resize(grey, (width, height), interpolation=cv2.INTER_AREA)
