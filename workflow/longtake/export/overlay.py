"""The annotated video: masks, ids, time and window on the source's own frames, at their own times."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from longtake.export.drawing import Pixels, draw_caption, draw_objects
from longtake.export.rows import WindowOf, by_frame, processed_frames, rows_at
from longtake.figures.style import looks
from longtake.media.index import VideoIndex
from longtake.media.index_file import load_index
from longtake.media.reader import read_frames
from longtake.media.windows import Window
from longtake.media.writer import write_video

log = logging.getLogger(__name__)


def write_overlay(
    *,
    video_path: Path,
    index_path: Path,
    detections: Path,
    windows: Sequence[Window],
    frame_interval: int,
    species: Iterable[str],
    out: Path,
    width: int = 960,
    every_frame: bool = False,
    progress: Callable[[int, int], None] | None = None,
) -> dict[str, Any]:
    """Write an MP4 of the processed frames with everything that was found on them.

    Memory: one frame, its rows and a batch of the table; independent of the video's length.

    Parameters
    ----------
    windows
        The planned windows of the video, whose grid is drawn.
    species
        All species of the study: they fix the colours, so that all videos and figures share them.
    width
        Of the output in px; never larger than the source. The height follows.
    every_frame
        Draw all source frames, each with the masks of the last processed frame. By default only processed
        frames are written, at their own times.

    Returns
    -------
    dict
        JSON-able: frames written, frames that did not decode, width, height.

    Raises
    ------
    MediaError
        If no frame at all can be read.
    """
    index = load_index(index_path, video_path)
    last = max((window.emit_stop for window in windows), default=0)
    frames = list(range(last)) if every_frame else processed_frames(windows, frame_interval)
    size = scaled_size(index, width)
    missing: list[str] = []
    drawn = _drawn_frames(
        index, detections, frames, windows, species,
        size=size, hold=frame_interval - 1 if every_frame else 0, missing=missing,
    )  # fmt: skip
    first = int(index.pts[0])
    timed = ((int(index.pts[frame]) - first, pixels) for frame, pixels in _counted(drawn, len(frames), progress))
    end = _end(index, frames[-1], 1 if every_frame else frame_interval) - first if len(frames) else None
    written = write_video(out, timed, time_base=index.time_base, width=size[0], height=size[1], crf=23, end=end)
    if missing:
        log.warning("%s: %d frames are not in the overlay; %s", video_path, len(missing), missing[0])
    return {"frames": written, "frames_missing": len(missing), "width": size[0], "height": size[1]}


def _end(index: VideoIndex, frame: int, step: int) -> int:
    """Until when the last frame is shown, in ticks: a step of the grid, but no longer than the video lasts."""
    following = frame + step
    if following < index.n_frames:
        return int(index.pts[following])
    return int(index.pts[-1]) + max(1, round(index.median_step))


def scaled_size(index: VideoIndex, width: int) -> tuple[int, int]:
    """Output (width, height), both even, at most the source's size up to one pixel."""
    wide = min(width, index.width)
    tall = round(index.height * wide / index.width)
    return wide + wide % 2, tall + tall % 2


def _drawn_frames(
    index: VideoIndex,
    detections: Path,
    frames: Sequence[int],
    windows: Sequence[Window],
    species: Iterable[str],
    *,
    size: tuple[int, int],
    hold: int,
    missing: list[str],
) -> Iterator[tuple[int, Pixels]]:
    known = looks(species)
    window_of = WindowOf(windows)
    rows_by_frame = rows_at(detections, iter(frames), hold=hold)
    for frame in read_frames(index, frames, size=size, on_missing=lambda _, reason: missing.append(reason)):
        # Frames that do not decode have rows all the same, which are passed over here.
        rows = next(rows for number, rows in rows_by_frame if number == frame.frame)
        pixels = draw_objects(frame.pixels, rows, known)
        visible = sum(row["visible"] for row in rows)
        note = "decoding error nearby" if frame.tainted else ""
        window = window_of(frame.frame)
        captioned = draw_caption(pixels, frame.time_s, frame.frame, window=window, n_visible=visible, note=note)
        yield frame.frame, captioned


def _counted(
    drawn: Iterable[tuple[int, Pixels]], total: int, progress: Callable[[int, int], None] | None
) -> Iterator[tuple[int, Pixels]]:
    for done, item in enumerate(drawn, start=1):
        yield item
        if progress is not None:
            progress(done, total)


def overlay_stills(
    *,
    video_path: Path,
    index_path: Path,
    detections: Path,
    windows: Sequence[Window],
    species: Iterable[str],
    n: int = 4,
    width: int = 480,
) -> list[tuple[float, Pixels]]:
    """Draw a few frames of a video: of each of `n` equal parts, the frame with the most visible objects.

    Returns
    -------
    list of (time in s, (h, w, 3) uint8 RGB)
        Fewer than `n` where parts of the video show nothing; empty where nothing was found at all.
    """
    index = load_index(index_path, video_path)
    last = max((window.emit_stop for window in windows), default=0)
    best: dict[int, tuple[int, int]] = {}
    for frame, rows in by_frame(detections):
        part, visible = frame * n // max(last, 1), sum(row["visible"] for row in rows)
        if visible > best.get(part, (0, 0))[0]:
            best[part] = (visible, frame)
    frames = sorted(frame for _, frame in best.values())
    drawn = _drawn_frames(
        index, detections, frames, windows, species, size=scaled_size(index, width), hold=0, missing=[]
    )
    first = int(index.pts[0])
    return [(float((int(index.pts[frame]) - first) * index.time_base), np.asarray(pixels)) for frame, pixels in drawn]
