"""Clips played with their maps: every frame in its place, and the colour where the gradient is."""

import json
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest

from longtake.errors import SchemaError
from longtake.export.heat import write_heat_video
from longtake.media.index import index_video
from longtake.media.index_file import save_index
from longtake.media.reader import read_frames
from longtake.media.writer import write_video
from longtake.store.arrays import write_arrays
from longtake.store.schemas import CLIPS, CURVES
from longtake.store.tables import write_table

T, WIDTH = 4, 320


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A grey video with two clips of 4 frames: the first is all in the left half, its maps hot at the lower right."""
    grey = np.full((64, 96, 3), 120, np.uint8)
    frames = ((t, grey + np.uint8(t)) for t in range(20))
    write_video(tmp_path / "v.mp4", frames, time_base=Fraction(1, 10), width=96, height=64)
    save_index(index_video(tmp_path / "v.mp4"), tmp_path / "v.index")
    clips, curves = [], []
    for number, first in enumerate((10, 2)):
        key = {"video": "v", "window": 0, "object": "eel-1", "label": "eel", "clip": number}
        span = {"first_frame": first, "last_frame": first + 2 * (T - 1), "stride": 2}
        clips.append(key | span | {"status": "ok", "target_name": "eel", "score": 1.5})
        zero = dict.fromkeys(("l2_norm", "max_pool", "weighted_magnitude"), 0.0)
        curves += [
            key | zero | {"offset": t, "frame": first + 2 * t, "time_s": t / 10, "magnitude": 1.0 + t}
            | {"motion_frame": float(t) if t else None}
            for t in range(T)
        ]  # fmt: skip
    clips.append(key | {"clip": 2, "status": "failed", "reason": "short"})
    write_table(tmp_path / "clips", clips, CLIPS)
    write_table(tmp_path / "curves", curves, CURVES)
    maps = np.zeros((T, 8, 8), np.float16)
    maps[:, 6:, 6:] = 1
    write_maps(tmp_path / "maps", {"eel-1.0": maps, "eel-1.1": maps})
    return tmp_path


def write_maps(path: Path, maps: dict[str, np.ndarray]) -> None:
    record = {"scale": 1.0, "region": [0, 0, 48, 64], "frames": [0, 6, 2], "video": "v", "window": 0}
    write_arrays(path, maps, {"clips": json.dumps(dict.fromkeys(maps, record))})


def played(folder: Path) -> list[np.ndarray]:
    facts = write_heat_video(
        video_path=folder / "v.mp4", index_path=folder / "v.index", clips=folder / "clips", curves=folder / "curves",
        maps=[folder / "maps"], species=["eel"], width=WIDTH, out=folder / "heat.mp4",
    )  # fmt: skip
    index = index_video(folder / "heat.mp4")
    assert facts["frames"] in (0, index.n_frames)
    return [frame.pixels for frame in read_frames(index, range(index.n_frames))]


def test_every_frame_of_every_clip_once_and_heat_where_the_gradient_is(folder: Path) -> None:
    frames = played(folder)
    assert len(frames) == 2 * T
    for pixels in frames:
        assert pixels.shape == (120 + 40, WIDTH, 3)
        # The region of 48 x 64 fits the panel of 158 x 120 at 90 x 120 pixels.
        left, right = pixels[30:110, 35:120], pixels[30:110, 195:280]
        assert np.ptp(left.astype(int).mean(axis=2)) < 25
        corner, rest = right[65:78, 68:82], right[5:40, 5:60]
        assert corner[..., 0].mean() > rest[..., 0].mean() + 60
        assert abs(float(rest[..., 0].mean()) - float(rest[..., 2].mean())) < 8


def test_the_present_frame_is_marked(folder: Path) -> None:
    bars = [pixels[-8:-6].astype(int) for pixels in played(folder)]
    blue = [(bar[..., 2] - bar[..., 0]).sum(axis=0).reshape(T, -1).sum(axis=1) for bar in bars]
    assert [int(found.argmax()) for found in blue] == [0, 1, 2, 3] * 2


def test_no_clip_is_said(folder: Path) -> None:
    write_table(folder / "clips", [], CLIPS)
    write_table(folder / "curves", [], CURVES)
    write_maps(folder / "maps", {})
    assert len(played(folder)) == 1


def test_maps_that_are_missing_are_no_black_picture(folder: Path) -> None:
    write_maps(folder / "maps", {"eel-1.0": np.zeros((T, 8, 8), np.float16)})
    with pytest.raises(SchemaError, match=r"no map of eel-1\.1"):
        played(folder)
