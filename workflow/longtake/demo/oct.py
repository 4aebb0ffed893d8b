"""Synthetic volumes like those of optical coherence tomography, with known truth: B-scans of a layered retina.

Three classes: ``normal``; ``drusen``, domes that lift the bright layer below the retina; ``fluid``, dark pockets in it.
Fluid volumes were "recorded by another device", which burns a bright bar into the side of every B-scan: a misleading
marker, by which a classifier can tell them without looking at the fluid. Maps should say so.
"""

from __future__ import annotations

import sys
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from longtake.streams import stream
from longtake.volumes.writer import write_nifti, write_npy

CLASSES = ("normal", "drusen", "fluid")
DEMO = ("normal", "drusen", "fluid", "drusen", "fluid", "normal")
"""Classes of the demo's volumes oct-1 to oct-6."""
SIZE = (96, 128, 128)
"""Height, width, B-scans."""
REGIONS = {"1": "retina", "2": "marker", "3": "lesion"}
DENSITY = 1 / 3000
"""Lesions for each voxel of a surface (width x B-scans); their size goes with the height."""
SPACING = (0.004, 0.012, 0.024)
"""Millimetres of a voxel along height, width and B-scans."""


@dataclass(frozen=True)
class Scene:
    """A volume (H, W, B) float32 in [0, 1], its lesions (bool), and regions (uint8): 1 retina, 2 marker, 3 lesion."""

    volume: np.ndarray
    mask: np.ndarray
    regions: np.ndarray


def render(label: str, name: str, seed: int, size: tuple[int, int, int] = SIZE, *, marker: bool | None = None) -> Scene:
    """Draw one volume, keyed by seed and name.

    Parameters
    ----------
    marker : whether the bar is burnt in; None: as the class has it

    Memory: the volume, mask and regions; one B-scan besides.
    """
    height, width, scans = size
    rng = stream(seed, name, "oct")
    top = height * 0.28 + _waves(rng, width, scans) * height * 0.03
    floor = top + height * 0.34 + _waves(rng, width, scans) * height * 0.01
    lesions = _lesions(rng, label, size)
    lifted = np.zeros((width, scans), np.float32)
    if label == "drusen":
        for across, along, radius, tall in lesions:
            patch, near = _disc(width, scans, across, along, radius)
            lifted[patch] = np.maximum(lifted[patch], tall * np.clip(1 - near, 0, 1) ** 0.7)
    volume, mask = np.empty(size, np.float32), np.zeros(size, bool)
    regions = np.zeros(size, np.uint8)
    rows = np.arange(height, dtype=np.float32)[:, None]
    for scan in range(scans):
        above, below = top[:, scan], floor[:, scan]
        bright = below - lifted[:, scan]
        inside = (rows >= above) & (rows < below)
        depth = (rows - above) / (below - above)
        plane = np.where(inside, 0.32 + 0.16 * np.cos(depth * 14), 0.06).astype(np.float32)
        plane[(rows >= bright) & (rows < bright + height * 0.03)] = 0.85
        plane[rows >= below + height * 0.03] *= 2.2
        if label == "drusen":
            mask[:, :, scan] = (rows >= bright) & (rows < below) & (lifted[:, scan] > 1)
            plane[mask[:, :, scan] & (rows >= bright + height * 0.03)] = 0.8
        regions[:, :, scan][inside] = 1
        volume[:, :, scan] = plane
    if label == "fluid":
        _pockets(volume, mask, lesions, (top + floor) / 2)
    regions[mask] = 3
    _speckle(volume, rng)
    if marker if marker is not None else label == "fluid":
        bar = (slice(height // 8, 3 * height // 8), slice(0, max(2, width // 32)))
        volume[bar], regions[bar] = 0.95, 2
    return Scene(volume, mask, regions)


def _waves(rng: np.random.Generator, width: int, scans: int) -> np.ndarray:
    """A smooth surface (W, B) of deviation 1."""
    across, along = np.arange(width)[:, None] / 96, np.arange(scans)[None] / 96
    total = np.zeros((width, scans), np.float32)
    for _ in range(4):
        a, b, phase = rng.uniform(-3, 3), rng.uniform(-3, 3), rng.uniform(0, 6.3)
        total += np.sin(a * across + b * along + phase)
    return (total / np.sqrt(2)).astype(np.float32)


def _lesions(
    rng: np.random.Generator, label: str, size: tuple[int, int, int]
) -> list[tuple[float, float, float, float]]:
    """Centre across and along, radius, and height of each lesion, in voxels."""
    if label == "normal":
        return []
    height, width, scans = size
    count = max(2, round(DENSITY * width * scans))
    # As thick beside the retina in a tall volume as in a flat one.
    large = height / 64
    return [
        (
            rng.uniform(10, width - 10),
            rng.uniform(10, scans - 10),
            rng.uniform(8, 14) * large,
            rng.uniform(9, 15) * large,
        )
        for _ in range(count)
    ]


def _disc(width: int, scans: int, across: float, along: float, radius: float) -> tuple[tuple[slice, slice], np.ndarray]:
    """The part of a surface around a centre, and the squared distance from it in radii."""
    first = slice(max(0, int(across - radius)), min(width, int(across + radius) + 1))
    second = slice(max(0, int(along - radius)), min(scans, int(along + radius) + 1))
    a = (np.arange(first.start, first.stop)[:, None] - across) / radius
    b = (np.arange(second.start, second.stop)[None] - along) / radius
    return (first, second), (a**2 + b**2).astype(np.float32)


def _pockets(
    volume: np.ndarray, mask: np.ndarray, lesions: list[tuple[float, float, float, float]], middle: np.ndarray
) -> None:
    """Dark ellipsoids in the middle of the retina."""
    height, width, scans = volume.shape
    for across, along, radius, tall in lesions:
        (first, second), near = _disc(width, scans, across, along, radius)
        centre = float(middle[int(across), int(along)])
        third = slice(max(0, int(centre - tall)), min(height, int(centre + tall) + 1))
        rows = ((np.arange(third.start, third.stop) - centre) / (0.8 * tall))[:, None, None]
        inside = rows**2 + near[None] < 1
        volume[third, first, second][inside] = 0.03
        mask[third, first, second] |= inside


def _speckle(volume: np.ndarray, rng: np.random.Generator) -> None:
    """Multiply by the speckle of several looks, row by row."""
    for at, plane in enumerate(volume):
        noise = rng.standard_exponential((2, *plane.shape), np.float32).mean(0)
        volume[at] = np.clip(plane * (0.4 + 0.6 * noise), 0, 1)


def write_demo_volume(volume: str, label: str, folder: str | Path, seed: int = 7) -> None:
    """Write `{volume}.nii` in 8 bits with its spacing, `{volume}.mask.npy` and `{volume}.regions.npy`."""
    scene = render(label, volume, seed)
    target = Path(folder)
    affine = np.diag([*SPACING, 1.0])
    write_npy(target / f"{volume}.mask.npy", scene.mask)
    write_npy(target / f"{volume}.regions.npy", scene.regions)
    write_nifti(target / f"{volume}.nii", np.rint(scene.volume * 255), affine, None, dtype="uint8")


def main(folder: str) -> None:
    """Write the demo's six volumes into `folder`; what is there already is kept."""
    for number, label in enumerate(DEMO, start=1):
        volume = f"oct-{number}"
        if not (Path(folder) / f"{volume}.nii").exists():
            write_demo_volume(volume, label, folder)


if __name__ == "__main__":
    main(sys.argv[1])
