"""Train the demo's species classifier from nothing: ``python -m longtake.demo.train_classifier --out FOLDER``.

The clips are cut out of pond scenes by the functions with which the gradient job cuts them out of videos, with boxes as
a tracker would give them: shifted, scaled, and known on some frames only. Two of the species differ in motion alone,
so that a classifier of single frames cannot pass.

Everything is drawn from the seed; one thread on one machine gives the same weights again.
"""

import argparse
import logging
import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import count, islice
from pathlib import Path

import cv2
import numpy as np
import torch
from torch.nn.functional import cross_entropy

from longtake import masks
from longtake.demo.scenes import SPECIES, Scene, is_visible, make_scene, render_frame
from longtake.gradients.clips import ObjectTrack, boxes_at, clip_region, crop
from longtake.models import Adapter
from longtake.models.classifier import ClassifierConfig, ClipClassifier, ClipClassifierAdapter
from longtake.models.loading import save_classifier
from longtake.streams import stream

logger = logging.getLogger(__name__)

HELD_OUT = 900_000_000
"""Scene seeds from here on are never trained on."""
_TRAINING = 500_000_000
# The two species that only motion tells apart are the hard ones: they are shown more often.
_SHARE = {"darter": 0.35, "glider": 0.35, "jelly": 0.15, "eel": 0.15}
_SCENE_S = 6.0


@dataclass(frozen=True)
class Stage:
    """A part of the training.

    Attributes
    ----------
    offsets : which frames of the clips are shown
    steps, batch : how many batches, of how many clips
    rate : peak of the learning rate
    """

    name: str
    offsets: tuple[int, ...]
    steps: int
    batch: int
    rate: float


# Shapes first, from many pictures at little cost; then whole clips, for what only motion tells.
STAGES = (
    Stage("shapes", (0, 15, 30), steps=900, batch=64, rate=1e-3),
    Stage("motion", tuple(range(31)), steps=900, batch=24, rate=4e-4),
)


@dataclass(frozen=True)
class LabelledClip:
    """frames (T, size, size, 3) uint8 RGB, and the species as its place in SPECIES."""

    frames: np.ndarray
    species: int


def clips_of_scenes(
    first_seed: int,
    offsets: Sequence[int],
    *,
    size: int,
    jitter: float,
    most_animals: int = 4,
    per_scene: int = 1,
) -> Iterator[LabelledClip]:
    """Clips of the scenes `first_seed`, `first_seed` + 1, ..., without end.

    Parameters
    ----------
    offsets : frames of a clip, counted from its first
    most_animals : scenes hold 1 to this many
    per_scene : places in time at which a scene is looked at; each gives one clip of every animal that is visible
    jitter : how wrong the boxes are, as a fraction of their sides (standard deviation)

    Memory: one scene and one rendered clip.
    """
    for seed in count(first_seed):
        draw = stream(seed, "clip", "choice")
        n_animals = int(draw.integers(1, most_animals + 1))
        species = tuple(str(name) for name in draw.choice(SPECIES, n_animals, p=[_SHARE[name] for name in SPECIES]))
        noise = float(draw.uniform(2.0, 7.0))
        scene = make_scene(seed, duration_s=_SCENE_S, n_animals=n_animals, species=species, noise=noise)
        for _ in range(per_scene):
            yield from _clips_of_scene(scene, draw, offsets, size=size, jitter=jitter)


def _clips_of_scene(
    scene: Scene, draw: np.random.Generator, offsets: Sequence[int], *, size: int, jitter: float
) -> Iterator[LabelledClip]:
    start = int(draw.integers(0, scene.n_frames - offsets[-1]))
    rendered = {offset: render_frame(scene, start + offset) for offset in offsets}
    # Boxes are known on a grid only, as with frame_interval > 1; first and last frame are always on it.
    every = int(draw.choice([1, 5, 10]))
    grid = np.array([offset for offset in offsets if offset % every == 0 or offset == offsets[-1]])
    for number, animal in enumerate(scene.animals, start=1):
        if not all(is_visible(scene, rendered[offset].ids, number) for offset in grid):
            continue
        found = (masks.box(rendered[offset].ids == number) for offset in grid)
        tight = np.array([bounds for bounds in found if bounds is not None], dtype=np.float64)
        boxes = _jittered(tight, draw, jitter, scene.height, scene.width)
        track = ObjectTrack(animal.id, animal.species, grid, boxes, {}, (scene.height, scene.width))
        margin = float(draw.uniform(0.15, 0.35)) if jitter else 0.25
        region, _ = clip_region(boxes_at(track, np.array(offsets)), 1.0, margin, scene.height, scene.width)
        frames = np.stack([crop(frame.image, region, size, size) for frame in rendered.values()])
        yield LabelledClip(frames, SPECIES.index(animal.species))


def _jittered(boxes: np.ndarray, draw: np.random.Generator, jitter: float, height: int, width: int) -> np.ndarray:
    """Boxes (n, 4) with every side moved: half of it the same on all frames, half anew on each."""
    sides = np.tile(boxes[:, 2:] - boxes[:, :2], 2)
    moved = boxes + jitter * sides * (draw.normal(size=4) + draw.normal(size=boxes.shape)) / math.sqrt(2)
    moved[:, 2:] = np.maximum(moved[:, 2:], moved[:, :2] + 4.0)
    return np.clip(moved, 0.0, [width, height, width, height])


