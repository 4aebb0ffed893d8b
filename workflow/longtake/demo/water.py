"""The water of a demo scene: bed, light, sensor noise, and what stands in front of the animals.

Everything is drawn once from a seeded stream and kept as small arrays; a frame is then a closed-form
function of its time, so any frame can be rendered alone.
"""

from dataclasses import dataclass

import cv2
import numpy as np

_MARGIN = 0.09  # bed beyond the frame on each side, as a share of the width: the room for camera drift
_SUBPIXEL = 4  # fractional bits of the coordinates that cv2 draws with


@dataclass(frozen=True)
class Occluder:
    """A plant or a rock nearer to the camera than any animal.

    `outline` is (P, 2) float32 in pixels of the undrifted frame; `sway` is (P,) float32, the amplitude in
    pixels of each point's sideways motion; `period_s` and `phase` are the sway's period and phase.
    """

    outline: np.ndarray
    sway: np.ndarray
    colour: tuple[int, int, int]
    period_s: float
    phase: float


@dataclass(frozen=True)
class Water:
    """The fixed parts of the picture.

    `bed` is (H + 2 margin, W + 2 margin, 3) uint8; `light` is (2, h, w) uint8, two tileable patterns;
    `noise` is (H + 64, W + 64, 3) uint8 around 128; `drift` holds per axis amplitude (px), period (s), phase.
    """

    width: int
    height: int
    margin: int
    bed: np.ndarray
    light: np.ndarray
    noise: np.ndarray
    drift: np.ndarray
    occluders: tuple[Occluder, ...]
    light_strength: float


