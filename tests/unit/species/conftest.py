"""Small tables whose statistics can be worked out on paper."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from longtake import masks
from longtake.media.windows import read_windows
from longtake.store.schemas import CLIPS, CURVES, DETECTIONS
from longtake.store.tables import write_table

HEIGHT, WIDTH = 100, 200
Box = tuple[int, int, int, int]


def detection(
    frame: int, object_id: str, label: str, box: Box | None, *, fps: float = 10.0, **other: Any
) -> dict[str, Any]:
    """One row; the mask fills the box."""
    row: dict[str, Any] = {
        "video": "pond", "frame": frame, "time_s": frame / fps, "object": object_id, "label": label,
        "height": HEIGHT, "width": WIDTH, "score": 1.0, "visible": box is not None, "prompted": False,
        "window": 0, "status": "ok", "direction": "forward",
    }  # fmt: skip
    if box is not None:
        mask = np.zeros((HEIGHT, WIDTH), dtype=bool)
        mask[box[1] : box[3], box[0] : box[2]] = True
        row |= dict(zip(("x_min", "y_min", "x_max", "y_max"), map(float, box), strict=True))
        row["mask"] = masks.encode(mask)
    return row | other


def plan_file(path: Path, windows: Sequence[tuple[str, int, int, int, int, int]], fps: float = 10.0) -> Path:
    """Write a plan of (video, window, start, stop, emit_start, emit_stop)."""
    names = ["video", "window", "start", "stop", "emit_start", "emit_stop", "start_s", "stop_s", "n_frames"]
    lines = ["\t".join(names)]
    for video, window, start, stop, emit_start, emit_stop in windows:
        cells = [
            video,
            window,
            start,
            stop,
            emit_start,
            emit_stop,
            start / fps,
            (stop - 1) / fps,
            stop - start,
        ]
        lines.append("\t".join(map(str, cells)))
    path.write_text("\n".join(lines) + "\n")
    return path


@pytest.fixture
def pond(tmp_path: Path) -> dict[str, Path]:
    """A video of 100 frames at 10 per second, every 10th processed, two windows of 50.

    Carp a is prompted at frame 0, moves 30 px right and 40 px down (50 px) per step, hides at 30 and 40, is
    back from 50 to 90. Carp b is prompted at 20, stands still, is gone from 50 on. Perch p is seen at 40
    only.
    """
    rows = []
    for step, frame in enumerate(range(0, 100, 10)):
        x, y = 10 + 3 * step, 10 + 4 * step
        hidden = frame in (30, 40)
        rows.append(detection(frame, "a", "carp", None if hidden else (x, y, x + 6, y + 8), prompted=frame == 0))
        if frame >= 20:
            rows.append(detection(frame, "b", "carp", (50, 50, 70, 65) if frame < 50 else None, prompted=frame == 20))
        if frame >= 40:
            rows.append(detection(frame, "p", "perch", (0, 0, 3, 4) if frame == 40 else None))
    for row in rows:
        row["window"] = row["frame"] // 50
    detections = tmp_path / "detections.parquet"
    write_table(detections, rows, DETECTIONS)
    windows = plan_file(tmp_path / "windows.tsv", [("pond", 0, 0, 60, 0, 50), ("pond", 1, 50, 100, 50, 100)])
    return {"detections": detections, "windows": read_windows(windows)["pond"], "out": tmp_path / "statistics" / "pond"}


@pytest.fixture
def write_clips(tmp_path: Path) -> Callable[..., dict[str, Path]]:
    """Write CLIPS and CURVES of one video from (label, status, pearson, spearman, curve) per clip."""

    def write(
        video: str, clips: Sequence[tuple[str, str, float | None, float | None, Sequence[float]]]
    ) -> dict[str, Path]:
        clip_rows, curve_rows = [], []
        for number, (label, status, pearson, spearman, curve) in enumerate(clips):
            key = {"video": video, "window": 0, "object": f"o{number}", "label": label, "clip": number}
            clip_rows.append(
                key
                | {"status": status, "pearson": pearson, "spearman": spearman, "correct": status == "ok"}
                | {"motion": "region"}
            )
            for offset, value in enumerate(curve):
                motion = None if offset == 0 else 2.0 * offset
                others = dict.fromkeys(("l2_norm", "max_pool", "weighted_magnitude"), 0.0)
                curve_rows.append(
                    key
                    | others
                    | {"offset": offset, "frame": offset, "time_s": offset / 10, "magnitude": value}
                    | {"motion_frame": motion, "motion_region": motion}
                )
        paths = {"clips": tmp_path / f"{video}.clips.parquet", "curves": tmp_path / f"{video}.curves.parquet"}
        write_table(paths["clips"], clip_rows, CLIPS)
        write_table(paths["curves"], curve_rows, CURVES)
        return paths

    return write
