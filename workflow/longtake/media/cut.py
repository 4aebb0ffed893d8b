"""The steps before any heavy work: facts about each video, then one table of all windows."""

from __future__ import annotations

import json
import logging
from collections.abc import Callable, Iterable, Sequence
from contextlib import suppress
from fractions import Fraction
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np

from longtake.errors import ConfigError, MediaError, UnreadableVideo
from longtake.media.index import PICTURE_RATE, index_video
from longtake.media.index_file import load_times, save_index
from longtake.media.probe import probe_video
from longtake.media.windows import Window, grid, plan_windows
from longtake.sources import content_digest, source_bytes, stamp
from longtake.store.atomic import write_json, write_text, write_tsv
from longtake.store.tsv import cells_of, columns_of

log = logging.getLogger(__name__)
VIDEO_COLUMNS = (
    "video status reason windows frames duration_s fps variable_rate width height codec path pixel_aspect rotation "
    "stream video_streams repeated_timestamps sound_offset_s digest"
).split()


def probe(
    video: str,
    path: str,
    summary: str | Path,
    index: str | Path,
    progress: Callable[[int, int], None] | None = None,
    *,
    picture_rate: float = PICTURE_RATE,
    stream: int | None = None,
) -> dict[str, Any]:
    """Write the facts of a video to `summary` (JSON) and its frame index to `index` (Parquet).

    A folder of pictures is a video of `picture_rate` frames a second. Of a file with several video streams the one
    numbered `stream` is taken, by default the main one.

    A video that cannot be read is a fact too: its summary says ``unreadable`` and why, its index is an empty file,
    and the other videos go on without it.
    """
    seen = stamp(path)
    try:
        found = index_video(path, progress, picture_rate=picture_rate, stream=stream)
        save_index(found, index)
        facts = probe_video(path, found)
    except Exception as error:  # a file that nobody foresaw must not end the plan of all others either
        foreseen = isinstance(error, UnreadableVideo | OSError)
        reason = str(error) if foreseen else f"{path}: probing it failed ({type(error).__name__}: {error})."
        log.warning("video %s is left out: %s", video, reason, exc_info=not foreseen)
        write_text(index, "")
        facts = {"path": path, "status": "unreadable", "reason": reason, "stamp": seen}
        # What is to be known of it, too, to tell a file that was mended from one that was only moved.
        with suppress(OSError):
            facts |= {"content": content_digest(path), "source_bytes": source_bytes(path)}
    facts = {"video": video, **facts, "asked": {"picture_rate": picture_rate, "stream": stream}}
    write_json(summary, facts)
    return facts


def _current(summary: Path, index: Path) -> tuple[dict[str, Any], np.ndarray, Fraction]:
    """The facts of a video, its times and how many seconds a tick lasts; no times where it cannot be read.

    A video that has changed since it was probed, or whose index is damaged, is probed again here and now: it must not
    end the plan of all others, nor be cut by what is no longer true.
    """
    none = np.empty(0, dtype=np.int64), Fraction(1)
    try:
        facts: dict[str, Any] = json.loads(summary.read_text(encoding="utf-8"))
        video, asked = facts["video"], facts.get("asked", {})
    except (ValueError, KeyError) as error:
        reason = (
            f"{summary}: what its probe found is damaged ({error!r}). Run the same command again, which probes it anew."
        )
        log.warning("%s", reason)
        return {"video": summary.stem, "path": "", "status": "unreadable", "reason": reason}, *none
    for _ in range(2):
        if facts["status"] != "ok":
            break
        try:
            return facts, *load_times(index, facts["path"])
        except MediaError as error:
            log.warning("video %s is probed again: %s", video, error)
            facts = probe(video, facts["path"], summary, index, **asked)
    else:
        facts = {**facts, "status": "unreadable", "reason": f"{facts['path']}: it changes while it is read."}
    return facts, *none


def plan(
    summaries: Iterable[str | Path],
    indexes: Iterable[str | Path],
    *,
    duration: float,
    overlap: float,
    frame_interval: int,
    windows_out: str | Path,
    videos_out: str | Path,
    independent: bool = False,
) -> int:
    """Write the table of all windows of all readable videos, and the table of videos; return the window count.

    Parameters
    ----------
    summaries, indexes
        What `probe` wrote, one of each per video, in the same order.
    duration, overlap
        Seconds.
    independent
        Whether windows are annotated independently, and so must share processed frames to be joined.

    Raises
    ------
    ConfigError
        Windows cannot advance, or are independent and share no processed frame.
    """
    windows: list[Window] = []
    videos: list[dict[str, Any]] = []
    for summary, index in zip(summaries, indexes, strict=True):
        facts, pts, time_base = _current(Path(summary), Path(index))
        cut: list[Window] = []
        if facts["status"] == "ok":
            cut = plan_windows(
                facts["video"],
                pts.tolist(),
                time_base,
                duration=duration,
                overlap=overlap,
                frame_interval=frame_interval,
            )
            if independent:
                _check_shared(cut, overlap, frame_interval)
        windows += cut
        videos.append({**facts, "windows": len(cut)})
    rows = [{**cells_of(window), "n_frames": len(window.frames(frame_interval))} for window in windows]
    write_tsv(windows_out, [*columns_of(Window), "n_frames"], rows)
    write_tsv(videos_out, VIDEO_COLUMNS, videos)
    left_out = [video["video"] for video in videos if video["status"] != "ok"]
    log.info("%d windows of %d videos; left out: %s", len(windows), len(videos), ", ".join(left_out) or "none")
    return len(windows)


def _check_shared(windows: Sequence[Window], overlap: float, frame_interval: int) -> None:
    for one, two in pairwise(windows):
        if not grid(two.start, one.stop, frame_interval):
            shared = max(0, one.stop - two.start)
            raise ConfigError(
                f"windows {one.window} and {two.window} of video {one.video!r} share {shared} frames (window_overlap "
                f"{overlap:g} s), of which none is processed (frame_interval {frame_interval}); with "
                "annotate.continuity 'overlap' they cannot be joined. Make window_overlap longer."
            )
