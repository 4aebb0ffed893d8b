"""A volume as the model's array, filled plane by plane."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from longtake.errors import UnreadableVolume
from longtake.volumes.axes import CHANNELS, Axes
from longtake.volumes.source import Source, open_plain, open_volume


def read_volume(path: str | Path, axes: Axes, *, variable: str = "", divide_by: float = 1.0) -> np.ndarray:
    """The volume (C, d0, d1, d2) float32 in the model's order of axes, divided by `divide_by`.

    Memory: the array, and one plane of the file; the file's whole array for npz and MATLAB up to 7.2.

    Raises
    ------
    UnreadableVolume
        The file cannot be used.
    """
    with open_volume(path, variable=variable, axes=axes.file) as source:
        return filled(source, axes, np.float32(divide_by))


def filled(source: Source, axes: Axes, divide_by: np.float32, dtype: type = np.float32) -> np.ndarray:
    """The source's numbers as (C, d0, d1, d2) of `dtype`."""
    sizes = dict(zip(axes.file, source.shape, strict=True))
    order = [CHANNELS, *axes.spatial]
    whole: np.ndarray = np.empty([sizes.get(letter, 1) for letter in order], dtype)
    # The same memory, seen in the file's order, so that a plane of the file is a plane of the view.
    view = whole.transpose([order.index(letter) for letter in axes.file] + ([] if CHANNELS in axes.file else [0]))
    view = view if CHANNELS in axes.file else view[..., 0]
    target = np.moveaxis(view, source.along, 0)
    for index, plane in source.planes():
        target[index] = plane
        if divide_by != 1:
            target[index] /= divide_by
    return whole


def read_labels(path: str | Path, axes: Axes, shape: tuple[int, ...], what: str) -> np.ndarray:
    """A mask or a volume of regions (d0, d1, d2) int32 in the model's order, of the shape of the volume it belongs to.

    Parameters
    ----------
    shape : (3,), of the volume, in the model's order
    what : the sheet's column, for messages

    Raises
    ------
    UnreadableVolume
        It cannot be read, or has another shape, or values that are no whole numbers.
    """
    plain = Axes(axes.file_spatial, axes.spatial)
    with open_plain(path) as source:
        if source.shape != axes.file_shape(shape):
            raise UnreadableVolume(
                f"{path} ({what}) has the shape {source.shape}, its volume {axes.file_shape(shape)}: both must lie on "
                "the same voxels."
            )
        values = filled(source, plain, np.float32(1), np.float32)[0]
    if not np.array_equal(values, np.rint(values)):
        raise UnreadableVolume(f"{path} ({what}) has values that are no whole numbers: regions are labels 0, 1, 2 ...")
    return values.astype(np.int32)
