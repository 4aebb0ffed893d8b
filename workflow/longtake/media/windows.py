"""Window arithmetic in whole frames and exact ratios: every frame belongs to one window.

A window *covers* the frames [start, stop), which overlap with its neighbours', and *emits* the frames
[emit_start, emit_stop), which do not: over all windows of a video the emitted ranges are the whole video.
The grid of processed frames, every `frame_interval`-th frame, runs over the whole video and not over each
window, so neighbouring windows process the same frames where they overlap.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Container, Iterator, Mapping, Sequence
from dataclasses import dataclass
from fractions import Fraction
from functools import cached_property
from math import ceil
from pathlib import Path

from longtake.cells import read_cells
from longtake.errors import ConfigError, SheetError, nearest
from longtake.status import Status
from longtake.store.tsv import read_records
from longtake.unit import Unit


@dataclass(frozen=True)
class Window:
    """One unit of work on a video; frames are presentation indices, maxima exclusive, times in seconds."""

    video: str
    window: int
    start: int
    stop: int
    emit_start: int
    emit_stop: int
    start_s: float
    stop_s: float

    def frames(self, frame_interval: int) -> range:
        """Return the grid frames that this window emits."""
        return grid(self.emit_start, self.emit_stop, frame_interval)

    def covered(self, frame_interval: int) -> range:
        """Return the grid frames that this window covers, those shared with its neighbours included."""
        return grid(self.start, self.stop, frame_interval)


def grid(start: int, stop: int, frame_interval: int) -> range:
    """Return the multiples of `frame_interval` in [start, stop)."""
    return range(-(-start // frame_interval) * frame_interval, stop, frame_interval)


def plan_windows(
    video: str,
    pts: Sequence[int],
    time_base: Fraction,
    *,
    duration: float,
    overlap: float,
    frame_interval: int,
) -> list[Window]:
    """Cut a video into windows of `duration` seconds that share `overlap` seconds with the next.

    Parameters
    ----------
    pts
        Presentation timestamps of all frames, ascending, in units of `time_base` seconds.
    duration, overlap
        Seconds; ``0 <= overlap < duration``.
    frame_interval
        Every `frame_interval`-th frame is processed.

    Returns
    -------
    list of Window
        Ascending, numbered from 0. A window starts where the last began plus ``duration - overlap``; a rest
        that the last window's overlap already covers makes no window of its own. A window in which no frame
        would be processed (a gap in the recording) is left out, and its frames go to the one before. There are never
        more windows than frames, nor more work, however small a step is.
    """
    if not 0 <= overlap < duration:
        raise ConfigError(
            f"window_overlap is {overlap} s and window_duration {duration} s: the overlap must be at least 0 "
            "and smaller than the window, or no window would ever advance."
        )
    if not pts:
        return []
    first, end = pts[0], pts[-1] + 1
    step = (Fraction(str(duration)) - Fraction(str(overlap))) / time_base
    length = Fraction(str(duration)) / time_base
    starts: list[tuple[int, int]] = []
    begin = Fraction(first)
    while True:
        start = bisect_left(pts, begin)
        if start < len(pts):
            # Of windows that start with one frame the last emits all: those before it, up to the end, are not made.
            rest = ceil((end - length - begin) / step)
            begin += step * max(0, min((pts[start] - begin) // step, rest))
        starts.append((start, bisect_left(pts, begin + length)))
        if start == len(pts) or begin + length >= end:
            break
        begin += step
    return _emit(video, pts, time_base, starts, frame_interval)


def _emit(
    video: str, pts: Sequence[int], time_base: Fraction, covers: list[tuple[int, int]], frame_interval: int
) -> list[Window]:
    bounds = [start for start, _ in covers] + [len(pts)]
    kept: list[tuple[int, int, int, int]] = []
    for (start, stop), emit_stop in zip(covers, bounds[1:], strict=True):
        if not grid(start, emit_stop, frame_interval) and kept:
            before = kept.pop()
            kept.append((before[0], max(before[1], emit_stop), before[2], emit_stop))
        else:
            kept.append((start, stop, start, emit_stop))

    def seconds(frame: int) -> float:
        return float((pts[frame] - pts[0]) * time_base)

    return [
        Window(video, number, start, stop, emit_start, emit_stop, seconds(start), seconds(stop - 1))
        for number, (start, stop, emit_start, emit_stop) in enumerate(kept)
    ]


def read_windows(path: str | Path) -> dict[str, list[Window]]:
    """Read the plan's table of windows; the windows of each video in order.

    Uses the standard library only, since the Snakefile reads it in every job.
    """
    found: dict[str, list[Window]] = {}
    for window in read_records(path, Window):
        found.setdefault(window.video, []).append(window)
    return found


def scan_units(
    plan: str | Path, rule: str, videos: Container[str], frame_interval: int, loads: Mapping[str, Mapping[str, int]]
) -> Iterator[Unit]:
    """Yield the windows of `videos` as units of a rule, in the order of the plan's table; of each its `detail` is the
    window.

    Memory: one row of the table. `loads` are those of videos that have one.
    """
    for window in read_records(plan, Window) if Path(plan).is_file() else ():
        if window.video in videos:
            yield Unit(
                rule,
                {"video": window.video, "window": f"{window.window:04d}"},
                window.video,
                len(window.frames(frame_interval)),
                loads.get(window.video, {}),
                where=f"{window.start_s:.4g} to {window.stop_s:.4g} s",
                detail=window,
            )


def scan_videos(videos: str | Path) -> Iterator[dict[str, str]]:
    """Yield the rows of the plan's table of videos; none where there is no table."""
    path = Path(videos)
    if path.is_file():
        with path.open(encoding="utf-8", newline="") as file:
            yield from read_cells(file)


