"""How stored pixels become the picture that people see: the one place that knows of pixel aspect and turning.

Decoders crop what an encoder padded by themselves, so stored pixels are those that a decoder gives. Everywhere else in
longtake, source pixels are display pixels: square ones, upright.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction

import numpy as np

_FIXED_POINT = 65536.0
# Beyond it a header is damaged: the widest of real ones, anamorphic film, is 2.
_MOST_ASPECT = 8


@dataclass(frozen=True)
class Geometry:
    """From stored to displayed pixels.

    Attributes
    ----------
    coded_width, coded_height
        Of a decoded picture.
    pixel_aspect
        How much wider than high a stored pixel is shown.
    rotation
        Clockwise degrees (0, 90, 180, 270) that turn the picture upright.
    mirrored
        Whether it is mirrored left to right before that.
    """

    coded_width: int
    coded_height: int
    pixel_aspect: Fraction
    rotation: int
    mirrored: bool

    @property
    def size(self) -> tuple[int, int]:
        """Width and height on display, in square pixels.

        Of pixels that are not square the longer side is made as long as it is shown, as players and browsers do, so
        that no stored line is lost.
        """
        wide = round(self.coded_width * max(self.pixel_aspect, Fraction(1)))
        tall = round(self.coded_height / min(self.pixel_aspect, Fraction(1)))
        return self._turned((wide, tall))

    def before_turning(self, size: tuple[int, int]) -> tuple[int, int]:
        """Return the width and height to which stored pixels are scaled, to be of `size` once they are turned."""
        return self._turned(size)

    def to_display(self, pixels: np.ndarray) -> np.ndarray:
        """Turn pixels (h, w, 3), stored but scaled, into display orientation; contiguous."""
        if self.mirrored:
            pixels = pixels[:, ::-1]
        if self.rotation:
            pixels = np.rot90(pixels, k=-self.rotation // 90)
        return np.ascontiguousarray(pixels)

    def _turned(self, size: tuple[int, int]) -> tuple[int, int]:
        return size[::-1] if self.rotation in (90, 270) else size


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


def pixel_aspect(told: Fraction | None) -> Fraction:
    """Return the aspect that a stream tells of its pixels; square ones where it tells none.

    Raises
    ------
    ValueError
        No camera has such pixels.
    """
    if not told:
        return Fraction(1)
    if not 1 / Fraction(_MOST_ASPECT) <= told <= _MOST_ASPECT:
        raise ValueError(f"its header says that pixels are {float(told):g} times as wide as high, which none are")
    return told
