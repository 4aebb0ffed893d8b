"""Train the demo's species classifier from nothing: ``python -m trainers.train_classifier --out FOLDER``.

The clips are chosen and cut out of pond scenes by the functions with which the gradient job does it, with boxes as a
tracker would give them: shifted, scaled, and known on some frames only. A crop with two animals has no one answer, so
clips are left out in which another animal takes more than a few percent of the crop.

Everything is drawn from the seed; one thread on one machine gives the same weights again.
"""

import argparse
import logging
import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from functools import cache, partial
from itertools import count, islice
from pathlib import Path

import cv2
import numpy as np
import torch
from torch.nn.functional import cross_entropy, mse_loss

from longtake import masks
from longtake.demo.scenes import SPECIES, Rendered, Scene, is_visible, make_scene, render_frame
from longtake.gradients.clips import ObjectTrack, Region, choose_clips, crop
from longtake.media.windows import Window
from longtake.models import ClipModel
from longtake.models.classifier import ClassifierConfig, ClipClassifier, ClipClassifierModel
from longtake.models.loading import save_classifier
from longtake.streams import stream

logger = logging.getLogger(__name__)

HELD_OUT = 900_000_000
"""Scene seeds from here on are never trained on."""
_TRAINING = 500_000_000
_SCENE_S = 6.0
PLACE_WEIGHT = 10.0
"""Of the squared distance between the network's first place and the animal's middle, in half crops."""


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


# Shapes first, from many pictures at little cost; then whole clips, for how each species moves.
STAGES = (
    Stage("shapes", (0, 15, 30), steps=450, batch=64, rate=1e-3),
    Stage("motion", tuple(range(31)), steps=240, batch=24, rate=5e-4),
)


@dataclass(frozen=True)
class LabelledClip:
    """A clip and its truth.

    Attributes
    ----------
    frames : (T, size, size, 3) uint8 RGB
    species : its number in SPECIES
    places : (T, 2) float32, column and row of the animal's middle, -1 and 1 at the borders of the crop
    company : largest share of the crop that other animals take, over the frames
    """

    frames: np.ndarray
    species: int
    places: np.ndarray
    company: float


def clips_of_scenes(
    first_seed: int, config: ClassifierConfig, *, jitter: float, per_scene: int, company: float
) -> Iterator[LabelledClip]:
    """Clips of the scenes `first_seed`, `first_seed` + 1, ..., without end, chosen as the gradient job chooses them.

    Parameters
    ----------
    jitter : how wrong the boxes are, as a fraction of their sides (standard deviation)
    per_scene : most clips of an animal
    company : largest share of the crop that other animals may take, on any frame

    Memory: one scene and its rendered frames, 0.6 MB each.
    """
    for seed in count(first_seed):
        draw = stream(seed, "clip", "choice")
        n_animals = int(draw.choice([1, 2, 3], p=[0.6, 0.3, 0.1]))
        species = tuple(str(name) for name in draw.choice(SPECIES, n_animals))
        noise = float(draw.uniform(2.0, 7.0))
        scene = make_scene(seed, duration_s=_SCENE_S, n_animals=n_animals, species=species, noise=noise)
        for clip in _clips_of_scene(scene, draw, config, jitter=jitter, per_scene=per_scene):
            if clip.company <= company:
                yield clip


def _clips_of_scene(
    scene: Scene, draw: np.random.Generator, config: ClassifierConfig, *, jitter: float, per_scene: int
) -> Iterator[LabelledClip]:
    rendered = cache(partial(render_frame, scene))
    window = Window("scene", 0, 0, scene.n_frames, 0, scene.n_frames, 0.0, _SCENE_S)
    # Boxes are known on a grid only, as with frame_interval > 1.
    processed = np.arange(0, scene.n_frames, int(draw.choice([5, 10])))
    for number, animal in enumerate(scene.animals, start=1):
        visible = [frame for frame in processed.tolist() if is_visible(scene, rendered(frame).ids, number)]
        if not visible:
            continue
        found = (masks.box(rendered(frame).ids == number) for frame in visible)
        tight = np.array([bounds for bounds in found if bounds is not None], dtype=np.float64)
        boxes = _jittered(tight, draw, jitter, scene.height, scene.width)
        track = ObjectTrack(animal.id, animal.species, np.array(visible), boxes, {}, (scene.height, scene.width))
        clips = choose_clips(
            processed,
            track,
            window,
            n_frames=config.n_frames,
            stride=1,
            clips_per_window=per_scene,
            aspect=1.0,
            margin=float(draw.uniform(0.15, 0.35)),
        )
        for clip in clips:
            if clip.region is not None:
                images = [rendered(frame) for frame in clip.frames]
                species = SPECIES.index(animal.species)
                yield _labelled(images, number, clip.region, species=species, size=config.size)


