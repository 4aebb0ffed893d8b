"""What a window's table says of itself, in the key-value metadata of its Parquet file."""

from __future__ import annotations

from dataclasses import dataclass, fields
from typing import Any

from longtake.errors import SchemaError
from longtake.kinds import Location
from longtake.store.tables import read_metadata

_PREFIX = "longtake."
# In these the windows of one run agree.
SAME = "video", "continuity", "frame_interval", "grid_frames", "model", "source"


@dataclass(frozen=True)
class WindowFacts:
    """A window of detections. Frames are counted on the grid: only the processed ones, from 0.

    `grid_start` up to `grid_stop` were processed, and `emit_start` up to `emit_stop` are the window's own;
    `grid_frames` is how many the whole video has. `model` and `source` are digests of the model's folder and of the
    video file.
    """

    video: str
    window: int
    continuity: str
    direction: str
    frame_interval: int
    grid_start: int
    grid_stop: int
    emit_start: int
    emit_stop: int
    grid_frames: int
    model: str
    source: str

    @property
    def processed(self) -> range:
        """The grid frames that the window processed."""
        return range(self.grid_start, self.grid_stop)

    @property
    def emitted(self) -> range:
        """The grid frames that are the window's own."""
        return range(self.emit_start, self.emit_stop)

    @property
    def first_frame(self) -> int:
        """The number in the video of the first frame that was processed."""
        return self.grid_start * self.frame_interval

    def to_metadata(self) -> dict[str, str]:
        """Return the key-value pairs of the Parquet file."""
        return {f"{_PREFIX}{each.name}": str(getattr(self, each.name)) for each in fields(self)}

    def shared(self) -> dict[str, str]:
        """Return the pairs that hold for all windows of the run, and so for the table that joins them."""
        return {key: value for key, value in self.to_metadata().items() if key.removeprefix(_PREFIX) in SAME}

    @classmethod
    def from_parquet(cls, path: Location) -> WindowFacts:
        """Read them from the table at `path`.

        Raises
        ------
        SchemaError
            Something is missing or no number: no window of this version of longtake.
        OSError, pyarrow.ArrowInvalid
            There is no such file, or it is no Parquet file.
        """
        told = read_metadata(path)
        given: dict[str, Any] = {}
        for each in fields(cls):
            text = told.get(_PREFIX + each.name)
            if text is None or (each.type == "int" and not text.isdecimal()):
                raise SchemaError(
                    f"{path}: {each.name} is {text!r} in its metadata, so it is no window of detections that this "
                    "version wrote; delete it and rerun the window."
                )
            given[each.name] = int(text) if each.type == "int" else text
        return cls(**given)
