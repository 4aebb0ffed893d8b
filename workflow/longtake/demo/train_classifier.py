"""Train the demo's species classifier from nothing: ``python -m longtake.demo.train_classifier --out FOLDER``.

The clips are cut out of pond scenes by the functions with which the gradient job cuts them out of videos, with boxes as
a tracker would give them: shifted, scaled, and known on some frames only. Scenes are rendered as they are needed. Two
of the species differ in motion alone, so that a classifier of single frames cannot pass.

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
    offsets : frames of a clip, counted from its first
    most_animals : scenes hold 1 to this many
    per_scene : places in time at which a scene is looked at
    steps, batch : how many batches, of how many clips
    rate : peak of the learning rate
    """

    name: str
    offsets: tuple[int, ...]
    most_animals: int
    per_scene: int
    steps: int
    batch: int
    rate: float


# Shapes first, from many pictures of one animal; then which animal is meant; then whole clips, for what motion tells.
STAGES = (
    Stage("shapes", (0, 15, 30), most_animals=1, per_scene=3, steps=200, batch=48, rate=1.5e-3),
    Stage("crowds", (0, 15, 30), most_animals=4, per_scene=3, steps=300, batch=48, rate=1.5e-3),
    Stage("motion", tuple(range(31)), most_animals=4, per_scene=2, steps=1000, batch=16, rate=1e-3),
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
    """The clip as another camera and encoder would have given it: mirrored, of other light, compressed."""
    frames = clip.frames
    if draw.random() < 0.5:
        frames = frames[:, :, ::-1]
    gain, offset = draw.uniform(0.8, 1.2, 3), draw.uniform(-15, 15)
    frames = np.clip(frames * gain.astype(np.float32) + np.float32(offset), 0, 255).astype(np.uint8)
    if draw.random() < 0.5:
        quality = int(draw.integers(40, 95))
        frames = np.stack([_compressed(frame, quality) for frame in frames])
    return LabelledClip(np.ascontiguousarray(frames), clip.species)


def shown_twice(
    clips: Iterator[LabelledClip], draw: np.random.Generator, pool_size: int = 256
) -> Iterator[LabelledClip]:
    """Every clip, and after each an earlier one once more: rendering costs more than learning.

    Memory: `pool_size` clips, 0.4 MB each for 31 frames of 64 x 64 pixels.
    """
    pool: list[LabelledClip] = []
    for clip in clips:
        yield clip
        if len(pool) < pool_size:
            pool.append(clip)
        else:
            pool[int(draw.integers(pool_size))] = clip
        yield pool[int(draw.integers(len(pool)))]


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


def train(stages: Sequence[Stage], *, seed: int, out: Path, every: int = 100) -> ClipClassifier:
    """Train one stage after the other; saves and evaluates on held-out clips every `every` steps and after each stage.

    Memory: one batch of clips and its activations, about 25 MB for a clip of 31 frames.
    """
    torch.manual_seed(seed)
    module = ClipClassifier(ClassifierConfig(SPECIES))
    checked = held_out_clips(120, module.config)
    for number, stage in enumerate(stages):
        _train_stage(module, stage, _TRAINING + (seed * 10 + number) * 1_000_000, checked, out=out, every=every)
    return module.eval()


def _train_stage(
    module: ClipClassifier, stage: Stage, first_seed: int, checked: list[LabelledClip], *, out: Path, every: int
) -> None:
    optimiser = torch.optim.AdamW(module.parameters(), lr=stage.rate, weight_decay=0.02)
    schedule = torch.optim.lr_scheduler.LambdaLR(optimiser, lambda step: _rate(step, stage.steps))
    size = module.config.size
    draw = stream(first_seed, "classifier", "variation")
    fresh = clips_of_scenes(
        first_seed,
        stage.offsets,
        size=size,
        jitter=0.08,
        most_animals=stage.most_animals,
        per_scene=stage.per_scene,
    )
    clips = shown_twice(fresh, draw)
    module.train()
    mean_loss = math.log(len(SPECIES))
    for step in range(stage.steps):
        taken = [varied(clip, draw) for clip in islice(clips, stage.batch)]
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
    options = parser.parse_args()
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(message)s")
    # More threads would sum in another order, and the weights would depend on the machine's load.
    torch.set_num_threads(1)
    cv2.setNumThreads(1)
    module = train(STAGES, seed=options.seed, out=options.out)
    _report(ClipClassifierAdapter(module), held_out_clips(400, module.config))


if __name__ == "__main__":
    main()
