"""A short video with one moving square, its index, plan and detections."""

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from longtake import masks
from longtake.media.index import index_video
from longtake.media.index_file import save_index
from longtake.media.windows import Window
from longtake.media.writer import write_video
from longtake.store.schemas import DETECTIONS
from longtake.store.tables import write_table

WIDTH, HEIGHT, N, INTERVAL = 160, 96, 30, 5
# Ticks of 1/1000 s; every third frame comes late, so that counting frames would give wrong times.
PTS = [40 * frame + 13 * (frame % 3 == 2) for frame in range(N)]


@dataclass(frozen=True)
class Clip:
    """The files of one video, as the workflow lays them out."""

    video_path: Path
    index_path: Path
    detections: Path
    windows: list[Window]

    def arguments(self) -> dict[str, Any]:
        return dict(vars(self))


def square(frame: int) -> np.ndarray:
    mask = np.zeros((HEIGHT, WIDTH), dtype=bool)
    mask[60:80, 10 + 4 * frame : 30 + 4 * frame] = True
    return mask


def make_rows(video: str) -> list[dict[str, Any]]:
    """The square is seen on every processed frame but 15; a second object is never seen."""
    rows = []
    for frame in range(0, N, INTERVAL):
        key = {
            "video": video, "frame": frame, "time_s": PTS[frame] / 1000, "height": HEIGHT, "width": WIDTH,
            "score": 0.5, "prompted": frame == 0, "window": frame // 15, "status": "ok",
            "direction": "forward",
        }  # fmt: skip
        mask = square(frame)
        x_min, y_min, x_max, y_max = map(float, masks.box(mask) or ())
        seen = {
            "x_min": x_min, "y_min": y_min, "x_max": x_max, "y_max": y_max, "mask": masks.encode(mask),
        } if frame != 15 else {}  # fmt: skip
        rows.append({**key, "object": "s1", "label": "perch", "visible": frame != 15, **seen})
        rows.append({**key, "object": "s2", "label": "Äsche", "visible": False})
    return rows


@pytest.fixture
def make_clip(tmp_path: Path) -> Any:
    def make(video: str = "pond") -> Clip:
        path = tmp_path / f"{video}.mp4"
        grey = np.full((HEIGHT, WIDTH, 3), 90, dtype=np.uint8)
        frames = ((pts, grey) for pts in PTS)
        write_video(path, frames, time_base=Fraction(1, 1000), width=WIDTH, height=HEIGHT)
        index_path = tmp_path / f"{video}.index.parquet"
        save_index(index_video(path), index_path)
        detections = tmp_path / f"{video}.parquet"
        write_table(detections, make_rows(video), DETECTIONS)
        windows = [
            Window(video, 0, 0, 20, 0, 15, 0.0, PTS[19] / 1000),
            Window(video, 1, 15, N, 15, N, PTS[15] / 1000, PTS[-1] / 1000),
        ]
        return Clip(path, index_path, detections, windows)

    return make
