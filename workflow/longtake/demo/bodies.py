"""The bodies of the demo animals: how an individual looks, and how it is drawn in a pose.

Each species has its own outline. Colour and pattern are drawn per individual and say nothing about the species.
"""

from dataclasses import dataclass

import cv2
import numpy as np

from longtake.demo.water import fixed_point

_SUBPIXEL = 4
_HUES = (
    0.0,
    14.0,
    29.0,
    55.0,
    140.0,
    162.0,
)  # OpenCV hue; the water's 85-120 is left out


@dataclass(frozen=True)
class Body:
    """One individual's looks: lengths in pixels, colours RGB, pattern positions as shares of the length."""

    form: str
    length: float
    half_width: float
    colour: tuple[int, int, int]
    mark_colour: tuple[int, int, int]
    light_colour: tuple[int, int, int]
    pattern: str
    marks: np.ndarray


@dataclass(frozen=True)
class Pose:
    """One animal at one time.

    `centre` (2,) in pixels, `heading` in radians (0 = to the right, growing clockwise as y points down),
    `phase` of the body wave in radians, `amplitude` of the wave as a share of the length, `bend` of the
    whole body (share of the length), `squeeze` of a bell in [0, 1].
    """

    centre: np.ndarray
    heading: float
    phase: float
    amplitude: float
    bend: float
    squeeze: float


def hues(rng: np.random.Generator, n: int) -> list[float]:
    """`n` hues (OpenCV, 0-180), as different from each other and from the water as the palette allows."""
    order: list[float] = []
    while len(order) < n:
        order.extend(float(_HUES[i]) for i in rng.permutation(len(_HUES)))
    return [hue + rng.uniform(-4, 4) for hue in order[:n]]


def make_body(rng: np.random.Generator, form: str, hue: float, scale: float) -> Body:
    """Draw an individual of a form ("fish", "disc", "bell" or "ribbon"); `scale` is pixels per pixel at 512 wide."""
    if form == "fish":
        length = rng.uniform(80, 115)
        half_width = length * rng.uniform(0.13, 0.17)
    elif form == "disc":
        length = rng.uniform(80, 110)
        half_width = length * rng.uniform(0.27, 0.32)
    elif form == "bell":
        length = rng.uniform(80, 110)
        half_width = length * rng.uniform(0.3, 0.38)
    else:
        length = rng.uniform(115, 140)
        half_width = rng.uniform(9, 12)
    saturation, value = rng.uniform(170, 240), rng.uniform(170, 240)
    colour = _rgb(hue, saturation, value)
    mark = _rgb(
        hue + rng.uniform(-12, 12),
        saturation * rng.uniform(0.5, 1.0),
        value * rng.uniform(0.35, 0.6),
    )
    light = _rgb(hue, saturation * 0.6, min(255.0, value * 1.15))
    pattern = str(rng.choice(["plain", "stripes", "patches"]))
    marks = rng.uniform([0.15, -0.5, 0.03], [0.8, 0.5, 0.06], (int(rng.integers(3, 7)), 3))
    return Body(form, length * scale, half_width * scale, colour, mark, light, pattern, marks)


def draw_body(body: Body, pose: Pose, image: np.ndarray, ids: np.ndarray, number: int) -> None:
    """Draw the animal over `image` (H, W, 3) uint8 and write `number` into `ids` (H, W) uint8, in place."""
    if body.form == "bell":
        _draw_bell(body, pose, image, ids, number)
    else:
        _draw_spined(body, pose, image, ids, number)


def reach(body: Body) -> float:
    """A distance in pixels from its centre beyond which the animal has no pixel."""
    return 0.75 * body.length + body.half_width


def _draw_spined(body: Body, pose: Pose, image: np.ndarray, ids: np.ndarray, number: int) -> None:
    station, middle, normal, half = _spine(body, pose)
    outline = np.concatenate([middle + normal * half, (middle - normal * half)[::-1]])
    pieces = [_to_image(outline, pose)]
    if body.form in ("fish", "disc"):
        pieces += [_to_image(fin, pose) for fin in _fins(body, middle, normal, half)]
    for piece in reversed(pieces):
        _fill(image, piece, body.colour)
        cv2.fillPoly(ids, [fixed_point(piece)], number, cv2.LINE_8, _SUBPIXEL)
    back = np.concatenate([middle + normal * half * 0.4, (middle - normal * half * 0.4)[::-1]])
    _fill(image, _to_image(back, pose), body.light_colour)
    for place, across, size in body.marks if body.pattern != "plain" else ():
        if body.pattern == "stripes":
            inside = (station > place - size) & (station < place + size)
            stripe = np.concatenate(
                [
                    (middle + normal * half)[inside],
                    (middle - normal * half)[inside][::-1],
                ]
            )
            if len(stripe) > 3:
                _fill(image, _to_image(stripe, pose), body.mark_colour)
        else:
            at = int(np.searchsorted(station, place))
            spot = middle[at] + normal[at] * half[at] * across
            _dot(
                image,
                _to_image(spot[None], pose)[0],
                0.45 * half[at, 0],
                body.mark_colour,
            )
    at = int(np.searchsorted(station, 0.12))
    for side in (-0.55, 0.55):
        eye = _to_image((middle[at] + side * normal[at] * half[at])[None], pose)[0]
        _dot(image, eye, 0.16 * body.half_width, (15, 15, 20))


