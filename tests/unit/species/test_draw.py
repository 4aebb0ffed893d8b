"""Figures as files: drawn from tables, whole, and the same bytes each time."""

from __future__ import annotations

from collections import Counter
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from longtake import masks
from longtake.gradients import shown as clips
from longtake.gradients.figures import heatmap
from longtake.gradients.shown import study_clips, video_curves
from longtake.media.index import index_video
from longtake.media.index_file import save_index
from longtake.media.windows import Window
from longtake.media.writer import write_video
from longtake.species.draw import draw_study, draw_video
from longtake.species.stills import draw_stills
from longtake.species.study import species_statistics
from longtake.species.video import video_statistics
from longtake.store.schemas import CLIPS, CURVES, DETECTIONS
from longtake.store.tables import write_table

SPECIES = ("carp", "perch")
WINDOWS = [Window("v", 0, 0, 12, 0, 10, 0.0, 1.1), Window("v", 1, 10, 20, 10, 20, 1.0, 1.9)]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A video of 20 frames in which a square stands still, its tables and statistics."""
    grey = np.full((96, 160, 3), 90, dtype=np.uint8)
    frames = ((frame, grey) for frame in range(20))
    write_video(tmp_path / "v.mp4", frames, time_base=Fraction(1, 10), width=160, height=96)
    save_index(index_video(tmp_path / "v.mp4"), tmp_path / "v.index.parquet")
    mask = np.zeros((96, 160), dtype=bool)
    mask[30:50, 40:70] = True
    box = dict(zip(("x_min", "y_min", "x_max", "y_max"), map(float, masks.box(mask) or ()), strict=True))
    rows = [
        {
            "video": "v", "frame": frame, "time_s": frame / 10, "object": "a", "label": "carp", **box,
            "mask": masks.encode(mask), "height": 96, "width": 160, "score": 1.0, "visible": True,
            "prompted": frame == 0, "window": frame // 10, "status": "tainted" if frame == 15 else "ok",
            "direction": "forward",
        }
        for frame in range(0, 20, 5)
    ]  # fmt: skip
    write_table(tmp_path / "v.parquet", rows, DETECTIONS)
    write_table(tmp_path / "clips.parquet", [], CLIPS)
    write_table(tmp_path / "curves.parquet", [], CURVES)
    video_statistics(
        video="v", detections=tmp_path / "v.parquet", windows=WINDOWS, frame_interval=5, out=tmp_path / "statistics/v"
    )
    return tmp_path


def is_picture(path: Path) -> bool:
    with Image.open(path) as image:
        image.load()
        return image.width > 1000 and len(image.convert("L").getcolors(256) or []) > 3


def test_figures_of_a_video(folder: Path) -> None:
    for name in ("one", "two"):
        facts = draw_video(
            video="v", windows=WINDOWS, detections=folder / "v.parquet", curves=folder / "curves.parquet",
            statistics=folder / "statistics/v", species=SPECIES, timeline_out=folder / name / "timeline.png",
            heatmap_out=folder / name / "heatmap.png",
        )  # fmt: skip
        assert facts == {"windows": {0: "ok", 1: "approximate"}}
    for name in ("timeline.png", "heatmap.png"):
        assert is_picture(folder / "one" / name)
        assert (folder / "one" / name).read_bytes() == (folder / "two" / name).read_bytes()


def test_stills_and_overview(folder: Path) -> None:
    facts = draw_stills(
        video="v", video_path=folder / "v.mp4", index_path=folder / "v.index.parquet", windows=WINDOWS,
        detections=folder / "v.parquet", statistics=folder / "statistics/v", species=SPECIES,
        stills_out=folder / "stills.png", overview_out=folder / "overview.png", n=2,
    )  # fmt: skip
    assert facts == {"stills": [0.0, 1.0]}
    assert is_picture(folder / "stills.png")
    assert is_picture(folder / "overview.png")


def test_figures_of_a_study(folder: Path) -> None:
    study = folder / "study"
    species_statistics(videos=[folder / "statistics/v"], out=study, results=folder / "r.json", seed=1, draws=50)
    pages = {name: folder / "pages" / f"{name}.png" for name in SPECIES}
    draw_study(
        statistics=study, curves=[folder / "curves.parquet"], clips=[folder / "clips.parquet"], species=SPECIES,
        correlation_out=folder / "correlation.png", comparison_out=folder / "comparison.png", pages=pages,
    )  # fmt: skip
    assert is_picture(folder / "comparison.png")
    # Perch was named by the study, but is in no video: its page says so.
    assert is_picture(pages["carp"])
    assert pages["perch"].is_file()


@pytest.fixture
def gradients(tmp_path: Path) -> dict[str, list[Path]]:
    """Two videos of five clips of three frames each."""
    paths: dict[str, list[Path]] = {"clips": [], "curves": []}
    for video in ("v", "w"):
        rows, curves = [], []
        for number in range(5):
            key = {"video": video, "window": 0, "object": "a", "label": "carp", "clip": number}
            rows.append(key | {"status": "ok", "pearson": number / 10})
            zero = dict.fromkeys(("magnitude", "l2_norm", "max_pool", "weighted_magnitude", "time_s"), 0.0)
            curves += [key | zero | {"offset": t, "frame": t} for t in range(3)]
        for kind, table, schema in (("clips", rows, CLIPS), ("curves", curves, CURVES)):
            paths[kind].append(tmp_path / f"{video}.{kind}")
            write_table(paths[kind][-1], table, schema)
    return paths


@pytest.mark.parametrize("most", [10, 4, 1])
def test_of_many_clips_some_are_drawn(
    gradients: dict[str, list[Path]], monkeypatch: pytest.MonkeyPatch, most: int
) -> None:
    monkeypatch.setattr(clips, "MOST_CLIPS", most)
    some = study_clips(gradients["clips"], seed=7)
    names = [(row["video"], row["clip"]) for row in some.clips]
    assert len(set(names)) == len(names) == most
    assert some.total == 10
    assert [(row["video"], row["clip"]) for row in some.curves(gradients["curves"])][::3] == names
    # The mean of a video is that of all of its clips, however many are drawn.
    assert some.means == {"carp": [pytest.approx(0.2)] * 2}


def test_each_clip_is_as_likely_to_be_drawn(gradients: dict[str, list[Path]], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(clips, "MOST_CLIPS", 3)
    counts = Counter(
        (row["video"], row["clip"]) for seed in range(300) for row in study_clips(gradients["clips"], seed).clips
    )
    assert len(counts) == 10
    # 300 draws with a chance of 0.3 each: 90, and a standard deviation of 8.
    assert all(55 < count < 125 for count in counts.values())


def test_a_heatmap_reads_the_clips_that_it_shows(gradients: dict[str, list[Path]]) -> None:
    rows, total = video_curves(gradients["curves"][0], 2)
    assert total == 5
    assert [(row["clip"], row["offset"]) for row in rows] == [(clip, t) for clip in (0, 4) for t in range(3)]
    title = heatmap("v", rows, total=total).get_suptitle()
    assert title == "Temporal importance: v (2 of 5 clips)"
