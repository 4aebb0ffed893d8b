"""A video's detections, one processed frame at a time."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import accumulate, chain
from pathlib import Path
from typing import overload

from longtake.errors import SchemaError
from longtake.kinds import Row
from longtake.media.windows import Window
from longtake.store.schemas import DETECTIONS
from longtake.store.tables import scan_batches

BATCH_ROWS = 4096


@dataclass(frozen=True)
class Annotated:
    """One video of an export: its id, file, index, detections and planned windows."""

    video: str
    video_path: Path
    index_path: Path
    detections: Path
    windows: Sequence[Window]


class Frames(Sequence[int]):
    """Frames that the windows of a video process, ascending: a sequence that holds two numbers a window."""

    def __init__(self, windows: Sequence[Window], frame_interval: int) -> None:
        self._parts = [part for window in windows if (part := window.frames(frame_interval))]
        self._starts = [0, *accumulate(len(part) for part in self._parts)]
        self._firsts = [part.start for part in self._parts]

    def __len__(self) -> int:
        return self._starts[-1]

    @overload
    def __getitem__(self, place: int) -> int: ...
    @overload
    def __getitem__(self, place: slice) -> list[int]: ...
    def __getitem__(self, place: int | slice) -> int | list[int]:
        if isinstance(place, slice):
            return [self[at] for at in range(*place.indices(len(self)))]
        if not -len(self) <= place < len(self):
            raise IndexError(place)
        place %= len(self)
        part = bisect_right(self._starts, place) - 1
        return self._parts[part][place - self._starts[part]]

    def __iter__(self) -> Iterator[int]:
        return chain.from_iterable(self._parts)

    def place(self, frame: int) -> int:
        """Return the place of a frame; `KeyError` for one that no window processes."""
        part = bisect_right(self._firsts, frame) - 1
        if part < 0 or frame not in self._parts[part]:
            raise KeyError(frame)
        return self._starts[part] + self._parts[part].index(frame)


def processed_frames(windows: Sequence[Window], frame_interval: int) -> Frames:
    """Frames that the windows of a video process, ascending."""
    return Frames(windows, frame_interval)


def by_frame(detections: Path) -> Iterator[tuple[int, list[Row]]]:
    """Yield (frame, rows of that frame), frames ascending; holds one batch of rows and one frame.

    Raises
    ------
    SchemaError
        If the rows are not in the order of their frames.
    """
    frame = -1
    rows: list[Row] = []
    for batch in scan_batches(detections, DETECTIONS, BATCH_ROWS):
        for row in batch.to_pylist():
            if row["frame"] < frame:
                raise SchemaError(f"{detections}: frame {row['frame']} follows frame {frame}; merge the windows anew.")
            if row["frame"] > frame:
                if rows:
                    yield frame, rows
                frame, rows = row["frame"], []
            rows.append(row)
    if rows:
        yield frame, rows


def rows_at(detections: Path, frames: Iterator[int], *, hold: int = 0) -> Iterator[tuple[int, list[Row]]]:
    """Yield (frame, rows) for each of the ascending `frames`.

    A frame without rows gets those of the last frame that has some, if it lies at most `hold` frames back.
    """
    groups = by_frame(detections)
    upcoming = next(groups, None)
    known: tuple[int, list[Row]] | None = None
    for frame in frames:
        while upcoming is not None and upcoming[0] <= frame:
            known, upcoming = upcoming, next(groups, None)
        fresh = known is not None and frame - known[0] <= hold
        yield frame, known[1] if known is not None and fresh else []


class WindowOf:
    """Which window emits a frame."""

    def __init__(self, windows: Sequence[Window]) -> None:
        self._windows = sorted(windows, key=lambda window: window.emit_start)
        self._starts = [window.emit_start for window in self._windows]

    def __call__(self, frame: int) -> int | None:
        """Return the number of the window that emits `frame`; None outside the plan."""
        at = bisect_right(self._starts, frame) - 1
        if at < 0 or frame >= self._windows[at].emit_stop:
            return None
        return self._windows[at].window