def _labelled(images: list[Rendered], number: int, region: Region, *, species: int, size: int) -> LabelledClip:
    frames = np.stack([crop(rendered.image, region, size, size) for rendered in images])
    centres = np.array([_centre(rendered.ids == number) for rendered in images])
    corner, span = np.array([region.x_min, region.y_min]), np.array([region.width, region.height])
    company = max(_others(rendered.ids, number, region) for rendered in images)
    return LabelledClip(frames, species, (2 * (centres - corner) / span - 1).astype(np.float32), company)


def _others(ids: np.ndarray, number: int, region: Region) -> float:
    """Share of the region's pixels that belong to other animals than `number`."""
    part = ids[region.y_min : region.y_max, region.x_min : region.x_max]
    return float(np.mean((part != 0) & (part != number)))


def _centre(mask: np.ndarray) -> tuple[float, float]:
    """Mean column and row of the visible pixels; NaN where there are none."""
    rows, columns = np.nonzero(mask)
    return (float(columns.mean()) + 0.5, float(rows.mean()) + 0.5) if len(rows) else (np.nan, np.nan)


def _jittered(boxes: np.ndarray, draw: np.random.Generator, jitter: float, height: int, width: int) -> np.ndarray:
    """Boxes (n, 4) with every side moved: half of it the same on all frames, half anew on each."""
    sides = np.tile(boxes[:, 2:] - boxes[:, :2], 2)
    moved = boxes + jitter * sides * (draw.normal(size=4) + draw.normal(size=boxes.shape)) / math.sqrt(2)
    moved[:, 2:] = np.maximum(moved[:, 2:], moved[:, :2] + 4.0)
    return np.clip(moved, 0.0, [width, height, width, height])


def varied(clip: LabelledClip, draw: np.random.Generator) -> LabelledClip:
    """The clip as it could also have been: turned, mirrored, of other colours and light, compressed."""
    frames, places = clip.frames, clip.places
    for _ in range(int(draw.integers(4))):
        # A quarter turn to the left: what was on the right is above.
        frames, places = np.rot90(frames, axes=(1, 2)), np.stack([places[:, 1], -places[:, 0]], axis=1)
    if draw.random() < 0.5:
        frames, places = frames[:, :, ::-1], places * np.array([-1, 1], np.float32)
    frames = frames[..., draw.permutation(3)]
    gain, offset = draw.uniform(0.8, 1.2, 3), draw.uniform(-15, 15)
    frames = np.clip(frames * gain.astype(np.float32) + np.float32(offset), 0, 255).astype(np.uint8)
    if draw.random() < 0.3:
        quality = int(draw.integers(40, 95))
        frames = np.stack([_compressed(frame, quality) for frame in frames])
    return LabelledClip(np.ascontiguousarray(frames), clip.species, places, clip.company)


def _compressed(frame: np.ndarray, quality: int) -> np.ndarray:
    _, encoded = cv2.imencode(".jpg", frame, [cv2.IMWRITE_JPEG_QUALITY, quality])
    return np.asarray(cv2.imdecode(encoded, cv2.IMREAD_COLOR))


def held_out_clips(n_clips: int, config: ClassifierConfig, *, jitter: float = 0.05) -> list[LabelledClip]:
    """The first `n_clips` clips of the scenes that are never trained on, with one animal in the crop; 0.4 MB each."""
    clips = clips_of_scenes(HELD_OUT, config, jitter=jitter, per_scene=1, company=0.02)
    return list(islice(clips, n_clips))


