"""Augmentations as data: what is done to a clip is drawn once, written down, and can be replayed.

One set of parameters applies to every frame of a clip alike; redrawn for each frame they would be flicker, which no
video has.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from typing import Any

import cv2
import numpy as np

from longtake.errors import ConfigError, nearest
from longtake.streams import stream

OPERATIONS = (
    "rotate",
    "affine",
    "flip",
    "jitter",
    "blur",
    "noise",
    "cutout",
    "elastic",
    "reverse",
    "drop",
    "duplicate",
)
Parameters = dict[str, Any]


def draw(settings: Mapping[str, Mapping[str, Any]], seed: int, video: str, number: int, frames: int) -> Parameters:
    """Draw the parameters of augmentation `number` of a video: plain values, only of what is done.

    Parameters
    ----------
    settings
        By operation: ``p``, its probability, and its ranges (`longtake.training.options.Augment`).
    number
        From 1; each has a random stream of its own, (seed, video, number), whatever else is drawn.
    frames
        Of the clip.
    """
    random = stream(seed, video, f"augmentation {number}")
    drawn: Parameters = {}
    for name in OPERATIONS:
        # One uniform number an operation, used or not, so that switching one off leaves the others as they were.
        own = np.random.Generator(np.random.Philox(key=int(random.integers(2**63))))
        options = settings.get(name) or {}
        if own.random() < float(options.get("p", 0)):
            drawn[name] = _DRAWS[name](own, options, frames)
    return drawn


def apply(pixels: np.ndarray, parameters: Parameters, noise_key: tuple[int, str, str]) -> np.ndarray:
    """Apply `parameters` to frames (T, h, w, 3) uint8; the same shape and dtype.

    Order: time, geometry, elastic, colour, blur, noise, cutout. `noise_key` (seed, video, purpose) names the stream of
    the noise of single pixels, which is no parameter that one could write down.
    """
    frames = pixels[_order(parameters, len(pixels))]
    moved = _remapped(frames, parameters)
    coloured = _coloured(moved, parameters.get("jitter"))
    if "blur" in parameters:
        coloured = np.stack([cv2.GaussianBlur(frame, (0, 0), parameters["blur"]) for frame in coloured])
    if "noise" in parameters:
        # Before normalisation and in grey levels, so that clipping is that of a camera.
        grain = stream(*noise_key).standard_normal(coloured.shape, dtype=np.float32) * parameters["noise"]
        coloured = np.clip(np.rint(coloured + grain), 0, 255).astype(np.uint8)
    return _cut_out(coloured, parameters.get("cutout"))


def as_text(parameters: Parameters) -> str:
    """The parameters as JSON with sorted keys, as the table of clips holds them."""
    return json.dumps(parameters, sort_keys=True)


def from_text(text: str) -> Parameters:
    """The opposite of `as_text`; ConfigError if it is none."""
    try:
        found = json.loads(text or "{}")
    except ValueError as error:
        raise ConfigError(f"{text[:80]!r} are no parameters of an augmentation ({error}).") from None
    unknown = sorted(set(found) - set(OPERATIONS)) if isinstance(found, dict) else [str(found)[:40]]
    if unknown:
        raise ConfigError(f"{unknown[0]!r} is no augmentation.{nearest(unknown[0], OPERATIONS)}")
    return dict(found)


def _uniform(random: np.random.Generator, low: float, high: float) -> float:
    return round(float(random.uniform(low, high)), 6)


def _around(random: np.random.Generator, most: float) -> float:
    return _uniform(random, -most, most)


def _draw_affine(random: np.random.Generator, options: Mapping[str, Any], _: int) -> Parameters:
    low, high = options.get("scale", (0.9, 1.1))
    return {
        "x": _around(random, options.get("translate", 0.1)),
        "y": _around(random, options.get("translate", 0.1)),
        "scale": _uniform(random, low, high),
        "shear": _around(random, options.get("shear", 5.0)),
    }


def _draw_jitter(random: np.random.Generator, options: Mapping[str, Any], _: int) -> Parameters:
    return {
        "brightness": _around(random, options.get("brightness", 0.2)),
        "contrast": round(1 + _around(random, options.get("contrast", 0.2)), 6),
        "saturation": round(1 + _around(random, options.get("saturation", 0.2)), 6),
    }


def _draw_cutout(random: np.random.Generator, options: Mapping[str, Any], _: int) -> Parameters:
    side = _uniform(random, 0.0, options.get("size", 0.25))
    return {"x": _uniform(random, 0, 1 - side), "y": _uniform(random, 0, 1 - side), "size": side}


def _draw_elastic(random: np.random.Generator, options: Mapping[str, Any], _: int) -> Parameters:
    return {
        "strength": _uniform(random, 0, options.get("strength", 0.03)),
        "scale": options.get("scale", 0.1),
        "key": int(random.integers(2**31)),
    }


def _draw_places(random: np.random.Generator, options: Mapping[str, Any], frames: int) -> list[int]:
    most = max(1, int(options.get("share", 0.2) * frames))
    return sorted(int(place) for place in random.choice(np.arange(1, frames), min(most, frames - 1), replace=False))


_Draw = Callable[[np.random.Generator, Mapping[str, Any], int], Any]
_DRAWS: dict[str, _Draw] = {
    "rotate": lambda random, options, _: _around(random, options.get("degrees", 15.0)),
    "affine": _draw_affine,
    "flip": lambda *_: True,
    "jitter": _draw_jitter,
    "blur": lambda random, options, _: _uniform(random, 0.3, options.get("sigma", 1.0)),
    "noise": lambda random, options, _: _uniform(random, 0.0, options.get("sigma", 8.0)),
    "cutout": _draw_cutout,
    "elastic": _draw_elastic,
    "reverse": lambda *_: True,
    "drop": _draw_places,
    "duplicate": _draw_places,
}


def _order(parameters: Parameters, frames: int) -> np.ndarray:
    """Which source frame stands at each place of the clip.

    A dropped frame is replaced by the one before it, as a player shows it; a duplicated one is shown twice, and what
    follows moves back. Both stay within the source's frames.
    """
    order = np.arange(frames)
    for place in parameters.get("drop", ()):
        order[place] = order[place - 1]
    for place in parameters.get("duplicate", ()):
        order = np.insert(order, place, order[place])[:frames]
    return order[::-1].copy() if parameters.get("reverse") else order


def _remapped(frames: np.ndarray, parameters: Parameters) -> np.ndarray:
    """All geometry in one interpolation; what comes from outside the picture is its reflection."""
    if not {"rotate", "affine", "flip", "elastic"} & set(parameters):
        return frames
    height, width = frames.shape[1:3]
    inverse = np.linalg.inv(_matrix(parameters, height, width))
    x, y = np.meshgrid(np.arange(width, dtype=np.float32), np.arange(height, dtype=np.float32))
    if "elastic" in parameters:
        x, y = (grid + shift for grid, shift in zip((x, y), _bends(parameters["elastic"], height, width), strict=True))
    from_x = (inverse[0, 0] * x + inverse[0, 1] * y + inverse[0, 2]).astype(np.float32)
    from_y = (inverse[1, 0] * x + inverse[1, 1] * y + inverse[1, 2]).astype(np.float32)
    return np.stack(
        [cv2.remap(frame, from_x, from_y, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REFLECT_101) for frame in frames]
    )


def _matrix(parameters: Parameters, height: int, width: int) -> np.ndarray:
    """Source to target, (3, 3) in pixels, around the centre of the picture: flip, shear, scale, rotate, translate."""
    affine = parameters.get("affine", {})
    centre = np.array([[1, 0, (width - 1) / 2], [0, 1, (height - 1) / 2], [0, 0, 1.0]])
    angle = np.deg2rad(parameters.get("rotate", 0.0))
    turn = np.array([[np.cos(angle), -np.sin(angle), 0], [np.sin(angle), np.cos(angle), 0], [0, 0, 1.0]])
    shear = np.array([[1, np.tan(np.deg2rad(affine.get("shear", 0.0))), 0], [0, 1, 0], [0, 0, 1.0]])
    scale = affine.get("scale", 1.0)
    shape = np.diag([-scale if parameters.get("flip") else scale, scale, 1.0])
    shift = np.array([[1, 0, affine.get("x", 0.0) * width], [0, 1, affine.get("y", 0.0) * height], [0, 0, 1.0]])
    return shift @ centre @ turn @ shear @ shape @ np.linalg.inv(centre)


def _bends(elastic: Parameters, height: int, width: int) -> list[np.ndarray]:
    """Smooth displacements in x and y (Simard et al. 2003), (height, width) float32 pixels."""
    random = np.random.Generator(np.random.Philox(key=elastic["key"]))
    side = max(height, width)
    sigma = elastic["scale"] * side
    bends = []
    for _ in range(2):
        field = cv2.GaussianBlur(random.standard_normal((height, width)).astype(np.float32), (0, 0), sigma)
        bends.append(field * (elastic["strength"] * side / max(float(np.abs(field).max()), 1e-12)))
    return bends


def _coloured(frames: np.ndarray, jitter: Parameters | None) -> np.ndarray:
    if not jitter:
        return frames
    values = frames.astype(np.float32)
    grey = (values @ np.array([0.299, 0.587, 0.114], np.float32))[..., None]
    values = grey + (values - grey) * jitter["saturation"]
    # The mean over the whole clip, so that contrast is the same in every frame.
    mean = float(grey.mean())
    values = (values - mean) * jitter["contrast"] + mean + 255 * jitter["brightness"]
    return np.clip(np.rint(values), 0, 255).astype(np.uint8)


def _cut_out(frames: np.ndarray, cutout: Parameters | None) -> np.ndarray:
    if not cutout:
        return frames
    height, width = frames.shape[1:3]
    top, left = int(cutout["y"] * height), int(cutout["x"] * width)
    bottom, right = top + round(cutout["size"] * height), left + round(cutout["size"] * width)
    covered = frames.copy()
    covered[:, top:bottom, left:right] = 0
    return covered
