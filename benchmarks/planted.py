"""Models of which it is known what they use, and clips on which to ask them: truth for the words of the verdicts."""

from __future__ import annotations

import tempfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn

from longtake.gradients.attribution import attribute_clip
from longtake.gradients.perturbations import perturbation_rows
from longtake.species.perturbed import perturbation_means
from longtake.store.schemas import CLIPS, PERTURBATIONS
from longtake.store.tables import write_table
from longtake.streams import stream

T, SIDE = 31, 12


class Model:
    """A video model of frames (T, 3, h, w) -> one number; the other class scores its opposite."""

    class_names = ("yes", "no")
    n_frames = None

    def __init__(self, number: Callable[[Tensor], Tensor]) -> None:
        self.module, self.number = nn.Linear(1, 1).eval(), number

    def input_size(self, height: int, width: int) -> tuple[int, int]:
        return height, width

    def scores(self, frames: Tensor) -> Tensor:
        number = self.number(frames)
        return torch.stack([number, -number])


def evidence(frames: Tensor) -> Tensor:
    """What each frame says by itself, (T,): how bright and coloured its middle is; not linear, about 0.5 to 2."""
    middle = frames[:, :, 3:9, 3:9]
    return 3 * middle[:, 0].square().mean((1, 2)) + middle[:, 1].mean((1, 2))


def average(frames: Tensor) -> Tensor:
    return evidence(frames).mean()


def gain(strength: float) -> Callable[[Tensor], Tensor]:
    """Frames alone, averaged, and a gain that saturates."""
    return lambda frames: torch.tanh(strength * evidence(frames).mean())


def maximum(frames: Tensor) -> Tensor:
    return evidence(frames).max()


def differences(frames: Tensor) -> Tensor:
    """Motion only: a frame repeated gives nothing."""
    return 20 * (frames[1:] - frames[:-1]).square().mean()


def sixth(frames: Tensor) -> Tensor:
    """The sixth frame, whichever it is: where a frame is counts, and nothing need move."""
    return evidence(frames)[5]


MODELS = {
    "average": average, "gain 1": gain(1.0), "gain 3": gain(3.0), "maximum": maximum, "differences": differences,
    "order": sixth,
}  # fmt: skip
RIGHT = {
    "average": {"appearance"}, "gain 1": {"appearance", "several frames", "mixed"},
    "gain 3": {"appearance", "several frames", "mixed"}, "maximum": {"appearance", "several frames", "mixed"},
    "differences": {"motion"}, "order": {"order"},
}  # fmt: skip
"""Words that are not wrong; ``undecided`` never is."""


def clip(key: str) -> np.ndarray:
    """A textured square that swims through a still scene of its own: pixels (T, SIDE, SIDE, 3) uint8."""
    draw = stream(11, key, "planted clip")
    scene = draw.integers(40, 120, (SIDE, SIDE, 3), dtype=np.uint8)
    texture = draw.integers(120, 255, (5, 5, 3), dtype=np.uint8)
    pixels = np.repeat(scene[None], T, axis=0)
    phase, turns = draw.uniform(0, 2 * np.pi, 2), draw.uniform(0.7, 1.6, 2)
    time = np.linspace(0, 2 * np.pi, T)
    place = (3.5 + 3.5 * np.sin(time[:, None] * turns + phase)).round().astype(int)
    for t, (y, x) in enumerate(place):
        pixels[t, y : y + 5, x : x + 5] = texture
    return pixels


def rows_of(name: str, video: str, clips: int) -> tuple[list[dict], list[dict]]:
    """Rows of CLIPS and of PERTURBATIONS of a video's clips."""
    model, told, disturbed = Model(MODELS[name]), [], []
    for number in range(clips):
        pixels = clip(f"{video} {number}")
        found = attribute_clip(model, pixels, [None] * T, target=0)
        key = {"video": video, "window": 0, "object": f"o{number}", "label": "carp", "clip": 0}
        told.append(key | {"status": "ok"})

        def draws(purpose: str, unit: str = f"{video} {number}") -> np.random.Generator:
            return stream(12, unit, purpose)

        rows = perturbation_rows(model, pixels, found, names=("shuffle", "static"), shuffles=5, short=0, draws=draws)
        disturbed += [key | row for row in rows]
    return told, disturbed


def measured(name: str, video: str, clips: int) -> dict[str, float | str]:
    """What one video says of a model: the measures of ``VIDEO_SPECIES`` that come from disturbed clips."""
    return averaged(*rows_of(name, video, clips))


def averaged(told: list[dict], disturbed: list[dict]) -> dict[str, float | str]:
    """The measures of a video from its rows."""
    with tempfile.TemporaryDirectory() as folder:
        write_table(Path(folder) / "clips.parquet", told, CLIPS)
        write_table(Path(folder) / "perturbations.parquet", disturbed, PERTURBATIONS)
        return perturbation_means(Path(folder) / "perturbations.parquet", Path(folder) / "clips.parquet")["carp"]
