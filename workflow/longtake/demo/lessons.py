"""Training batches for the tracker, rendered on the fly: lesson `number` of a stage is always the same bytes."""

from dataclasses import dataclass

import cv2
import numpy as np

from longtake.demo.scenes import MIN_VISIBLE_PIXELS, Scene, make_scene, pose, render_frame
from longtake.demo.tracker import IMAGE_SIZE
from longtake.masks import box
from longtake.streams import stream

TARGET_SIZE = 96
TRAINING_SEED = 1_000_000
"""Seeds of training scenes start here; every seed below is held out (demo videos, evaluation, tests)."""
_LONGEST_GAP = 600
_LEAST_PROMPT_PIXELS = 700


@dataclass(frozen=True)
class Stage:
    """One part of the curriculum; ranges are inclusive.

    `clips` per batch, `frames` per clip, `animals` and `occluders` per scene, `stride` in source frames
    between clip frames, `noise` of the sensor in grey levels, `followed` how many animals of a clip are tracked
    at most, `gap` probability that the prompt lies far back, `eventful` probability that a clip is chosen in which a
    followed animal leaves or meets another.
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
    eventful: float = 0.0
    detach_every: int = 0


@dataclass(frozen=True)
class Lesson:
    """A batch: B clips of T frames with N animals in all.

    `pixels` (B, T, S, S, 3) uint8; `owner` (N,) int64, the clip of each animal; `targets` (N, T, s, s) uint8,
    255 where the animal covers the cell; `visible` (N, T) int8, 1 yes, 0 no, -1 too little to say;
    `boxes` (N, 4) float32 in model pixels; `indices` T frame numbers.
    """

    pixels: np.ndarray
    owner: np.ndarray
    targets: np.ndarray
    visible: np.ndarray
    boxes: np.ndarray
    indices: list[int]


def make_lesson(seed: int, number: int, stage: Stage) -> Lesson:
    """Render batch `number` of a stage; holds one batch."""
    rng = stream(seed, f"{stage.name} {number}", "lesson")
    indices, jump = list(range(stage.frames)), 0
    if stage.frames > 2 and rng.random() < stage.gap:
        far = int(np.exp(rng.uniform(0, np.log(_LONGEST_GAP))))
        indices = [0, *range(1 + far, stage.frames + far)]
        # Half of the gaps are true absences of memory, half only pretend that the prompt is long ago.
        jump = int(rng.integers(5, 240)) if rng.random() < 0.5 else 0
    clips = [_clip(rng, stage, jump) for _ in range(stage.clips)]
    return Lesson(
        pixels=np.stack([clip[0] for clip in clips]),
        owner=np.concatenate([np.full(len(clip[3]), k, np.int64) for k, clip in enumerate(clips)]),
        targets=np.concatenate([clip[1] for clip in clips]),
        visible=np.concatenate([clip[2] for clip in clips]),
        boxes=np.concatenate([clip[3] for clip in clips]),
        indices=indices,
    )


Opening = tuple[Scene, list[int], np.ndarray]


def _clip(rng: np.random.Generator, stage: Stage, jump: int) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    opening = _opening(rng, stage, jump)
    if rng.random() < stage.eventful:
        happens = _leaves if rng.random() < 0.6 else _meets
        for _ in range(8):
            if happens(*opening):
                break
            opening = _opening(rng, stage, jump)
    return _render_clip(rng, *opening)


def _opening(rng: np.random.Generator, stage: Stage, jump: int) -> Opening:
    """A new scene, the frames of a clip of it, and the numbers of the animals to follow: well seen at first."""
    stride = int(rng.integers(stage.stride[0], stage.stride[1] + 1))
    offsets = [stride * k + (jump if k else 0) for k in range(stage.frames)]
    while True:
        warm_up = int(rng.integers(0, 200))
        scene = make_scene(
            TRAINING_SEED + int(rng.integers(0, 2**40)),
            duration_s=(warm_up + 60 + offsets[-1] + 1) / 20,
            n_animals=int(rng.integers(stage.animals[0], stage.animals[1] + 1)),
            n_occluders=int(rng.integers(stage.occluders[0], stage.occluders[1] + 1)),
            noise=float(rng.uniform(*stage.noise)),
            roaming=float(rng.uniform(0.05, 0.8)),
        )
        for start in range(warm_up, warm_up + 60, 15):
            counts = np.bincount(render_frame(scene, start).ids.ravel(), minlength=len(scene.animals) + 1)[1:]
            if counts.max() >= _LEAST_PROMPT_PIXELS:
                chosen = 1 + rng.permutation(np.nonzero(counts >= _LEAST_PROMPT_PIXELS)[0])[: stage.followed]
                return scene, [start + offset for offset in offsets], chosen


def _leaves(scene: Scene, frames: list[int], chosen: np.ndarray) -> bool:
    for number in chosen:
        animal = scene.animals[number - 1]
        places = np.array([pose(scene, number, frame).centre for frame in frames[1:]])
        outside = np.maximum(-places, places - [scene.width, scene.height]).max(axis=1)
        if (outside > 0.4 * animal.body.length).any():
            return True
    return False


def _meets(scene: Scene, frames: list[int], chosen: np.ndarray) -> bool:
    places = np.array([[animal.track.centre[frame] for animal in scene.animals] for frame in frames])
    for number in chosen:
        apart = np.hypot(*np.moveaxis(places - places[:, number - 1 : number], 2, 0))
        apart[:, number - 1] = np.inf
        if (apart[1:] < 0.1 * scene.width).any():
            return True
    return False


def _render_clip(
    rng: np.random.Generator, scene: Scene, frames: list[int], chosen: np.ndarray
) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    pixels = np.empty((len(frames), IMAGE_SIZE, IMAGE_SIZE, 3), np.uint8)
    targets = np.empty((len(chosen), len(frames), TARGET_SIZE, TARGET_SIZE), np.uint8)
    visible = np.empty((len(chosen), len(frames)), np.int8)
    boxes = np.empty((len(chosen), 4), np.float32)
    quality = int(rng.integers(55, 96)) if rng.random() < 0.6 else 0
    for t, frame in enumerate(frames):
        rendered = render_frame(scene, frame)
        pixels[t] = model_view(compress(rendered.image, quality) if quality else rendered.image)
        for k, number in enumerate(chosen):
            mask = (rendered.ids == number).astype(np.uint8)
            area = int(mask.sum())
            visible[k, t] = 1 if area >= MIN_VISIBLE_PIXELS else (0 if area == 0 else -1)
            targets[k, t] = cv2.resize(mask * 255, (TARGET_SIZE, TARGET_SIZE), interpolation=cv2.INTER_AREA)
            edges = box(mask > 0) if t == 0 else None
            if edges is not None:
                boxes[k] = _hand_drawn(rng, edges, scene)
    return pixels, targets, visible, boxes


def model_view(image: np.ndarray) -> np.ndarray:
    """A source frame (H, W, 3) uint8 as the model sees it at half scale: (S, S, 3) uint8."""
    half = cv2.resize(image, (image.shape[1] // 2, image.shape[0] // 2), interpolation=cv2.INTER_AREA)
    return cv2.resize(half, (IMAGE_SIZE, IMAGE_SIZE), interpolation=cv2.INTER_LINEAR)


def compress(image: np.ndarray, quality: int) -> np.ndarray:
    """The frame after a lossy codec, so that the tracker meets its blocks in training: same shape, uint8."""
    coded = cv2.imencode(".jpg", image, [cv2.IMWRITE_JPEG_QUALITY, quality])[1]
    return np.asarray(cv2.imdecode(coded, cv2.IMREAD_COLOR))


def _hand_drawn(rng: np.random.Generator, edges: tuple[int, int, int, int], scene: Scene) -> np.ndarray:
    """The box with a hand's error of a few percent of its sides, in model pixels."""
    x_min, y_min, x_max, y_max = edges
    sides = np.array([x_max - x_min, y_max - y_min] * 2)
    drawn = np.array(edges) + rng.normal(0, 0.03, 4) * sides
    return (drawn * IMAGE_SIZE / np.array([scene.width, scene.height] * 2)).astype(np.float32)
