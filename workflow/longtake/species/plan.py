"""Which frames of a video were processed, by the plan of windows and what became of each."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from longtake.media.windows import Window
from longtake.status import Status

NOT_PROCESSED = frozenset({Status.FAILED, Status.MISSING})


@dataclass(frozen=True)
class Processed:
    """The processed grid of one video: its windows, their statuses, and the time that one step stands for.

    ``statuses`` maps the number of a window to ok, approximate, failed or missing; a window that is not
    named is ok. ``duration_s`` is how long the video lasts, None where only its windows are known. An object that is
    missed on up to ``visit_gap`` processed frames has not left.
    """

    video: str
    windows: tuple[Window, ...]
    frame_interval: int
    statuses: Mapping[int, str]
    duration_s: float | None = None
    visit_gap: int = 1
    speed_step_s: float = 1.0

    @property
    def lag(self) -> int:
        """Processed steps over which speed is measured: `speed_step_s`, or one step where that is longer."""
        return max(1, round(self.speed_step_s / self.step_s)) if self.step_s else 1

    @property
    def n_source_frames(self) -> int:
        """Frames of the source that the windows emit, processed or not."""
        return max((window.emit_stop for window in self.windows), default=0)

    @property
    def step_s(self) -> float:
        """Seconds between processed frames at the mean frame rate; where a gap hides the real time, this
        counts."""
        return self.frame_interval * self._source_step_s

    @property
    def end_s(self) -> float:
        """Seconds at which the video ends, which nothing in it outlasts; without ``duration_s``, one mean source
        step after its last frame."""
        if self.duration_s is not None:
            return self.duration_s
        return max((window.stop_s for window in self.windows), default=0.0) + self._source_step_s

    @property
    def _source_step_s(self) -> float:
        frames = sum(window.stop - 1 - window.start for window in self.windows)
        seconds = sum(window.stop_s - window.start_s for window in self.windows)
        return seconds / frames if frames else 0.0

    def frames(self) -> Iterator[range]:
        """Yield the grid frames of every window that did not fail."""
        for window in self.windows:
            if self.statuses.get(window.window, Status.OK) not in NOT_PROCESSED:
                yield window.frames(self.frame_interval)


def processed(
    video: str,
    windows: Sequence[Window],
    frame_interval: int,
    statuses: Mapping[int, str] | None = None,
    duration_s: float | None = None,
    **definitions: Any,
) -> Processed:
    """Bind the windows of `video` to their statuses."""
    mine = tuple(window for window in windows if window.video == video)
    return Processed(video, mine, frame_interval, dict(statuses or {}), duration_s, **definitions)
