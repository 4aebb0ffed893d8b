"""Synthetic pond scenes whose truth is known: masks, identities, species and motion.

A scene is made once (tracks, bodies, bed: a few megabytes whatever its length) and any frame of it is
then rendered alone, in any order, always to the same bytes.

Four species, each with its own outline and its own way to swim: a slender **darter** bursts and coasts; a deep
**glider** swims steadily; a **jelly** pulses up and down; an **eel** swims by a travelling wave.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import cv2
import numpy as np

from longtake.demo.bodies import Body, Pose, draw_body, hues, make_body
from longtake.demo.swimming import Track, swim
from longtake.demo.water import (
    Water,
    camera,
    draw_bed,
    draw_light,
    draw_occluders,
    make_water,
)
from longtake.streams import stream

SPECIES: tuple[str, ...] = ("darter", "glider", "jelly", "eel")
MIN_VISIBLE_PIXELS = 64
"""Fewer pixels than this (at 512 wide) of an animal, and the truth says it is not visible."""
_FORM = {"darter": "fish", "glider": "disc", "jelly": "bell", "eel": "ribbon"}


@dataclass(frozen=True)
class Animal:
    """One individual: `id` unique in its scene, `species` one of SPECIES, its body and its track."""

    id: str
    species: str
    body: Body
    track: Track


@dataclass(frozen=True)
class Scene:
    """A whole scene; `animals` from far to near. Animal k (counted from 1) is `ids == k` in a frame."""

    seed: int
    width: int
    height: int
    fps: int
    n_frames: int
    animals: tuple[Animal, ...]
    water: Water


@dataclass(frozen=True)
class Rendered:
    """A frame: `image` (H, W, 3) uint8 RGB, `ids` (H, W) uint8, 0 = water, k = visible pixels of animal k."""

    image: np.ndarray
    ids: np.ndarray


@dataclass(frozen=True)
class Motion:
    """True motion from the frame before, in pixels per frame.

    `velocity` (K, 2) of each animal's centre as seen in the picture (the camera's drift included),
    `camera` (2,) of the picture's fixed parts. Both are zero on frame 0.
    """

    velocity: np.ndarray
    camera: np.ndarray


def make_scene(
    seed: int,
    *,
    duration_s: float,
    n_animals: int,
    width: int = 512,
    height: int = 288,
    fps: int = 20,
    species: Sequence[str] | None = None,
    noise: float = 2.5,
    n_occluders: int = 2,
    roaming: float = 0.1,
) -> Scene:
    """Make a scene from its seed.

    Parameters
    ----------
    seed
        Names the scene: the same seed and arguments give the same bytes.
    duration_s
        Length in seconds; the scene has ``round(duration_s * fps)`` frames.
    n_animals
        How many animals, at most 8.
    species
        The species of each animal; drawn at random when not given.
    noise
        Standard deviation of the sensor noise in grey levels.
    n_occluders
        How many plants and rocks stand in front of the animals.
    roaming
        How much of its time an animal spends outside its own waters, in [0, 1]: the more, the more they cross.

    Raises
    ------
    ValueError
        For a species that is not in `SPECIES`, a count that does not match, or no frame.
    """
    n_frames = round(duration_s * fps)
    rng = stream(seed, "scene", "animals")
    names = tuple(species) if species is not None else tuple(str(s) for s in rng.choice(SPECIES, n_animals))
    if len(names) != n_animals or not 1 <= n_animals <= 8 or n_frames < 1:
        raise ValueError(
            f"a scene needs 1 to 8 animals with one species each and a frame: {n_animals=}, {names=}, {n_frames=}"
        )
    unknown = [name for name in names if name not in SPECIES]
    if unknown:
        raise ValueError(f"unknown species {unknown[0]!r}: a demo scene knows {', '.join(SPECIES)}")
    water = make_water(
        stream(seed, "scene", "water"),
        width,
        height,
        noise=noise,
        n_occluders=n_occluders,
    )
    time_s = np.arange(n_frames) / fps
    places = _places(rng, n_animals, width, height)
    animals = []
    for number, (name, hue) in enumerate(zip(names, hues(rng, n_animals), strict=True), start=1):
        body = make_body(rng, _FORM[name], hue, width / 512)
        steering = stream(seed, f"animal {number}", "swim")
        track = swim(steering, name, time_s, places[number - 1], width=width, height=height, roaming=roaming)
        animals.append(Animal(f"{name}-{number}", name, body, track))
    return Scene(seed, width, height, fps, n_frames, tuple(animals), water)


def render_frame(scene: Scene, frame: int) -> Rendered:
    """Render frame `frame` alone, deterministically.

    Raises
    ------
    IndexError
        If the scene has no such frame.
    """
    if not 0 <= frame < scene.n_frames:
        raise IndexError(f"frame {frame} of a scene with {scene.n_frames} frames")
    time_s = frame / scene.fps
    image = draw_bed(scene.water, time_s)
    ids = np.zeros((scene.height, scene.width), np.uint8)
    for number, animal in enumerate(scene.animals, start=1):
        draw_body(animal.body, pose(scene, number, frame), image, ids, number)
    draw_occluders(scene.water, time_s, image, ids)
    image = draw_light(scene.water, time_s, frame, cv2.GaussianBlur(image, (3, 3), 0.6))
    return Rendered(image, ids)


def pose(scene: Scene, number: int, frame: int) -> Pose:
    """The pose of animal `number` (from 1) in the picture of `frame`, the camera's drift included."""
    track = scene.animals[number - 1].track
    return Pose(
        centre=track.centre[frame] + camera(scene.water, frame / scene.fps),
        heading=float(track.heading[frame]),
        phase=float(track.phase[frame]),
        amplitude=float(track.amplitude[frame]),
        bend=float(track.bend[frame]),
        squeeze=float(track.squeeze[frame]),
    )


def true_motion(scene: Scene, frame: int) -> Motion:
    """The true motion between frame ``frame - 1`` and `frame`."""
    if frame == 0:
        return Motion(np.zeros((len(scene.animals), 2)), np.zeros(2))
    drift = camera(scene.water, frame / scene.fps) - camera(scene.water, (frame - 1) / scene.fps)
    own = [animal.track.centre[frame] - animal.track.centre[frame - 1] for animal in scene.animals]
    return Motion(np.stack(own) + drift, drift)


def is_visible(scene: Scene, ids: np.ndarray, number: int) -> bool:
    """Whether enough of animal `number` is seen in `ids` to speak of it as visible."""
    return int(np.count_nonzero(ids == number)) >= MIN_VISIBLE_PIXELS * (scene.width / 512) ** 2


def _places(rng: np.random.Generator, n: int, width: int, height: int) -> np.ndarray:
    """Start places (n, 2) px, apart from each other; one animal in four starts outside and swims in."""
    columns = (rng.permutation(n) + rng.uniform(0.3, 0.7, n)) / n
    places = np.stack([width * (0.1 + 0.8 * columns), height * rng.uniform(0.25, 0.75, n)], axis=1)
    for k in range(1, n):
        if rng.random() < 0.25:
            places[k, 0] = -0.15 * width if places[k, 0] < width / 2 else 1.15 * width
    return places
