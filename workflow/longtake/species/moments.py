"""Area and centroid of an encoded mask, from its runs alone: no mask is ever decoded into pixels."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray


def run_bounds(counts: str) -> NDArray[np.int64]:
    """Column-major positions at which a COCO compressed RLE changes its value: start, stop, start, stop, ...

    The format writes each run length, from the fourth on as the difference to the run two before, in groups
    of five bits, low groups first, each as a character from ``'0'`` on with bit 6 set while more follow.
    """
    symbols = np.frombuffer(counts.encode("ascii"), dtype=np.uint8).astype(np.int64) - 48
    if not symbols.size:
        return np.empty(0, dtype=np.int64)
    last = (symbols & 0x20) == 0
    first = np.flatnonzero(np.concatenate([[True], last[:-1]]))
    group = np.arange(symbols.size) - np.repeat(first, np.diff(np.append(first, symbols.size)))
    runs = np.add.reduceat((symbols & 0x1F) << (5 * group), first)
    negative = last & ((symbols & 0x10) != 0)
    runs -= np.add.reduceat(np.where(negative, np.int64(1) << (5 * (group + 1)), 0), first)
    runs[1::2] = np.cumsum(runs[1::2])
    runs[2::2] = np.cumsum(runs[2::2])
    bounds = np.cumsum(runs)
    return bounds if bounds.size % 2 == 0 else bounds[:-1]


def area_and_centroid(counts: str, height: int) -> tuple[float, float, float]:
    """Pixels of a mask, and the mean x and y of its pixel centres (pixel k reaches from k to k + 1).

    Parameters
    ----------
    counts
        COCO compressed RLE of a frame of `height` rows.

    Returns
    -------
    area, x, y
        In px; x and y are NaN for an empty mask.
    """
    bounds = run_bounds(counts)
    column, row = np.divmod(bounds, height)
    # Sums of column and row numbers over all positions before a bound; a run's share is a difference of two.
    columns = height * (column * (column - 1) // 2) + row * column
    rows = column * (height * (height - 1) // 2) + row * (row - 1) // 2
    sign = np.where(np.arange(bounds.size) % 2 == 0, -1, 1)
    area = int((sign * bounds).sum())
    if area == 0:
        return 0.0, float("nan"), float("nan")
    return float(area), (sign * columns).sum() / area + 0.5, (sign * rows).sum() / area + 0.5
