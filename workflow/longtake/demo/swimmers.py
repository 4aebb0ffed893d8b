"""The demo's labelled videos: a jelly that rises or sinks, in twelve ponds of two videos each.

Both classes show the same animals in the same ponds, pointing up: only the order of frames tells them apart. A model of
single frames, or one that is shown the frames shuffled, can do no better than chance.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from dataclasses import replace
from fractions import Fraction
from pathlib import Path

import numpy as np

from longtake.demo.scenes import Scene, make_scene, render_frame
from longtake.errors import SheetError
from longtake.media.writer import write_video
from longtake.store.atomic import write_tsv
from longtake.streams import stream

LABELS = ("rises", "sinks")
PONDS, EACH, SECONDS, FPS, WIDTH, HEIGHT = 12, 2, 4.0, 10, 192, 144
MEDIA_FOLDER = "results/demo/media"
COLUMNS = ("video", "path", "label", "group")


def swimmers() -> dict[str, tuple[int, int]]:
    """Return the videos of the demo: of each its pond and its place in it."""
    return {f"jelly-{pond:02d}-{place}": (pond, place) for pond in range(PONDS) for place in range(EACH)}


def label_of(place: int) -> str:
    """Return how the jelly of a video swims: of each pond one rises and one sinks, so no pond tells the class."""
    return LABELS[place % 2]


def swimmer_scene(video: str) -> Scene:
    """Return the scene of a labelled video: one jelly on a straight way up or down, at its own pace.

    Raises
    ------
    SheetError
        If the demo has no video of this name.
    """
    if video not in swimmers():
        raise SheetError(f"the demo has no video {video!r}; it has {', '.join(swimmers())}")
    pond, place = swimmers()[video]
    scene = make_scene(
        700 + pond,
        duration_s=SECONDS,
        n_animals=1,
        species=("jelly",),
        width=WIDTH,
        height=HEIGHT,
        fps=FPS,
        n_occluders=0,
    )
    random = stream(700 + pond, f"swimmer {place}", "way")
    animal = scene.animals[0]
    share = np.linspace(0, 1, scene.n_frames)
    x = WIDTH * (random.uniform(0.2, 0.8) + random.uniform(-0.08, 0.08) * share)
    top, bottom = random.uniform(0.1, 0.25), random.uniform(0.75, 0.9)
    y = HEIGHT * (bottom + (top - bottom) * share if label_of(place) == "rises" else top + (bottom - top) * share)
    heading = np.full(scene.n_frames, -np.pi / 2)
    track = replace(animal.track, centre=np.stack([x, y], 1), heading=heading)
    return replace(scene, animals=(replace(animal, track=track),))


def render_swimmer(video: str, path: str | Path, progress: Callable[[int, int], None] | None = None) -> None:
    """Render a labelled video of the demo to `path` (MP4); frames stream into the encoder."""
    scene = swimmer_scene(video)

    def frames() -> Iterator[tuple[int, np.ndarray]]:
        for frame in range(scene.n_frames):
            yield frame, render_frame(scene, frame).image
            if progress:
                progress(frame + 1, scene.n_frames)

    write_video(path, frames(), time_base=Fraction(1, FPS), width=WIDTH, height=HEIGHT, crf=24)


def write_sheet(path: str | Path) -> None:
    """Write the sheet of the labelled videos."""
    rows = [
        {"video": video, "path": f"{MEDIA_FOLDER}/{video}.mp4", "label": label_of(place), "group": f"pond-{pond:02d}"}
        for video, (pond, place) in swimmers().items()
    ]
    write_tsv(path, COLUMNS, rows)


if __name__ == "__main__":
    write_sheet(sys.argv[1])
