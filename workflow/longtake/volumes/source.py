"""Opening a file of volumes: what is in it, and its planes one at a time.

A `Source` gives planes along the axis in which the file lies, whatever the model wants: reading a file crosswise would
read it once for every slice. Only npz and MATLAB files up to version 7.2 must be unpacked whole.

Files come from strangers: no pickle is loaded, and what is text, complex or of mixed sizes is refused with its reason.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from longtake.errors import UnreadableVolume


@dataclass(frozen=True)
class Source:
    """An open volume.

    Attributes
    ----------
    path : the file or folder
    kind : the format's name
    shape : of the array, in the file's order
    dtype : of its numbers as `plane` gives them
    along : the axis along which the file lies, that of `plane`
    plane : index along that axis -> the array without that axis
    affine : (4, 4) float64, voxel indices in the file's order -> millimetres; None where the format has none
    spacing : of the three spatial axes in the file's order, in the format's unit; None where it is not known
    variable : name of the array, in formats that hold several
    """

    path: Path
    kind: str
    shape: tuple[int, ...]
    dtype: np.dtype
    along: int
    plane: Callable[[int], np.ndarray] = field(repr=False)
    affine: np.ndarray | None = None
    spacing: tuple[float, ...] | None = None
    variable: str = ""

    def planes(self) -> Iterator[tuple[int, np.ndarray]]:
        """Every plane with its index; memory holds one."""
        for index in range(self.shape[self.along]):
            yield index, self.plane(index)


@contextmanager
def open_volume(path: str | Path, *, variable: str = "", axes: str = "") -> Iterator[Source]:
    """Open `path` as what its name says.

    Parameters
    ----------
    variable : which array of a file that holds several
    axes : the declared letters of the file's axes; their number is compared with the array's

    Raises
    ------
    UnreadableVolume
        The file is missing, empty, damaged or no volume of numbers; the message says what to do.
    """
    with open_plain(path, variable) as source:
        _check(source, axes)
        yield source


@contextmanager
def open_plain(path: str | Path, variable: str = "") -> Iterator[Source]:
    """The same, whatever kind of array it is: masks are truth values, too."""
    from longtake.volumes.formats import opener

    place = Path(path)
    if not place.exists():
        raise UnreadableVolume(f"{place} does not exist: correct the sheet of volumes.")
    if place.is_file() and place.stat().st_size == 0:
        raise UnreadableVolume(f"{place} is empty: copy it again.")
    with opener(place)(place, variable) as source:
        yield source


def _check(source: Source, axes: str) -> None:
    dtype, shape, where = source.dtype, source.shape, f"{source.path}{_of(source.variable)}"
    if dtype.kind == "c":
        raise UnreadableVolume(f"{where} holds complex numbers: save magnitude or phase, whichever the model takes.")
    if dtype.kind == "b":
        raise UnreadableVolume(f"{where} holds truth values (bool), not intensities: name the volume, not its mask.")
    if dtype.kind not in "iuf":
        raise UnreadableVolume(f"{where} holds {dtype}, not numbers: save it as integers or floats.")
    if len(shape) < 3:
        raise UnreadableVolume(f"{where} has the shape {shape}: that is a picture, and a volume has three axes.")
    if axes and len(axes) != len(shape):
        raise UnreadableVolume(
            f"{where} has {len(shape)} axes, {shape}, but attribution.axes is {axes!r}, {len(axes)} letters. Write one "
            "letter for each axis, or save one volume a file."
        )
    if min(shape) == 0:
        raise UnreadableVolume(f"{where} has the shape {shape}: it holds no slices.")


def _of(variable: str) -> str:
    return f", {variable!r}," if variable else ""
