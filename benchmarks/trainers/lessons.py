"""Training batches for the tracker, rendered on the fly: lesson `number` of a stage is always the same bytes."""

from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import cv2
import numpy as np

from longtake.demo.scenes import MIN_VISIBLE_PIXELS, Scene, make_scene, render_frame
from longtake.masks import box
from longtake.streams import stream
from trainers.tracker import FIRST_SIZE

TRAINING_SEED = 1_000_000
"""Seeds of training scenes start here; every seed below is held out (demo videos, evaluation, tests)."""
_LONGEST_GAP = 600
_FAR = (60, 600)
"""Source frames between a prompt and the frames that are to be recalled from it alone."""
_LEAST_PROMPT_PIXELS = 700
_BOX = (2, 3)


@dataclass(frozen=True)
class Stage:
    """One part of the curriculum; ranges are inclusive.

    `clips` per batch, `frames` per clip, `animals` and `occluders` per scene, `stride` in source frames
    between clip frames, `noise` of the sensor in grey levels, `followed` how many animals of a clip are tracked
    at most, `gap` probability that the prompt lies far back, `recall` probability that it lies far back in truth and
    nothing is remembered since, `side` of the input in pixels.

    A stage with `parts` follows its clips for long: a batch of clips is watched for a drawn number of lessons, each
    of them the prompted frame and the next `frames` ones, and `watched` batches take turns. `by_mask` and
    `by_point` are the probabilities that a lesson prompts by masks or by points, `aside` that it also asks what
    points here and there lie on.
    """

    name: str
    steps: int
    clips: int
    frames: int
    animals: tuple[int, int]
    occluders: tuple[int, int]
    stride: tuple[int, int]
    noise: tuple[float, float]
    followed: int = 3
    gap: float = 0.0
    recall: float = 0.0
    side: int = FIRST_SIZE
    parts: tuple[int, int] | None = None
    watched: int = 1
    by_mask: float = 0.0
    by_point: float = 0.0
    aside: float = 0.0


@dataclass(frozen=True)
class Aside:
    """M single points on prompted frames and what lies there: an animal, or nothing.

    `owner` (M,) int64, the clip of each point; `points` (M, 1, 2) float32 in model pixels; `targets` (M, s, s) uint8
    as in `Lesson`, empty where the point lies on water, a stone or a plant.
    """

    owner: np.ndarray
    points: np.ndarray
    targets: np.ndarray


@dataclass(frozen=True)
class Lesson:
    """A batch: B clips of T frames with N animals in all.

    `pixels` (B, T, S, S, 3) uint8; `owner` (N,) int64, the clip of each animal; `targets` (N, T, s, s) uint8,
    255 where the animal covers the cell, s = S / 2; `visible` (N, T) int8, 1 yes, 0 no, -1 too little to say;
    `points` (N, P, 2) float32 in model pixels and `labels` (P,) int32, the prompts as `unroll.Asked` has them;
    `by_mask`, whether the first targets are the prompts instead; `indices` T frame numbers. A lesson of a long stage
    is part `part` of `life`, any other has no life.
    """

    pixels: np.ndarray
    owner: np.ndarray
    targets: np.ndarray
    visible: np.ndarray
    points: np.ndarray
    labels: np.ndarray
    indices: list[int]
    by_mask: bool = False
    aside: Aside | None = None
    life: int | None = None
    part: int = 0


Opening = tuple[Scene, int, int, np.ndarray]
Clip = tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]


def make_lesson(seed: int, number: int, stage: Stage) -> Lesson:
    """Render batch `number` of a stage; holds one batch, and the scenes that a long stage watches."""
    if stage.parts is not None:
        return _watch(seed, number, stage)
    rng = stream(seed, f"{stage.name} {number}", "lesson")
    indices, jump = list(range(stage.frames)), 0
    if stage.frames > 2 and rng.random() < stage.gap:
        far = int(np.exp(rng.uniform(0, np.log(_LONGEST_GAP))))
        indices = [0, *range(1 + far, stage.frames + far)]
        # Half of the gaps are true absences of memory, half only pretend that the prompt is long ago.
        jump = int(rng.integers(5, 240)) if rng.random() < 0.5 else 0
    is_recall = stage.recall > 0 and rng.random() < stage.recall
    if is_recall:
        far = int(rng.integers(*_FAR)) // 5
        indices = [0, *range(far, stage.frames - 1 + far)]
    clips, openings = [], []
    for _ in range(stage.clips):
        jump = int(rng.integers(*_FAR)) if is_recall else jump
        opening = _opening(rng, stage, stage.frames, jump)
        openings.append(opening)
        scene, start, stride, chosen = opening
        rng.random()  # Unused; the committed weights were trained with this draw in place.
        frames = [start + stride * k + (jump if k else 0) for k in range(stage.frames)]
        clips.append(_render_clip(rng, scene, frames, chosen, stage.side))
    return _lesson(clips, indices, **_asked(rng, stage, clips, openings))


