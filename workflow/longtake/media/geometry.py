"""The display matrix: how stored pixels become the picture that people see."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np

_FIXED_POINT = 65536.0


def orientation(matrix: Sequence[int]) -> tuple[int, bool]:
    """Clockwise rotation in degrees (0, 90, 180, 270) and whether pixels are first mirrored left to right.

    Parameters
    ----------
    matrix
        The nine 16.16 fixed-point numbers (a, b, u, c, d, v, x, y, w) of an MP4 display matrix:
        x' = a x + c y, y' = b x + d y with y pointing down (ISO/IEC 14496-12, 8.3.2).

    Raises
    ------
    ValueError
        The matrix is no quarter turn.
    """
    a, b, c, d = (matrix[i] / _FIXED_POINT for i in (0, 1, 3, 4))
    mirrored = a * d - b * c < 0
    if mirrored:
        a, b = -a, -b
    degrees = math.degrees(math.atan2(b, a))
    quarter = round(degrees / 90)
    if abs(degrees - 90 * quarter) > 0.5 or (a == b == 0):
        raise ValueError(f"the display matrix turns by {degrees:.1f} degrees, which is no quarter turn")
    return 90 * (quarter % 4), mirrored


def to_display(pixels: np.ndarray, rotation: int, mirrored: bool) -> np.ndarray:
    """Turn stored pixels (h, w, 3) into display orientation; contiguous."""
    if mirrored:
        pixels = pixels[:, ::-1]
    if rotation:
        pixels = np.rot90(pixels, k=-rotation // 90)
    return np.ascontiguousarray(pixels)
