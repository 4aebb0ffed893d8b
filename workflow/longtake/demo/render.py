"""The demo's videos: five ponds, rendered to MP4 with their truth beside them.

The table `PONDS` is all that defines them; the sheets in config/demo are generated from it
(``python -m longtake.demo.render config/demo``).
"""

import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np

from longtake.demo.prompting import Prompt, regular_prompts
from longtake.demo.scenes import Rendered, Scene, is_visible, make_scene, render_frame
from longtake.errors import SheetError
from longtake.masks import box, encode_crop
from longtake.media.writer import write_video
from longtake.status import Status
from longtake.store.atomic import write_text
from longtake.store.schemas import DETECTIONS
from longtake.store.tables import write_table

FRAME_INTERVAL = 5
"""Prompts lie on this grid: the demo's `frame_interval`."""
PROMPT_EVERY = 1200
"""Frames after which an animal is prompted again: a minute, over which the embedded tracker was measured."""
MEDIA_FOLDER = "results/demo/media"


@dataclass(frozen=True)
class Pond:
    """One demo video: its seed, its length in seconds, the species of its animals."""

    seed: int
    duration_s: float
    species: tuple[str, ...]


PONDS = {
    "pond-01": Pond(111, 120, ("darter", "jelly", "glider", "darter")),
    "pond-02": Pond(112, 120, ("eel", "glider", "darter")),
    "pond-03": Pond(118, 25, ("jelly", "darter", "eel")),
    "pond-04": Pond(124, 30, ("glider", "eel", "jelly")),
    "pond-05": Pond(125, 25, ("darter", "glider", "jelly")),
}


def demo_scene(video: str) -> Scene:
    """The scene of a demo video.

    Raises
    ------
    SheetError
        If the demo has no video of this name.
    """
    if video not in PONDS:
        raise SheetError(f"the demo has no video {video!r}; it has {', '.join(PONDS)}")
    pond = PONDS[video]
    return make_scene(pond.seed, duration_s=pond.duration_s, n_animals=len(pond.species), species=pond.species)


def demo_prompts(scene: Scene) -> list[Prompt]:
    """The boxes of a demo scene, sorted by frame: each animal's first good view, and one a minute."""
    return regular_prompts(scene, FRAME_INTERVAL, every=PROMPT_EVERY)


def render_demo(video: str, path: Path, progress: Callable[[int, int], None] | None = None) -> None:
    """Render a demo video to `path` (MP4) and its truth to ``{stem}.truth.parquet`` beside it.

    Frames stream into the encoder; of the truth about a kilobyte a frame is held until the end.
    """
    path = Path(path)
    scene = demo_scene(video)
    prompted = {(prompt.number, prompt.frame) for prompt in demo_prompts(scene)}
    rows: list[dict[str, Any]] = []

    def frames() -> Iterator[tuple[int, np.ndarray]]:
        for frame in range(scene.n_frames):
            rendered = render_frame(scene, frame)
            rows.extend(truth_rows(video, scene, frame, rendered, prompted))
            if progress is not None:
                progress(frame + 1, scene.n_frames)
            yield frame, rendered.image

    write_video(path, frames(), time_base=Fraction(1, scene.fps), width=scene.width, height=scene.height, crf=24)
    write_table(path.with_name(f"{path.stem}.truth.parquet"), rows, DETECTIONS)


def truth_rows(
    video: str, scene: Scene, frame: int, rendered: Rendered, prompted: set[tuple[int, int]]
) -> list[dict[str, Any]]:
    """One DETECTIONS row per animal of the scene: what a perfect tracker would have written."""
    rows = []
    for number, animal in enumerate(scene.animals, start=1):
        mask = rendered.ids == number
        edges = box(mask) if is_visible(scene, rendered.ids, number) else None
        row: dict[str, Any] = dict.fromkeys(DETECTIONS.names)
        row |= {
            "video": video,
            "frame": frame,
            "time_s": frame / scene.fps,
            "object": animal.id,
            "label": animal.species,
            "height": scene.height,
            "width": scene.width,
            "score": 1.0,
            "visible": edges is not None,
            "prompted": (number, frame) in prompted,
            "window": 0,
            "status": Status.OK,
            "direction": "forward",
        }
        if edges is not None:
            x_min, y_min, x_max, y_max = edges
            crop = mask[y_min:y_max, x_min:x_max]
            row["mask"] = encode_crop(crop, x_min, y_min, scene.height, scene.width)
            row |= dict(zip(("x_min", "y_min", "x_max", "y_max"), map(float, edges), strict=True))
        rows.append(row)
    return rows


def videos_sheet() -> str:
    """The text of config/demo/videos.tsv."""
    return "video\tpath\tspecies\n" + "".join(f"{video}\t{MEDIA_FOLDER}/{video}.mp4\t\n" for video in PONDS)


def prompts_sheet() -> str:
    """The text of config/demo/prompts.tsv."""
    lines = ["video\tobject\tlabel\tframe\ttime_s\tx_min\ty_min\tx_max\ty_max\tuntil_s"]
    for video in PONDS:
        scene = demo_scene(video)
        for prompt in demo_prompts(scene):
            lines.append(_prompt_line(video, scene, prompt))
    return "\n".join(lines) + "\n"


def _prompt_line(video: str, scene: Scene, prompt: Prompt) -> str:
    animal = scene.animals[prompt.number - 1]
    edges = [f"{edge:g}" for edge in prompt.box]
    return "\t".join([video, animal.id, animal.species, str(prompt.frame), "", *edges, ""])


def write_sheets(folder: Path) -> None:
    """Write videos.tsv and prompts.tsv of the demo into `folder`."""
    write_text(folder / "videos.tsv", videos_sheet())
    write_text(folder / "prompts.tsv", prompts_sheet())


if __name__ == "__main__":
    write_sheets(Path(sys.argv[1]))