def _watch(seed: int, number: int, stage: Stage) -> Lesson:
    life, part, parts = turns(seed, stage)[number]
    openings = _openings(seed, stage, life, 1 + parts * stage.frames)
    rng = stream(seed, f"{stage.name} {life} part {part}", "lesson")
    indices = [0, *range(1 + part * stage.frames, 1 + (part + 1) * stage.frames)]
    clips = []
    for scene, start, stride, chosen in openings:
        clips.append(_render_clip(rng, scene, [start + stride * k for k in indices], chosen, stage.side))
    return _lesson(clips, indices, life=life, part=part, **_asked(rng, stage, clips, openings))


def _asked(rng: np.random.Generator, stage: Stage, clips: list[Clip], openings: list[Opening]) -> dict[str, Any]:
    """How a lesson prompts: by boxes, by masks or by points, and what it asks aside."""
    kind = rng.random()
    by_point = stage.by_mask <= kind < stage.by_mask + stage.by_point
    return {
        "prompts": _points(rng, clips) if by_point else None,
        "by_mask": kind < stage.by_mask,
        "aside": _aside(rng, stage, openings) if rng.random() < stage.aside else None,
    }


@lru_cache(maxsize=4)
def turns(seed: int, stage: Stage) -> list[tuple[int, int, int]]:
    """Which part of which life each lesson of a long stage is, and how many parts that life has."""
    rng = stream(seed, stage.name, "turns")
    shortest, longest = stage.parts or (1, 1)
    lives = 0
    table: list[tuple[int, int, int]] = []
    seats = [(0, 0, 0)] * stage.watched  # life, next part, parts
    for step in range(stage.steps):
        life, part, parts = seats[step % stage.watched]
        if part == parts:
            life, part, lives = lives, 0, lives + 1
            parts = int(np.exp(rng.uniform(np.log(shortest), np.log(longest + 1))))
        seats[step % stage.watched] = (life, part + 1, parts)
        table.append((life, part, parts))
    return table


@lru_cache(maxsize=40)
def _openings(seed: int, stage: Stage, life: int, count: int) -> list[Opening]:
    rng = stream(seed, f"{stage.name} {life}", "life")
    return [_opening(rng, stage, count, 0) for _ in range(stage.clips)]


def _opening(rng: np.random.Generator, stage: Stage, count: int, jump: int) -> Opening:
    """A new scene, first frame and stride of `count` frames of it, and the animals to follow: well seen at first."""
    stride = int(rng.integers(stage.stride[0], stage.stride[1] + 1))
    last = stride * (count - 1) + (jump if count > 1 else 0)
    while True:
        warm_up = int(rng.integers(0, 200))
        scene = make_scene(
            TRAINING_SEED + int(rng.integers(0, 2**40)),
            duration_s=(warm_up + 60 + last + 1) / 20,
            n_animals=int(rng.integers(stage.animals[0], stage.animals[1] + 1)),
            n_occluders=int(rng.integers(stage.occluders[0], stage.occluders[1] + 1)),
            noise=float(rng.uniform(*stage.noise)),
            roaming=float(rng.uniform(0.05, 0.8)),
        )
        for start in range(warm_up, warm_up + 60, 15):
            counts = np.bincount(render_frame(scene, start).ids.ravel(), minlength=len(scene.animals) + 1)[1:]
            if counts.max() >= _LEAST_PROMPT_PIXELS:
                chosen = 1 + rng.permutation(np.nonzero(counts >= _LEAST_PROMPT_PIXELS)[0])[: stage.followed]
                return scene, start, stride, chosen


def _lesson(
    clips: list[Clip], indices: list[int], *, prompts: tuple[np.ndarray, np.ndarray] | None = None, **rest: Any
) -> Lesson:
    boxes = np.concatenate([clip[3] for clip in clips])
    points, labels = prompts or (boxes.reshape(-1, 2, 2), np.array(_BOX, np.int32))
    return Lesson(
        pixels=np.stack([clip[0] for clip in clips]),
        owner=np.concatenate([np.full(len(clip[3]), k, np.int64) for k, clip in enumerate(clips)]),
        targets=np.concatenate([clip[1] for clip in clips]),
        visible=np.concatenate([clip[2] for clip in clips]),
        points=points,
        labels=labels,
        indices=indices,
        **rest,
    )


