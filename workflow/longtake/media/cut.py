"""The steps before any heavy work: facts about each video, then one table of all windows."""

from __future__ import annotations

import json
import logging
from collections.abc import Callable, Iterable, Sequence
from dataclasses import asdict, fields
from itertools import pairwise
from pathlib import Path
from typing import Any

from longtake.errors import ConfigError, UnreadableVideo
from longtake.media.index import PICTURE_RATE, index_video
from longtake.media.index_file import load_times, save_index
from longtake.media.probe import probe_video
from longtake.media.windows import Window, grid, plan_windows
from longtake.store.atomic import write_json, write_text, write_tsv

log = logging.getLogger(__name__)
VIDEO_COLUMNS = "video status reason windows frames duration_s fps variable_rate width height codec path".split()


def probe(
    video: str,
    path: str,
    summary: str | Path,
    index: str | Path,
    progress: Callable[[int, int], None] | None = None,
    *,
    picture_rate: float = PICTURE_RATE,
) -> dict[str, Any]:
    """Write the facts of a video to `summary` (JSON) and its frame index to `index` (Parquet).

    A folder of pictures is a video of `picture_rate` frames a second.

    A video that cannot be read is a fact too: its summary says ``unreadable`` and why, its index is an empty file,
    and the other videos go on without it.
    """
    try:
        found = index_video(path, progress, picture_rate=picture_rate)
        save_index(found, index)
        facts = probe_video(path, found)
    except (UnreadableVideo, OSError) as error:
        log.warning("video %s is left out: %s", video, error)
        write_text(index, "")
        facts = {"path": path, "status": "unreadable", "reason": str(error)}
    write_json(summary, {"video": video, **facts})
    return facts


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
        facts = json.loads(Path(summary).read_text(encoding="utf-8"))
        cut: list[Window] = []
        if facts["status"] == "ok":
            pts, time_base = load_times(index, facts["path"])
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
    rows = [{**asdict(window), "n_frames": len(window.frames(frame_interval))} for window in windows]
    write_tsv(windows_out, [*(field.name for field in fields(Window)), "n_frames"], rows)
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