def make_water(rng: np.random.Generator, width: int, height: int, *, noise: float, n_occluders: int) -> Water:
    """Draw the water of one scene.

    Parameters
    ----------
    rng
        The scene's stream for its water.
    width, height
        Frame size in pixels.
    noise
        Standard deviation of the sensor noise in grey levels.
    n_occluders
        How many plants and rocks stand in front.
    """
    margin = int(np.ceil(_MARGIN * width))
    bed = _bed(rng, width + 2 * margin, height + 2 * margin)
    light = np.stack([_tileable(rng, height // 4, width // 4, cells) for cells in (5, 8)])
    grain = rng.normal(128, noise, (height + 64, width + 64, 3))
    drift = np.array(
        [
            [
                rng.uniform(0.02, 0.05) * width,
                rng.uniform(18, 34),
                rng.uniform(0, 2 * np.pi),
            ],
            [
                rng.uniform(0.01, 0.03) * width,
                rng.uniform(14, 28),
                rng.uniform(0, 2 * np.pi),
            ],
        ]
    )
    occluders = tuple(_occluder(rng, width, height) for _ in range(n_occluders))
    return Water(
        width=width,
        height=height,
        margin=margin,
        bed=bed,
        light=light,
        noise=np.clip(grain, 0, 255).astype(np.uint8),
        drift=drift,
        occluders=occluders,
        light_strength=float(rng.uniform(0.10, 0.22)),
    )


def camera(water: Water, time_s: float) -> np.ndarray:
    """Shift in pixels (x, y) of the whole picture at `time_s`: (2,) float64."""
    amplitude, period, phase = water.drift.T
    return amplitude * np.sin(2 * np.pi * time_s / period + phase)


def draw_bed(water: Water, time_s: float) -> np.ndarray:
    """The bed as the drifting camera sees it: (H, W, 3) uint8."""
    shift = camera(water, time_s) - water.margin
    matrix = np.array([[1, 0, shift[0]], [0, 1, shift[1]]])
    return cv2.warpAffine(water.bed, matrix, (water.width, water.height), flags=cv2.INTER_LINEAR)


def draw_occluders(water: Water, time_s: float, image: np.ndarray, ids: np.ndarray) -> None:
    """Draw plants and rocks over `image` (H, W, 3) and clear `ids` (H, W) beneath them, in place."""
    shift = camera(water, time_s)
    for occluder in water.occluders:
        sway = occluder.sway * np.sin(2 * np.pi * time_s / occluder.period_s + occluder.phase)
        points = occluder.outline + shift
        points[:, 0] += sway
        fixed = fixed_point(points)
        cv2.fillPoly(image, [fixed], occluder.colour, cv2.LINE_AA, _SUBPIXEL)
        cv2.fillPoly(ids, [fixed], 0, cv2.LINE_8, _SUBPIXEL)


def draw_light(water: Water, time_s: float, frame: int, image: np.ndarray) -> np.ndarray:
    """Caustics and this frame's sensor noise over `image`: (H, W, 3) uint8."""
    first = np.roll(water.light[0], (int(2 * time_s), int(5 * time_s)), (0, 1))
    second = np.roll(water.light[1], (int(3 * time_s), -int(4 * time_s)), (0, 1))
    caustic = np.minimum(first, second).astype(np.float32) / 255
    gain = 128 * (1 + water.light_strength * (2.5 * caustic - 0.8))
    gain = cv2.resize(np.clip(gain, 0, 255).astype(np.uint8), (water.width, water.height))
    lit = cv2.multiply(image, cv2.merge([gain, gain, gain]), scale=1 / 128)
    # Odd multipliers walk through the 64 x 64 offsets without a short cycle: fresh grain on each frame.
    top, left = (frame * 29) % 64, (frame * 37 + frame // 64) % 64
    grain = water.noise[top : top + water.height, left : left + water.width]
    return cv2.addWeighted(lit, 1.0, grain, 1.0, -128.0)


def fixed_point(points: np.ndarray) -> np.ndarray:
    """Points (P, 2) in pixels as the (P, 1, 2) int32 fixed-point form that cv2 draws with sub-pixel accuracy."""
    return np.round(points * (1 << _SUBPIXEL)).astype(np.int32).reshape(-1, 1, 2)


def _bed(rng: np.random.Generator, width: int, height: int) -> np.ndarray:
    top = _hsv(rng.uniform(92, 108), rng.uniform(90, 150), rng.uniform(125, 165))
    deep = _hsv(rng.uniform(92, 114), rng.uniform(110, 170), rng.uniform(70, 105))
    ramp = np.linspace(0, 1, height)[:, None, None]
    picture = np.broadcast_to((1 - ramp) * top + ramp * deep, (height, width, 3)).copy()
    for cells, strength in ((6, 14.0), (18, 9.0), (60, 6.0)):
        coarse = rng.normal(0, 1, (max(2, cells * height // width), cells)).astype(np.float32)
        picture += strength * cv2.resize(coarse, (width, height), interpolation=cv2.INTER_CUBIC)[..., None]
    picture = np.clip(picture, 0, 255).astype(np.uint8)
    for _ in range(int(rng.integers(20, 45))):
        centre = (
            int(rng.uniform(0, width)),
            int(height * (1 - rng.uniform(0, 0.35) ** 1.5)),
        )
        axes = (
            int(rng.uniform(0.006, 0.025) * width) + 1,
            int(rng.uniform(0.004, 0.014) * width) + 1,
        )
        shade = picture[min(centre[1], height - 1), centre[0]].astype(float) * rng.uniform(0.65, 1.25)
        cv2.ellipse(
            picture,
            centre,
            axes,
            rng.uniform(-20, 20),
            0,
            360,
            np.clip(shade, 0, 255).tolist(),
            -1,
            cv2.LINE_AA,
        )
    return picture


def _tileable(rng: np.random.Generator, height: int, width: int, cells: int) -> np.ndarray:
    """A smooth periodic pattern with bright ridges: (height, width) uint8."""
    y, x = np.mgrid[0:height, 0:width]
    total = np.zeros((height, width))
    for _ in range(10):
        ky, kx = rng.integers(-cells, cells + 1, 2)
        total += np.sin(2 * np.pi * (kx * x / width + ky * y / height) + rng.uniform(0, 2 * np.pi))
    ridge = np.exp(-np.abs(total) / 1.5)
    return (255 * ridge / ridge.max()).astype(np.uint8)


def _occluder(rng: np.random.Generator, width: int, height: int) -> Occluder:
    foot = np.array([rng.uniform(0.05, 0.95) * width, height * 1.12])
    if rng.random() < 0.65:
        rise, breadth = (
            rng.uniform(0.45, 0.8) * height,
            rng.uniform(0.014, 0.024) * width,
        )
        step = np.linspace(0, 1, 14)
        curve = rng.uniform(-0.05, 0.05) * width * step**2 + 0.008 * width * np.sin(9 * step)
        half = breadth * (1 - 0.7 * step**3)
        middle = np.stack([foot[0] + curve, foot[1] - rise * step], axis=1)
        outline = np.concatenate([middle - [1, 0] * half[:, None], (middle + [1, 0] * half[:, None])[::-1]])
        sway = np.concatenate([step, step[::-1]]) ** 2 * rng.uniform(0.008, 0.02) * width
        colour = _hsv(rng.uniform(35, 55), rng.uniform(110, 160), rng.uniform(40, 70))
    else:
        angle = np.linspace(0, 2 * np.pi, 18, endpoint=False)
        radius = rng.uniform(0.06, 0.1) * width * rng.uniform(0.8, 1.15, angle.size)
        centre = foot - [0, 0.1 * height]
        outline = centre + np.stack([radius * np.cos(angle), 0.8 * radius * np.sin(angle)], axis=1)
        sway = np.zeros(angle.size)
        colour = _hsv(rng.uniform(5, 30), rng.uniform(20, 60), rng.uniform(45, 80))
    red, green, blue = (int(value) for value in colour)
    return Occluder(
        outline=outline.astype(np.float32),
        sway=sway.astype(np.float32),
        colour=(red, green, blue),
        period_s=float(rng.uniform(4, 7)),
        phase=float(rng.uniform(0, 2 * np.pi)),
    )


def _hsv(hue: float, saturation: float, value: float) -> np.ndarray:
    """A colour from OpenCV's HSV (hue 0-180) as (3,) float RGB."""
    pixel = np.array([[[hue % 180, saturation, value]]], dtype=np.uint8)
    return cv2.cvtColor(pixel, cv2.COLOR_HSV2RGB)[0, 0].astype(float)