def _points(rng: np.random.Generator, clips: list[Clip]) -> tuple[np.ndarray, np.ndarray]:
    """One to three points on each animal, and none to two beside it: (N, P, 2) in model pixels, labels (P,)."""
    on, off = int(rng.integers(1, 4)), int(rng.integers(0, 3))
    drawn = []
    for target in np.concatenate([clip[1][:, 0] for clip in clips]):
        inside = target > 127 if (target > 127).any() else target == target.max()
        drawn.append(np.concatenate([_drawn(rng, inside, on), _drawn(rng, target == 0, off)]))
    return np.stack(drawn), np.array([1] * on + [0] * off, np.int32)


def _drawn(rng: np.random.Generator, cells: np.ndarray, count: int) -> np.ndarray:
    """Middles of `count` of the true cells (s, s), in model pixels: (count, 2) float32."""
    rows, columns = np.nonzero(cells)
    which = rng.integers(0, len(rows), count)
    return (2 * np.stack([columns[which], rows[which]], axis=1) + 0.5).astype(np.float32)


def _aside(rng: np.random.Generator, stage: Stage, openings: list[Opening]) -> Aside:
    """Four points for each clip on its prompted frame: two on animals, two on nothing."""
    owner, points, targets = [], [], []
    size = (stage.side // 2, stage.side // 2)
    for k, (scene, start, _, _) in enumerate(openings):
        ids = render_frame(scene, start).ids
        counts = np.bincount(ids.ravel(), minlength=2)[1:]
        for number in (0, 0, *rng.choice(1 + np.nonzero(counts >= MIN_VISIBLE_PIXELS)[0], 2)):
            target = cv2.resize((ids == number).astype(np.uint8) * 255, size, interpolation=cv2.INTER_AREA)
            whole = target == 255 if (target == 255).any() else target == target.max()
            owner.append(k)
            points.append(_drawn(rng, whole, 1))
            targets.append(target if number else np.zeros_like(target))
    return Aside(np.array(owner), np.stack(points), np.stack(targets))


def _render_clip(rng: np.random.Generator, scene: Scene, frames: list[int], chosen: np.ndarray, side: int) -> Clip:
    pixels = np.empty((len(frames), side, side, 3), np.uint8)
    targets = np.empty((len(chosen), len(frames), side // 2, side // 2), np.uint8)
    visible = np.empty((len(chosen), len(frames)), np.int8)
    boxes = np.empty((len(chosen), 4), np.float32)
    quality = int(rng.integers(55, 96)) if rng.random() < 0.6 else 0
    for t, frame in enumerate(frames):
        rendered = render_frame(scene, frame)
        pixels[t] = model_view(compress(rendered.image, quality) if quality else rendered.image, side)
        for k, number in enumerate(chosen):
            mask = (rendered.ids == number).astype(np.uint8)
            area = int(mask.sum())
            visible[k, t] = 1 if area >= MIN_VISIBLE_PIXELS else (0 if area == 0 else -1)
            targets[k, t] = cv2.resize(mask * 255, (side // 2, side // 2), interpolation=cv2.INTER_AREA)
            edges = box(mask > 0) if t == 0 else None
            if edges is not None:
                boxes[k] = _hand_drawn(rng, edges, scene, side)
    return pixels, targets, visible, boxes


def model_view(image: np.ndarray, side: int) -> np.ndarray:
    """A source frame (H, W, 3) uint8 as the model sees it at half scale: (side, side, 3) uint8."""
    half = cv2.resize(image, (image.shape[1] // 2, image.shape[0] // 2), interpolation=cv2.INTER_AREA)
    return cv2.resize(half, (side, side), interpolation=cv2.INTER_LINEAR)


def compress(image: np.ndarray, quality: int) -> np.ndarray:
    """The frame after a lossy codec, so that the tracker meets its blocks in training: same shape, uint8."""
    coded = cv2.imencode(".jpg", image, [cv2.IMWRITE_JPEG_QUALITY, quality])[1]
    return np.asarray(cv2.imdecode(coded, cv2.IMREAD_COLOR))


def _hand_drawn(rng: np.random.Generator, edges: tuple[int, int, int, int], scene: Scene, side: int) -> np.ndarray:
    """The box with a hand's error of a few percent of its sides, in model pixels."""
    x_min, y_min, x_max, y_max = edges
    sides = np.array([x_max - x_min, y_max - y_min] * 2)
    drawn = np.array(edges) + rng.normal(0, 0.03, 4) * sides
    return (drawn * side / np.array([scene.width, scene.height] * 2)).astype(np.float32)