def varied(clip: LabelledClip, draw: np.random.Generator) -> LabelledClip:
    """The clip as it could also have been: turned, mirrored, of other colours and light, compressed."""
    frames = np.rot90(clip.frames, int(draw.integers(4)), axes=(1, 2))
    if draw.random() < 0.5:
        frames = frames[:, :, ::-1]
    frames = frames[..., draw.permutation(3)]
    gain, offset = draw.uniform(0.8, 1.2, 3), draw.uniform(-15, 15)
    frames = np.clip(frames * gain.astype(np.float32) + np.float32(offset), 0, 255).astype(np.uint8)
    if draw.random() < 0.3:
        quality = int(draw.integers(40, 95))
        frames = np.stack([_compressed(frame, quality) for frame in frames])
    return LabelledClip(np.ascontiguousarray(frames), clip.species)


def _compressed(frame: np.ndarray, quality: int) -> np.ndarray:
    _, encoded = cv2.imencode(".jpg", frame, [cv2.IMWRITE_JPEG_QUALITY, quality])
    return np.asarray(cv2.imdecode(encoded, cv2.IMREAD_COLOR))


def held_out_clips(n_clips: int, config: ClassifierConfig, *, jitter: float = 0.05) -> list[LabelledClip]:
    """The first `n_clips` clips of the scenes that are never trained on; about 1 MB each."""
    clips = clips_of_scenes(HELD_OUT, range(config.n_frames), size=config.size, jitter=jitter)
    return list(islice(clips, n_clips))


def confusion(adapter: Adapter, clips: list[LabelledClip]) -> np.ndarray:
    """Clips by true (rows) and predicted (columns) species: (classes, classes) int64."""
    table = np.zeros((len(SPECIES), len(SPECIES)), dtype=np.int64)
    with torch.no_grad():
        for clip in clips:
            frames = torch.from_numpy(clip.frames).permute(0, 3, 1, 2).float() / 255
            table[clip.species, int(adapter.scores(frames).argmax())] += 1
    return table


def accuracy(table: np.ndarray) -> float:
    """Share of the clips on the diagonal of a confusion table."""
    return float(np.trace(table) / table.sum())


def train(stages: Sequence[Stage], *, n_clips: int, seed: int, out: Path, every: int = 100) -> ClipClassifier:
    """Train one stage after the other; saves and evaluates on held-out clips every `every` steps and after each stage.

    Memory: `n_clips` clips of 0.4 MB, and one batch with its activations, about 10 MB for a clip of 31 frames.
    """
    torch.manual_seed(seed)
    module = ClipClassifier(ClassifierConfig(SPECIES))
    size, offsets = module.config.size, range(module.config.n_frames)
    scenes = clips_of_scenes(_TRAINING + seed * 1_000_000, offsets, size=size, jitter=0.08, per_scene=2)
    clips = list(islice(scenes, n_clips))
    logger.info("%d clips are rendered", len(clips))
    checked = held_out_clips(120, module.config)
    for stage in stages:
        draw = stream(seed, "classifier", stage.name)
        _train_stage(module, stage, clips, checked, draw=draw, out=out, every=every)
    return module.eval()


def _train_stage(
    module: ClipClassifier,
    stage: Stage,
    clips: list[LabelledClip],
    checked: list[LabelledClip],
    *,
    draw: np.random.Generator,
    out: Path,
    every: int,
) -> None:
    optimiser = torch.optim.AdamW(module.parameters(), lr=stage.rate, weight_decay=0.02)
    schedule = torch.optim.lr_scheduler.LambdaLR(optimiser, lambda step: _rate(step, stage.steps))
    shown = list(stage.offsets)
    module.train()
    mean_loss = math.log(len(SPECIES))
    for step in range(stage.steps):
        chosen = [clips[number] for number in draw.choice(len(clips), stage.batch, replace=False)]
        taken = [varied(LabelledClip(clip.frames[shown], clip.species), draw) for clip in chosen]
        frames = torch.from_numpy(np.stack([clip.frames for clip in taken])).permute(0, 1, 4, 2, 3).float() / 255
        loss = cross_entropy(module(frames), torch.tensor([clip.species for clip in taken]))
        optimiser.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(module.parameters(), 1.0)
        optimiser.step()
        schedule.step()
        mean_loss += 0.05 * (loss.item() - mean_loss)
        if (step + 1) % 10 == 0:
            logger.info("%s: step %d of %d, loss %.3f", stage.name, step + 1, stage.steps, mean_loss)
        if (step + 1) % every == 0 or step + 1 == stage.steps:
            _report(ClipClassifierAdapter(module.eval()), checked)
            save_classifier(module, out)
            module.train()


def _rate(step: int, steps: int) -> float:
    """Share of the peak learning rate: linear warm-up over 40 steps, then a half cosine down to a hundredth."""
    if step < 40:
        return (step + 1) / 40
    return 0.01 + 0.99 * 0.5 * (1 + math.cos(math.pi * (step - 40) / max(1, steps - 40)))


def _report(adapter: Adapter, clips: list[LabelledClip]) -> None:
    table = confusion(adapter, clips)
    rows = "; ".join(f"{name} {table[row].tolist()}" for row, name in enumerate(SPECIES))
    logger.info("held-out accuracy %.3f over %d clips; %s", accuracy(table), table.sum(), rows)


def main() -> None:
    """Command line."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--out", type=Path, required=True, help="folder for config.json and model.safetensors")
    parser.add_argument("--seed", type=int, default=31)
    parser.add_argument("--clips", type=int, default=2600, help="clips to render, 0.4 MB each")
    options = parser.parse_args()
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(message)s")
    # More threads would sum in another order, and the weights would depend on the machine's load.
    torch.set_num_threads(1)
    cv2.setNumThreads(1)
    module = train(STAGES, n_clips=options.clips, seed=options.seed, out=options.out)
    _report(ClipClassifierAdapter(module), held_out_clips(400, module.config))


if __name__ == "__main__":
    main()
