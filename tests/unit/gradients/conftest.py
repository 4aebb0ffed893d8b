"""A small video with two animals whose places are known, its index and its detections."""

from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path

import cv2
import numpy as np
import pytest

from longtake import masks
from longtake.media.index import index_video
from longtake.media.index_file import save_index
from longtake.media.windows import Window
from longtake.media.writer import write_video
from longtake.store.schemas import DETECTIONS
from longtake.store.tables import write_table

N_FRAMES, HEIGHT, WIDTH = 60, 96, 160


@dataclass(frozen=True)
class Pond:
    """Paths of the video and what belongs to it; every frame is processed in `detections`, each 5th in `sparse`."""

    video: Path
    index: Path
    detections: Path
    sparse: Path
    window: Window


def box_of(name, frame):
    """eel-1 swims to the right by 1 px a frame; cod-2 rests and is hidden on frames 20..39."""
    if name == "eel-1":
        return 10 + frame, 30, 34 + frame, 50
    return None if 20 <= frame < 40 else (110, 60, 130, 80)


def rendered(frame, texture, animal):
    picture = texture.copy()
    for name in ("eel-1", "cod-2"):
        found = box_of(name, frame)
        if found is not None:
            x_min, y_min, x_max, y_max = found
            picture[y_min:y_max, x_min:x_max] = animal[: y_max - y_min, : x_max - x_min]
    return picture


def rows_of(every):
    for frame in range(0, N_FRAMES, every):
        for name in ("eel-1", "cod-2"):
            box = box_of(name, frame)
            row = {"video": "pond", "frame": frame, "time_s": frame / 20, "object": name, "label": name[:3]}
            row |= {"height": HEIGHT, "width": WIDTH, "score": 1.0, "visible": box is not None}
            row |= {"prompted": frame == 0, "window": 0, "status": "ok", "direction": "forward"}
            if box is not None:
                mask = np.zeros((HEIGHT, WIDTH), bool)
                mask[box[1] : box[3], box[0] : box[2]] = True
                row |= dict(zip(("x_min", "y_min", "x_max", "y_max"), map(float, box), strict=True))
                row["mask"] = masks.encode(mask)
            yield row


@pytest.fixture(scope="session")
def pond(tmp_path_factory):
    folder = tmp_path_factory.mktemp("pond")
    rng = np.random.default_rng(8)
    texture = cv2.GaussianBlur(rng.integers(0, 255, (HEIGHT, WIDTH, 3), dtype=np.uint8), (0, 0), 2)
    animal = rng.integers(0, 255, (40, 40, 3), dtype=np.uint8)
    frames = ((t, rendered(t, texture, animal)) for t in range(N_FRAMES))
    write_video(folder / "pond.mp4", frames, time_base=Fraction(1, 20), width=WIDTH, height=HEIGHT)
    save_index(index_video(folder / "pond.mp4"), folder / "pond.parquet")
    write_table(folder / "detections.parquet", list(rows_of(1)), DETECTIONS)
    write_table(folder / "sparse.parquet", list(rows_of(5)), DETECTIONS)
    return Pond(
        folder / "pond.mp4",
        folder / "pond.parquet",
        folder / "detections.parquet",
        folder / "sparse.parquet",
        Window("pond", 0, 0, N_FRAMES, 0, N_FRAMES, 0.0, 3.0),
    )