def confusion(model: ClipModel, clips: list[LabelledClip]) -> np.ndarray:
    """Clips by true (rows) and predicted (columns) species: (classes, classes) int64."""
    table = np.zeros((len(SPECIES), len(SPECIES)), dtype=np.int64)
    with torch.no_grad():
        for clip in clips:
            frames = torch.from_numpy(clip.frames).permute(0, 3, 1, 2).float() / 255
            table[clip.species, int(model.scores(frames).argmax())] += 1
    return table


def accuracy(table: np.ndarray) -> float:
    """Share of the clips on the diagonal of a confusion table."""
    return float(np.trace(table) / table.sum())


def train(stages: Sequence[Stage], *, n_clips: int, seed: int, out: Path, every: int = 60) -> ClipClassifier:
    """Train one stage after the other; saves and evaluates on held-out clips every `every` steps and after each stage.

    Memory: `n_clips` clips of 0.4 MB, and one batch with its activations, about 10 MB for a clip of 31 frames.
    """
    torch.manual_seed(seed)
    module = ClipClassifier(ClassifierConfig(SPECIES))
    scenes = clips_of_scenes(_TRAINING + seed * 1_000_000, module.config, jitter=0.08, per_scene=2, company=0.05)
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
    mean_loss, mean_off = math.log(len(SPECIES)), 0.3
    for step in range(stage.steps):
        chosen = [clips[number] for number in draw.choice(len(clips), stage.batch, replace=False)]
        taken = [varied(replace(clip, frames=clip.frames[shown], places=clip.places[shown]), draw) for clip in chosen]
        frames = torch.from_numpy(np.stack([clip.frames for clip in taken])).permute(0, 1, 4, 2, 3).float() / 255
        places = torch.from_numpy(np.stack([clip.places for clip in taken]))
        features = module.encode(frames.flatten(0, 1)).unflatten(0, frames.shape[:2])
        loss = cross_entropy(module.head(features), torch.tensor([clip.species for clip in taken]))
        seen = ~places.isnan()
        off = mse_loss(module.animal_place(features)[seen], places[seen])
        optimiser.zero_grad()
        (loss + PLACE_WEIGHT * off).backward()
        torch.nn.utils.clip_grad_norm_(module.parameters(), 1.0)
        optimiser.step()
        schedule.step()
        mean_loss += 0.05 * (loss.item() - mean_loss)
        mean_off += 0.05 * (math.sqrt(off.item()) - mean_off)
        if (step + 1) % 10 == 0:
            progress = f"{stage.name}: step {step + 1} of {stage.steps}"
            logger.info("%s, loss %.3f, place off by %.3f", progress, mean_loss, mean_off)
        if (step + 1) % every == 0 or step + 1 == stage.steps:
            _report(ClipClassifierModel(module.eval()), checked)
            save_classifier(module, out)
            module.train()


def _rate(step: int, steps: int) -> float:
    """Share of the peak learning rate: linear warm-up over 40 steps, then a half cosine down to a hundredth."""
    if step < 40:
        return (step + 1) / 40
    return 0.01 + 0.99 * 0.5 * (1 + math.cos(math.pi * (step - 40) / max(1, steps - 40)))


def _report(model: ClipModel, clips: list[LabelledClip]) -> None:
    table = confusion(model, clips)
    rows = "; ".join(f"{name} {table[row].tolist()}" for row, name in enumerate(SPECIES))
    logger.info("held-out accuracy %.3f over %d clips; %s", accuracy(table), table.sum(), rows)


def main() -> None:
    """Command line."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--out", type=Path, required=True, help="folder for config.json and model.safetensors")
    parser.add_argument("--seed", type=int, default=31)
    parser.add_argument("--clips", type=int, default=1200, help="clips to render, 0.4 MB each")
    options = parser.parse_args()
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(message)s")
    # More threads would sum in another order, and the weights would depend on the machine's load.
    torch.set_num_threads(1)
    cv2.setNumThreads(1)
    module = train(STAGES, n_clips=options.clips, seed=options.seed, out=options.out)
    _report(ClipClassifierModel(module), held_out_clips(300, module.config))


if __name__ == "__main__":
    main()
