"""A window job on a made-up video, to see what such jobs take of this machine: memory, and seconds a frame."""

from __future__ import annotations

import os
import statistics
import tempfile
import time
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np

from longtake.annotate.cases import FRAMES, SCALE, SIZE, Trial
from longtake.annotate.sheet import Prompt
from longtake.annotate.window import annotate_window
from longtake.media.index import index_video
from longtake.media.index_file import save_index
from longtake.media.windows import Window
from longtake.media.writer import write_video
from longtake.planning.calibrate import measure

_RATE = 10


def run(model_dir: str | os.PathLike[str], objects: int, *, threads: int = 1, frames: int = FRAMES) -> Trial:
    """Follow `objects`, all at a time, through `frames` frames of `SIZE` (width, height), in a process of its own.

    Memory: that of such a job, in another process, and of one frame of the video.
    """
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        _write(folder / "video.mp4", frames)
        save_index(index_video(folder / "video.mp4"), folder / "index.parquet")
        arguments = {
            "video_path": folder / "video.mp4",
            "index_path": folder / "index.parquet",
            "window": Window("trial", 0, 0, frames, 0, frames, 0.0, frames / _RATE),
            "prompts": prompts(objects),
            "model_dir": model_dir,
            "scale": SCALE,
            "frame_interval": 1,
            "state_in": None,
            "detections_out": folder / "detections.parquet",
            "state_out": folder / "state.safetensors",
            "object_batch": objects,
        }
        found = measure(paced, arguments, threads=threads)
    return Trial(found.rss, found.result)


def paced(**arguments: Any) -> float:
    """Call `annotate_window` with `arguments`; the median seconds a frame of the second half of the frames."""
    moments: list[float] = []
    annotate_window(**arguments, progress=lambda *_: moments.append(time.monotonic()))
    steps = np.diff(moments)[len(moments) // 2 - 1 :]
    return statistics.median(steps) if len(steps) else 0.0


def prompts(objects: int) -> list[Prompt]:
    """Boxes on a square grid over the first frame."""
    side = int(np.ceil(objects**0.5))
    width, height = SIZE[0] / side, SIZE[1] / side
    return [
        Prompt(number + 2, "trial", f"object {number}", "object", 0, None, *box, None)
        for number in range(objects)
        for column, row in [(number % side, number // side)]
        for box in [((column + 0.2) * width, (row + 0.2) * height, (column + 0.8) * width, (row + 0.8) * height)]
    ]


def _write(path: Path, frames: int) -> None:
    """Write waves that wander."""
    width, height = SIZE
    y, x = np.ogrid[:height, :width]
    drawn = (
        (number, np.stack([(40 * np.sin((x + y * slant) / 17 + number) + 120) for slant in (0, 1, 2)], axis=-1))
        for number in range(frames)
    )
    pictures = ((number, picture.astype(np.uint8)) for number, picture in drawn)
    write_video(path, pictures, time_base=Fraction(1, _RATE), width=width, height=height)