def _spine(body: Body, pose: Pose) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Stations (S,), middle line (S, 2), unit normals (S, 2), half widths (S, 1), nose first, in body pixels."""
    station = np.linspace(0, 1, 36)
    if body.form == "fish":
        growth, waves = 0.08 + 0.92 * station**2, 0.9
        half = np.sin(np.pi * np.clip(station, 0.0, 1.0) ** 0.62) ** 0.8 * (1 - 0.35 * station) + 0.14 * station
    elif body.form == "disc":
        growth, waves = 0.05 + 0.95 * station**3, 0.7
        half = np.sin(np.pi * np.clip(station / 0.84, 0.0, 1.0) ** 0.8) ** 0.75 + 0.12 * station
    else:
        growth, waves = 0.35 + 0.65 * station, 1.25
        half = np.minimum(1.0, (station / 0.1) ** 0.6) * (1 - 0.75 * station**3)
    lateral = pose.amplitude * growth * np.sin(2 * np.pi * waves * station - pose.phase)
    lateral += pose.bend * (station - 0.35) ** 2
    middle = body.length * np.stack([0.5 - station, lateral], axis=1)
    tangent = np.gradient(middle, axis=0)
    tangent /= np.linalg.norm(tangent, axis=1, keepdims=True)
    normal = np.stack([-tangent[:, 1], tangent[:, 0]], axis=1)
    return station, middle, normal, body.half_width * half[:, None]


def _fins(body: Body, middle: np.ndarray, normal: np.ndarray, half: np.ndarray) -> list[np.ndarray]:
    """The tail fin and the two side fins as polygons in body pixels."""
    back = middle[-1] - middle[-4]
    back /= np.linalg.norm(back)
    side, base = normal[-1], middle[-2]
    # A darter's tail is deeply forked, a glider's is a rounded fan.
    spread, notch = (0.16, 0.08) if body.form == "fish" else (0.13, 0.21)
    tail = [
        base + side * half[-1],
        base + back * 0.18 * body.length + side * spread * body.length,
        base + back * notch * body.length,
        base + back * 0.18 * body.length - side * spread * body.length,
        base - side * half[-1],
    ]
    fins = [np.array(tail)]
    for sign in (-1, 1):
        root, rear = (
            middle[12] + sign * normal[12] * half[12] * 0.8,
            middle[17] + sign * normal[17] * half[17] * 0.8,
        )
        tip = middle[19] + sign * normal[19] * (half[19] + 0.07 * body.length)
        fins.append(np.array([root, tip, rear]))
    return fins


def _draw_bell(body: Body, pose: Pose, image: np.ndarray, ids: np.ndarray, number: int) -> None:
    radius = body.half_width * (1 - 0.28 * pose.squeeze)
    dome = 0.46 * body.length * (1 + 0.22 * pose.squeeze)
    angle = np.linspace(-np.pi / 2, np.pi / 2, 25)
    arch = np.stack([dome * np.cos(angle), radius * np.sin(angle)], axis=1)
    rim = np.linspace(1, -1, 13)
    skirt = np.stack([-0.04 * body.length * (1 + np.cos(3 * np.pi * rim)), radius * rim], axis=1)
    bell = _to_image(np.concatenate([arch, skirt]), pose)
    thick = max(2, round(0.065 * body.length))
    run = np.linspace(0, 1, 10)
    for root in (-0.66, -0.22, 0.22, 0.66):
        swing = 0.09 * body.length * run * np.sin(2 * np.pi * run - pose.phase + 2 * root)
        hang = -(0.5 - 0.08 * pose.squeeze) * body.length * run
        strand = _to_image(np.stack([hang, root * radius * (1 - 0.25 * run) + swing], axis=1), pose)
        cv2.polylines(
            image,
            [fixed_point(strand)],
            False,
            body.mark_colour,
            thick,
            cv2.LINE_AA,
            _SUBPIXEL,
        )
        cv2.polylines(ids, [fixed_point(strand)], False, number, thick, cv2.LINE_8, _SUBPIXEL)
    _fill(image, bell, body.colour)
    cv2.fillPoly(ids, [fixed_point(bell)], number, cv2.LINE_8, _SUBPIXEL)
    inner = np.concatenate([arch * 0.62, skirt * [1, 0.62]])
    _fill(image, _to_image(inner, pose), body.light_colour)
    for place, across, size in body.marks if body.pattern != "plain" else ():
        if body.pattern == "stripes":
            line = np.array([[0.08, across * 1.2], [0.75, across]]) * [dome, radius]
            cv2.polylines(
                image,
                [fixed_point(_to_image(line, pose))],
                False,
                body.mark_colour,
                2,
                cv2.LINE_AA,
                _SUBPIXEL,
            )
        else:
            spot = np.array([[place * 0.8 * dome, across * radius]])
            _dot(
                image,
                _to_image(spot, pose)[0],
                1.3 * size * body.length,
                body.mark_colour,
            )


def _to_image(points: np.ndarray, pose: Pose) -> np.ndarray:
    cos, sin = np.cos(pose.heading), np.sin(pose.heading)
    return points @ np.array([[cos, sin], [-sin, cos]]) + pose.centre


def _fill(image: np.ndarray, points: np.ndarray, colour: tuple[int, int, int]) -> None:
    cv2.fillPoly(image, [fixed_point(points)], colour, cv2.LINE_AA, _SUBPIXEL)


def _dot(image: np.ndarray, centre: np.ndarray, radius: float, colour: tuple[int, int, int]) -> None:
    scale = 1 << _SUBPIXEL
    at = (round(float(centre[0]) * scale), round(float(centre[1]) * scale))
    cv2.circle(image, at, max(scale, int(radius * scale)), colour, -1, cv2.LINE_AA, _SUBPIXEL)


def _rgb(hue: float, saturation: float, value: float) -> tuple[int, int, int]:
    pixel = np.array([[[hue % 180, min(saturation, 255), min(value, 255)]]], dtype=np.uint8)
    red, green, blue = (int(channel) for channel in cv2.cvtColor(pixel, cv2.COLOR_HSV2RGB)[0, 0])
    return red, green, blue
