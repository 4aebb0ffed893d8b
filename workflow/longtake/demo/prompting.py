"""The box an annotator would draw: each animal's first frame in which it is well visible."""

from dataclasses import dataclass

import numpy as np

from longtake.demo.bodies import draw_body
from longtake.demo.scenes import Scene, pose, render_frame
from longtake.masks import box

_SEEN_SHARE = 0.85  # of the animal's own pixels; less is no good first impression


@dataclass(frozen=True)
class Prompt:
    """A box in source pixels (maxima exclusive) around animal `number` (from 1) at `frame`."""

    number: int
    frame: int
    box: tuple[float, float, float, float]


def first_prompts(scene: Scene, frame_interval: int) -> list[Prompt]:
    """One prompt for each animal that is ever well visible on the grid of every `frame_interval`-th frame.

    Well visible: wholly inside the picture, and at least 85 % of it unhidden. Sorted by frame, then number.
    """
    return regular_prompts(scene, frame_interval, every=scene.n_frames)


def regular_prompts(scene: Scene, frame_interval: int, *, every: int) -> list[Prompt]:
    """Each animal's first good view, and then its first good view `every` or more frames after its last prompt."""
    due = dict.fromkeys(range(1, len(scene.animals) + 1), 0)
    prompts = []
    for frame in range(0, scene.n_frames, frame_interval):
        candidates = [number for number, since in due.items() if frame >= since and _is_inside(scene, number, frame)]
        ids = render_frame(scene, frame).ids if candidates else None
        for number in candidates:
            seen = np.asarray(ids == number)
            edges = box(seen)
            whole = np.count_nonzero(whole_mask(scene, number, frame))
            if edges is not None and np.count_nonzero(seen) >= _SEEN_SHARE * whole:
                x_min, y_min, x_max, y_max = (float(edge) for edge in edges)
                prompts.append(Prompt(number, frame, (x_min, y_min, x_max, y_max)))
                due[number] = frame + every
    return prompts


def whole_mask(scene: Scene, number: int, frame: int) -> np.ndarray:
    """All pixels of an animal within the picture, hidden ones included: (H, W) bool."""
    ids = np.zeros((scene.height, scene.width), np.uint8)
    image = np.zeros((scene.height, scene.width, 3), np.uint8)
    draw_body(scene.animals[number - 1].body, pose(scene, number, frame), image, ids, 1)
    return ids > 0


def _is_inside(scene: Scene, number: int, frame: int) -> bool:
    x, y = pose(scene, number, frame).centre
    if not (0 < x < scene.width and 0 < y < scene.height):
        return False
    mask = whole_mask(scene, number, frame)
    border = mask[0].any() or mask[-1].any() or mask[:, 0].any() or mask[:, -1].any()
    return bool(mask.any() and not border)
