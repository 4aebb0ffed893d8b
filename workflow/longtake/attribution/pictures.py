"""Slices with their map over them, on one scale for the whole study; and maps in the formats of the field."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from longtake.attribution.sheet import VolumeRow
from longtake.attribution.tables import RESULTS
from longtake.store.atomic import atomic_path
from longtake.store.tables import read_table
from longtake.volumes.axes import Axes
from longtake.volumes.reading import read_volume
from longtake.volumes.writer import write_nifti, write_rgb_tiff, write_tiff, write_zarr

LARGEST = 640
"""Edge of a slice in a picture, in pixels, at most."""
ENDINGS = {"nifti": "nii.gz", "tiff": "tif", "zarr": "zarr"}


def write_pictures(
    *,
    row: Mapping[str, Any],
    folder: str | Path,
    facts: Mapping[str, Any],
    scale: Mapping[str, float],
    options: Mapping[str, Any],
    export: str | Path,
    figures: str | Path,
) -> dict[str, Any]:
    """Write overlays of every map of a volume as TIFF and PNG, and exports of the maps in `options["formats"]`.

    Parameters
    ----------
    folder : of the volume's maps and tables
    facts : what the probe found: affine and spacing
    scale : method -> value at which colours end, one for the study
    export, figures : folders; files are `{volume}.{map}.nii.gz`, `.overlay.tif`, and `{volume}.{map}.png`

    Memory: the volume, and one map.
    """
    line = VolumeRow(**row)
    axes = Axes(line.axes or options["axes"], options["model_axes"])
    rows = [each for each in read_table(Path(folder) / "results.parquet", RESULTS).to_pylist() if each["file"]]
    made: list[str] = []
    if not rows:
        return {"pictures": made}
    volume = read_volume(line.path, axes, variable=line.variable or options["variable"])[0]
    low, high = (float(each) for each in np.percentile(volume[:: max(1, len(volume) // 32)], (1, 99.5)))
    spacing = _in_model_order(facts.get("spacing"), axes)
    for each in rows:
        name = f"{line.volume}.{each['file'][:-4]}"
        values = np.load(Path(folder) / each["file"], mmap_mode="r", allow_pickle=False)
        for kind in options["formats"]:
            _export(Path(export) / f"{name}.{ENDINGS[kind]}", np.asarray(values), kind, facts)
        seen = axes.from_file(values)
        pages = list(
            _pages(volume, seen, window=(low, high), top=scale[each["method"]], options=options, spacing=spacing)
        )
        write_rgb_tiff(Path(export) / f"{name}.overlay.tif", pages)
        _write_png(Path(figures) / f"{name}.png", _sheet(pages))
        made.append(f"{name}.png")
    return {"pictures": made}


def _in_model_order(spacing: Sequence[float] | None, axes: Axes) -> list[float]:
    """Spacing of the three axes in the model's order; 1 where the file says none."""
    if spacing is None:
        return [1.0, 1.0, 1.0]
    return [float(spacing[axes.file_spatial.index(letter)]) for letter in axes.spatial]


def shown_slices(values: np.ndarray, number: int) -> list[int]:
    """Which slices are shown: evenly through the volume, and the one with the most evidence instead of its nearest."""
    depth = values.shape[0]
    even = [int((at + 0.5) * depth / number) for at in range(min(number, depth))]
    best = int(np.argmax([float(np.maximum(plane, 0).sum()) for plane in values]))
    even[int(np.argmin([abs(at - best) for at in even]))] = best
    return sorted(set(even))


def _pages(
    volume: np.ndarray,
    values: np.ndarray,
    *,
    window: tuple[float, float],
    top: float,
    options: Mapping[str, Any],
    spacing: Sequence[float],
) -> Iterator[np.ndarray]:
    """Each shown slice beside itself with the map over it, (H, W, 3) uint8."""
    for at in shown_slices(values, options["overlay_slices"]):
        grey = _grey(volume[at], window)
        over = overlay(grey, np.asarray(values[at]), top, options["overlay_alpha"])
        yield np.concatenate([_fitted(each, spacing) for each in (np.repeat(grey[..., None], 3, 2), over)], axis=1)


def _grey(plane: np.ndarray, window: tuple[float, float]) -> np.ndarray:
    low, high = window
    return (np.clip((plane - low) / max(high - low, 1e-12), 0, 1) * 255).astype(np.uint8)


def overlay(grey: np.ndarray, values: np.ndarray, top: float, alpha: float) -> np.ndarray:
    """A slice (h, w) uint8 with a map over it, as opaque as the map is strong, up to `alpha`; (h, w, 3) uint8.

    Values below 0 (of integrated gradients) are blue, those above from dark red to yellow.
    """
    from matplotlib import colormaps

    strength = np.clip(np.abs(values) / top, 0, 1) if top > 0 else np.zeros_like(values)
    warm, cold = (colormaps[name](0.25 + 0.7 * strength)[..., :3] for name in ("hot", "Blues"))
    colour = np.where((values >= 0)[..., None], warm, cold) * 255
    # Weak values are see-through: what is nothing must not tint the whole slice.
    opacity = (alpha * np.sqrt(strength))[..., None]
    return (grey[..., None] * (1 - opacity) + colour * opacity).astype(np.uint8)


def _fitted(picture: np.ndarray, spacing: Sequence[float]) -> np.ndarray:
    """A slice with square pixels, at most `LARGEST` a side, by repeating or leaving out pixels."""
    height, width = picture.shape[0] * spacing[1], picture.shape[1] * spacing[2]
    factor = min(LARGEST / max(height, width), max(1.0, 256 / max(height, width)) / min(spacing[1:]))
    rows = np.arange(max(1, round(height * factor))) * picture.shape[0] // max(1, round(height * factor))
    columns = np.arange(max(1, round(width * factor))) * picture.shape[1] // max(1, round(width * factor))
    return picture[np.ix_(rows, columns)]


def _sheet(pages: Sequence[np.ndarray], across: int = 2) -> np.ndarray:
    """Pages in rows of `across`, with a white line between."""
    height, width = pages[0].shape[:2]
    lines = -(-len(pages) // across)
    whole = np.full((lines * (height + 4), across * (width + 4), 3), 255, np.uint8)
    for number, page in enumerate(pages):
        top, left = number // across * (height + 4), number % across * (width + 4)
        whole[top : top + height, left : left + width] = page
    return whole


def _write_png(path: Path, picture: np.ndarray) -> None:
    from matplotlib.image import imsave

    with atomic_path(path) as temporary:
        imsave(temporary, picture, format="png")


def _export(path: Path, values: np.ndarray, kind: str, facts: Mapping[str, Any]) -> None:
    if kind == "nifti":
        affine = facts.get("affine")
        write_nifti(path, values, None if affine is None else np.array(affine), facts.get("spacing"))
    elif kind == "tiff":
        write_tiff(path, values)
    else:
        write_zarr(path, values)
