"""Which axis of a file is which of the model's, by one letter each.

No format says reliably what its axes mean: a MATLAB array of 192 x 256 x 256 may be height x width x B-scans or the
other way round, and a wrong guess gives a map of something else. So both orders are declared, such as ``HWB`` for the
file and ``BHW`` for the model, and each letter names one axis. ``C`` stands for channels.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from longtake.errors import ConfigError

if TYPE_CHECKING:
    import numpy as np

CHANNELS = "C"


@dataclass(frozen=True)
class Axes:
    """The order of a file's axes and that of the model's.

    Attributes
    ----------
    file : a letter for each axis of the file's array
    model : a letter for each axis of what the model is given, three of them spatial; channels, if named, come first
    """

    file: str
    model: str

    @property
    def spatial(self) -> str:
        """The three spatial letters in the model's order."""
        return self.model.replace(CHANNELS, "")

    @property
    def file_spatial(self) -> str:
        """The three spatial letters in the file's order."""
        return self.file.replace(CHANNELS, "")

    def file_shape(self, model_shape: Sequence[int]) -> tuple[int, ...]:
        """The spatial shape in the file's order of what has `model_shape` (3,) in the model's."""
        return tuple(model_shape[self.spatial.index(letter)] for letter in self.file_spatial)

    def to_file(self, values: np.ndarray) -> np.ndarray:
        """A view of `values` (d0, d1, d2) in the model's order, in the file's order."""
        return values.transpose([self.spatial.index(letter) for letter in self.file_spatial])

    def from_file(self, values: np.ndarray) -> np.ndarray:
        """A view of spatial `values` (3 axes) in the file's order, in the model's order."""
        return values.transpose([self.file_spatial.index(letter) for letter in self.spatial])


def declared(file: str, model: str, setting: str = "attribution") -> Axes:
    """The declared axes, checked.

    Raises
    ------
    ConfigError
        One is missing, a letter stands twice or for no axis of the other, or there are not three spatial axes.
    """
    for name, letters in (("axes", file), ("model_axes", model)):
        if not letters:
            raise ConfigError(
                f"{setting}.{name} is empty: write a letter for each axis, such as HWB for height, width and B-scans; "
                "files do not say reliably what their axes are."
            )
        if not letters.isalpha() or not letters.isupper():
            raise ConfigError(f"{setting}.{name} is {letters!r}: use capital letters only, one for each axis.")
        twice = sorted({letter for letter in letters if letters.count(letter) > 1})
        if twice:
            raise ConfigError(f"{setting}.{name} is {letters!r}: {twice[0]} stands twice; each letter is one axis.")
        if len(letters.replace(CHANNELS, "")) != 3:
            raise ConfigError(f"{setting}.{name} is {letters!r}: three spatial axes are needed, {CHANNELS} aside.")
    if set(file) - {CHANNELS} != set(model) - {CHANNELS}:
        raise ConfigError(
            f"{setting}.axes is {file!r} and {setting}.model_axes is {model!r}: both must name the same three spatial "
            "axes, in the order of each."
        )
    if CHANNELS in model and model[0] != CHANNELS:
        raise ConfigError(f"{setting}.model_axes is {model!r}: channels come first, {CHANNELS}{model.replace('C', '')}")
    return Axes(file, model)
