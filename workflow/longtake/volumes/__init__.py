"""Volumes of any format, read slice by slice, with axes that the user declared; maps go back in the file's order."""

from longtake.volumes.axes import Axes
from longtake.volumes.probe import probe_volume
from longtake.volumes.reading import read_volume
from longtake.volumes.source import Source, open_volume

__all__ = ["Axes", "Source", "open_volume", "probe_volume", "read_volume"]
