"""A video of discs that circle over a striped ground, for benchmarks that follow objects."""

from __future__ import annotations

from fractions import Fraction
from pathlib import Path

# Where the discs begin: centre x, y and radius, in pixels.
DISCS = [(90, 70, 30), (220, 150, 24), (360, 90, 36), (430, 210, 28)]


def make_video(folder: Path, frames: int, width: int, height: int) -> None:
    """Write ``video.mp4`` of 20 frames a second, which never repeats exactly, and ``index.parquet``."""
    # A benchmark of memory starts with as little as it can.
    import numpy as np

    from longtake.media.index import index_video
    from longtake.media.index_file import save_index
    from longtake.media.writer import write_video

    folder.mkdir(exist_ok=True)
    y, x = np.mgrid[:height, :width].astype(np.float32)
    ground = np.stack([90 + 40 * np.sin(x / 17 + y / 31), 110 + 30 * np.cos(y / 11), 120 + 0 * x], axis=-1)

    def draw(number: int) -> np.ndarray:
        image = ground + 8 * np.sin(number / 7)
        for place, (centre_x, centre_y, radius) in enumerate(DISCS):
            at_x = centre_x + 20 * np.sin(number / (9 + place))
            at_y = centre_y + 20 * np.cos(number / (11 + 2 * place))
            image[(x - at_x) ** 2 + (y - at_y) ** 2 < radius**2] = (230 - 40 * place, 60 + 50 * place, 90)
        return np.clip(image, 0, 255).astype(np.uint8)

    drawn = ((number, draw(number)) for number in range(frames))
    write_video(folder / "video.mp4", drawn, time_base=Fraction(1, 20), width=width, height=height)
    save_index(index_video(folder / "video.mp4"), folder / "index.parquet")