def scan_left_out(videos: str | Path) -> Iterator[tuple[Unit, str]]:
    """Yield the jobs that looked at the videos of the plan's table that cannot be read, and why these cannot."""
    for row in scan_videos(videos):
        if row["status"] != Status.OK:
            yield Unit("probe_video", {"video": row["video"]}, row["video"], 0), row["reason"]


class Windows(dict[str, list[Window]]):
    """The windows of each readable video; who asks for another video or window is told why there is none."""

    def __init__(self, found: Mapping[str, list[Window]], videos: str | Path) -> None:
        super().__init__(found)
        self._videos = videos

    def __missing__(self, video: str) -> list[Window]:
        for row in self._left_out():
            if row["video"] == video:
                raise SheetError(f"video {video!r} was left out, since it cannot be read: {row['reason']}")
        raise SheetError(f"there is no video {video!r} in the plan ({self._videos}).{nearest(video, self)}")

    def window(self, video: str, number: int) -> Window:
        """Return one window of a video."""
        windows = self[video]
        if not 0 <= number < len(windows):
            raise SheetError(
                f"video {video!r} has no window {number:04d}: it is cut into {len(windows)}, 0000 to "
                f"{len(windows) - 1:04d}; window_duration says how long they are."
            )
        return windows[number]

    @cached_property
    def durations(self) -> dict[str, float]:
        """How long each readable video lasts, in seconds, as the table of videos says."""
        return {row["video"]: float(row["duration_s"]) for row in self._rows() if row["status"] == "ok"}

    @cached_property
    def sources(self) -> dict[str, str]:
        """What each readable video is known by: a digest of its bytes, its stream and its clock."""
        return {row["video"]: row["digest"][:16] for row in self._rows() if row["status"] == "ok"}

    def none_readable(self) -> str:
        """Say that no video is left, and why the first one is not."""
        reasons = [f"{row['video']}: {row['reason']}" for row in self._left_out()]
        return (
            f"No video of the sheet can be read, and nothing is made. {self._videos} says why of each of "
            f"{len(reasons)}; the first: {reasons[0] if reasons else 'none'}"
        )

    def _left_out(self) -> Iterator[dict[str, str]]:
        return (row for row in self._rows() if row["status"] != "ok")

    def _rows(self) -> Iterator[dict[str, str]]:
        with Path(self._videos).open(encoding="utf-8", newline="") as file:
            yield from read_cells(file)
