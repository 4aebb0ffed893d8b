"""How the demo animals swim: gaits in closed form, paths by steering to drawn way points.

Speeds are in pixels per second at 512 pixels of width; a scene of another width scales them. A darter
and a glider share the distribution of their *mean* speed: only the rhythm differs.
"""

from dataclasses import dataclass

import numpy as np

_MEAN_SPEED = {
    "darter": (38, 58),
    "glider": (38, 58),
    "jelly": (26, 38),
    "eel": (34, 52),
}  # px per second
_AGILITY = {
    "darter": 1.5,
    "glider": 1.5,
    "jelly": 0.9,
    "eel": 1.1,
}  # fastest turn, rad per second


@dataclass(frozen=True)
class Track:
    """One animal over the whole scene, one row per frame, float64.

    `centre` (N, 2) in pixels before the camera's drift; `heading` (N,) rad; `phase` (N,) rad; `amplitude`,
    `bend` (N,) shares of the body's length; `squeeze` (N,) in [0, 1]; `speed` (N,) px per second.
    """

    centre: np.ndarray
    heading: np.ndarray
    phase: np.ndarray
    amplitude: np.ndarray
    bend: np.ndarray
    squeeze: np.ndarray
    speed: np.ndarray


@dataclass(frozen=True)
class Gait:
    """A rhythm over time, (N,) float64 each: relative speed (mean near 1), wave phase, amplitude, squeeze."""

    pace: np.ndarray
    phase: np.ndarray
    amplitude: np.ndarray
    squeeze: np.ndarray


def gait(rng: np.random.Generator, species: str, time_s: np.ndarray) -> Gait:
    """The rhythm of one individual at the times `time_s` (N,) in seconds, evenly spaced."""
    step = time_s[1] - time_s[0] if len(time_s) > 1 else 0.05
    zero, one = np.zeros_like(time_s), np.ones_like(time_s)
    start, size = rng.uniform(0, 2 * np.pi), rng.uniform(0.9, 1.1)
    if species == "darter":
        cycle = 2 * np.pi * rng.uniform(1.0, 1.5) * time_s + start
        burst = np.maximum(0.0, np.sin(cycle)) ** 1.2
        phase = rng.uniform(0, 6.28) + np.cumsum(2 * np.pi * (0.2 + 4.2 * burst) * step)
        return Gait(0.15 + 2.9 * burst, phase, size * (0.01 + 0.12 * burst), zero)
    if species == "glider":
        pace = one + 0.05 * np.sin(2 * np.pi * 0.1 * time_s + start)
        phase = start + 2 * np.pi * rng.uniform(1.6, 2.2) * time_s
        return Gait(pace, phase, size * 0.065 * one, zero)
    if species == "jelly":
        turn = (rng.uniform(0.8, 1.1) * time_s + start) % 1.0
        # A quick squeeze in the first third of the cycle, a slow opening in the rest.
        squeeze = np.where(
            turn < 0.3,
            np.sin(0.5 * np.pi * turn / 0.3),
            np.cos(0.5 * np.pi * (turn - 0.3) / 0.7),
        )
        push = np.exp(-(((turn - 0.25) / 0.16) ** 2))
        return Gait(0.3 + 2.5 * push, start + 2 * np.pi * 0.8 * time_s, 0.08 * one, squeeze)
    phase = start + 2 * np.pi * rng.uniform(0.9, 1.3) * time_s
    return Gait(one, phase, size * 0.085 * one, zero)


def swim(
    rng: np.random.Generator,
    species: str,
    time_s: np.ndarray,
    start: np.ndarray,
    *,
    width: int,
    height: int,
    roaming: float,
) -> Track:
    """Steer one animal from `start` (2,) px through drawn way points, some of them outside the frame.

    `roaming` is the share of way points anywhere in the frame; the others lie in the animal's own waters,
    around the column where it starts.
    """
    scale = width / 512
    rhythm = gait(rng, species, time_s)
    speed = rng.uniform(*_MEAN_SPEED[species]) * scale * rhythm.pace
    agility = _AGILITY[species]
    step = time_s[1] - time_s[0] if len(time_s) > 1 else 0.05
    n = len(time_s)
    centre, heading, turning = np.empty((n, 2)), np.empty(n), np.empty(n)
    waters = _Waters(width, height, float(np.clip(start[0], 0.12 * width, 0.88 * width)), roaming)
    at, goal = start.astype(float), _way_point(rng, species, start, waters)
    angle = float(np.arctan2(*(goal - at)[::-1])) + rng.normal(0, 0.3)
    turn, since = 0.0, 0.0
    for frame in range(n):
        centre[frame], heading[frame], turning[frame] = at, angle, turn
        away = goal - at
        since += step
        if np.hypot(*away) < 35 * scale or since > 9.0:
            goal, since = _way_point(rng, species, at, waters), 0.0
            away = goal - at
        wanted = (np.arctan2(away[1], away[0]) - angle + np.pi) % (2 * np.pi) - np.pi
        turn += (np.clip(1.6 * wanted, -agility, agility) - turn) * min(1.0, step / 0.3)
        angle += turn * step
        at = at + speed[frame] * step * np.array([np.cos(angle), np.sin(angle)])
    bend = 0.16 * turning if species != "jelly" else np.zeros_like(turning)
    return Track(centre, heading, rhythm.phase, rhythm.amplitude, bend, rhythm.squeeze, speed)


@dataclass(frozen=True)
class _Waters:
    """The frame in pixels, the column an animal calls its own, and how often it goes elsewhere."""

    width: int
    height: int
    home: float
    roaming: float


def _way_point(rng: np.random.Generator, species: str, at: np.ndarray, waters: _Waters) -> np.ndarray:
    """The next place to swim to; one in ten lies outside the frame, so that animals leave and come back."""
    width, height = waters.width, waters.height
    inside = rng.uniform([0.12 * width, 0.18 * height], [0.88 * width, 0.82 * height])
    if rng.random() > waters.roaming:
        inside[0] = np.clip(waters.home + rng.uniform(-0.09, 0.09) * width, 0.12 * width, 0.88 * width)
    if species == "jelly":
        low = at[1] < height / 2
        inside[0] = np.clip(inside[0], at[0] - 0.14 * width, at[0] + 0.14 * width)
        inside[1] = height * (rng.uniform(0.72, 0.9) if low else rng.uniform(0.1, 0.28))
    is_outside = not (0 <= at[0] < width and 0 <= at[1] < height)
    if is_outside or rng.random() > 0.1:
        return inside
    beyond = 0.2 * width
    border = "vertical"
    if species != "jelly" and rng.random() < 0.8:
        border = "left" if waters.home < width / 2 else "right"
    if border == "vertical":
        return np.array([inside[0], -beyond if at[1] < height / 2 else height + beyond])
    return np.array([-beyond if border == "left" else width + beyond, inside[1]])
