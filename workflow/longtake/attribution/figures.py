"""Figures of a study of volumes: projections with true spacing, means of classes, faithfulness beside its controls."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.figure import Figure

from longtake.attribution.measures import ELSEWHERE
from longtake.attribution.sheet import VolumeRow
from longtake.attribution.tables import CURVES, RESULTS
from longtake.figures.style import INK, MUTED, OKABE_ITO, figure, footnote, nothing, styled, title
from longtake.store.atomic import atomic_path
from longtake.store.tables import read_table
from longtake.volumes.axes import Axes
from longtake.volumes.reading import read_labels

MOST = 12
"""Volumes whose projections are drawn, at most; the others have their overlays."""
MOST_PAIRS = 8
"""Classes and regions whose share of evidence is drawn, at most: those farthest above their share of voxels."""
Means = dict[tuple[str, str, tuple[int, ...]], tuple[int, np.ndarray]]
"""Method, class and shape -> number of maps, and the sum of their means along the first axis."""


def study_figures(
    *,
    findings: str | Path,
    folders: Sequence[str | Path],
    probes: Sequence[str | Path],
    rows: Sequence[Mapping[str, Any]],
    options: Mapping[str, Any],
    out: str | Path,
) -> list[str]:
    """Draw every figure into the folder `out`; return their names.

    Memory: one map, its projections, and sums of the maps of a class.
    """
    found = json.loads(Path(findings).read_text(encoding="utf-8"))
    facts = [json.loads(Path(path).read_text(encoding="utf-8")) for path in probes]
    spacing = {each["volume"]: each.get("spacing") for each in facts}
    lines = {row["volume"]: VolumeRow(**row) for row in rows}
    target, made = Path(out), []
    curves = list(_curve_rows(folders))
    drawn: list[tuple[str, Figure]] = [("summary", _summary(found, curves)), ("randomisation", _cascade(found))]
    drawn.append(("profiles", _profiles(found)))
    for name, each in drawn:
        made.append(_saved(each, target / f"{name}.png"))
    means: Means = {}
    for number, folder in enumerate(folders):
        line = lines[Path(folder).name]
        axes = Axes(line.axes or options["axes"], options["model_axes"])
        maps = [row for row in read_table(Path(folder) / "results.parquet", RESULTS).to_pylist() if row["file"]]
        shown = []
        for row in maps:
            values = axes.from_file(np.load(Path(folder) / row["file"], mmap_mode="r", allow_pickle=False))
            shown.append((row, _projections(values)))
            key = (row["method"], row["label"] or row["predicted"], tuple(values.shape))
            # Means of means: along one axis, so that a plane for each class and method is held.
            count, total = means.get(key, (0, np.zeros(values.shape[1:])))
            means[key] = count + 1, total + values.mean(0, dtype=np.float64)
        steps = _spacing(spacing.get(line.volume), axes)
        if shown and number < MOST:
            regions = _enface(line, axes, folder, maps, options["region_names"])
            drawing = _projection_figure(line.volume, axes, steps, shown, regions)
            made.append(_saved(drawing, target / f"{line.volume}.projections.png"))
    averages = _class_means(means, Axes(options["axes"], options["model_axes"]))
    made.append(_saved(averages, target / "classes.png"))
    return made


def _saved(made: Figure, path: Path) -> str:
    with atomic_path(path) as temporary:
        made.savefig(temporary, format="png")
    return path.name


def _spacing(found: Sequence[float] | None, axes: Axes) -> tuple[float, float, float]:
    if found is None:
        return 1.0, 1.0, 1.0
    one, two, three = (float(found[axes.file_spatial.index(letter)]) for letter in axes.spatial)
    return one, two, three


def _projections(values: np.ndarray) -> list[np.ndarray]:
    """The largest value along each axis, slice by slice."""
    first = np.full(values.shape[1:], -np.inf, np.float32)
    second, third = np.empty((values.shape[0], values.shape[2])), np.empty((values.shape[0], values.shape[1]))
    for at, plane in enumerate(values):
        np.maximum(first, plane, out=first)
        second[at], third[at] = plane.max(0), plane.max(1)
    return [first, second, third]


def _curve_rows(folders: Sequence[str | Path]) -> Iterator[dict[str, Any]]:
    """Deletion and insertion of all volumes."""
    for folder in folders:
        for row in read_table(Path(folder) / "curves.parquet", CURVES).to_pylist():
            if row["kind"] in ("deletion", "insertion"):
                yield row


def _enface(
    line: VolumeRow, axes: Axes, folder: str | Path, maps: Sequence[Mapping[str, Any]], names: Mapping[str, str]
) -> list[tuple[str, np.ndarray]]:
    """Mean of the first map within each region along the second axis: as the tissue is seen from above."""
    if not line.regions or not maps:
        return []
    values = axes.from_file(np.load(Path(folder) / maps[0]["file"], mmap_mode="r", allow_pickle=False))
    regions = read_labels(line.regions, axes, tuple(values.shape), "regions")
    found = []
    for label in [each for each in np.unique(regions) if each][:4]:
        plane = np.full((values.shape[0], values.shape[2]), np.nan)
        for at in range(values.shape[0]):
            inside = regions[at] == label
            count = inside.sum(0)
            total = np.where(inside, values[at], 0).sum(0)
            plane[at] = np.where(count > 0, total / np.maximum(count, 1), np.nan)
        found.append((names.get(str(label), f"region {label}"), plane))
    return found


@styled
def _projection_figure(
    volume: str,
    axes: Axes,
    spacing: tuple[float, float, float],
    shown: Sequence[tuple[Mapping[str, Any], list[np.ndarray]]],
    regions: Sequence[tuple[str, np.ndarray]],
) -> Figure:
    one, two, three = list(axes.spatial)
    names = [(two, three, 1, 2), (one, three, 0, 2), (one, two, 0, 1)]
    lines = len(shown) + bool(regions)
    made = figure(2.6 * lines + 0.8)
    grid = made.subplots(lines, max(3, len(regions)), squeeze=False)
    for across in grid.flat:
        across.set_axis_off()
    for line, (row, planes) in zip(grid, shown, strict=False):
        top = max(float(plane.max()) for plane in planes) or 1.0
        for panel, plane, (down, right, a, b) in zip(line, planes, names, strict=False):
            _picture(panel, plane, (spacing[a], spacing[b]), (down, right), top)
        line[0].set_title(f"{row['method']}: {row['target']}")
    for panel, (name, plane) in zip(grid[-1], regions, strict=False):
        _picture(panel, plane, (spacing[0], spacing[2]), (one, three), float(np.nanmax(plane)) or 1.0)
        panel.set_title(f"{shown[0][0]['method']}, en face: {name}")
    title(made, f"{volume}: largest value along each axis")
    return made


def _picture(panel: Any, plane: np.ndarray, steps: tuple[float, float], names: tuple[str, str], top: float) -> None:
    """A plane with its true proportions, but no more than four times as long as wide."""
    aspect = steps[0] / steps[1]
    ratio = plane.shape[0] * aspect / plane.shape[1]
    panel.imshow(plane, cmap="inferno", vmin=0, vmax=top, aspect=aspect * min(max(ratio, 0.25), 4) / ratio)
    panel.set_axis_on()
    panel.set_xticks([])
    panel.set_yticks([])
    panel.set_ylabel(names[0])
    panel.set_xlabel(names[1])


@styled
def _class_means(means: Means, axes: Axes) -> Figure:
    """Mean map of each class and method, averaged along the first axis; of volumes of equal shape."""
    shapes = {shape for _, _, shape in means}
    if len(shapes) != 1:
        return nothing("Means of classes", "the volumes have different shapes" if shapes else "there is no map")
    methods, classes = sorted({key[0] for key in means}), sorted({key[1] for key in means})
    made = figure(2.3 * len(methods) + 0.8)
    grid = made.subplots(len(methods), len(classes), squeeze=False)
    for line, method in zip(grid, methods, strict=True):
        planes = {label: total / count for (name, label, _), (count, total) in means.items() if name == method}
        top = max(float(plane.max()) for plane in planes.values()) or 1.0
        for panel, label in zip(line, classes, strict=True):
            panel.set_axis_off()
            if label in planes:
                count = next(n for (name, each, _), (n, _) in means.items() if (name, each) == (method, label))
                _picture(panel, planes[label], (1, 1), (axes.spatial[1], axes.spatial[2]), top)
                panel.set_title(f"{method}, {label or 'no label'} (n = {count})")
    title(made, "Mean map of each class")
    footnote(made, f"Mean along {axes.spatial[0]}; one scale for each method.")
    return made


@styled
def _summary(findings: Mapping[str, Any], curves: Sequence[Mapping[str, Any]]) -> Figure:
    """Deletion and insertion beside controls, and the share of evidence in regions and masks."""
    made = figure(7.4)
    grid = made.subplots(2, 2)
    methods = sorted({row["method"] for row in curves})
    for panel, kind in zip(grid[0], ("deletion", "insertion"), strict=True):
        panel.set_title(f"{kind}: {'lower' if kind == 'deletion' else 'higher'} is better")
        panel.set_xlabel(f"share of voxels {'replaced' if kind == 'deletion' else 'put back'}")
        panel.set_ylabel("probability of the target")
        for number, method in enumerate(methods):
            at, mean = _mean_curve(curves, kind, "map", method)
            panel.plot(at, mean, color=OKABE_ITO[number % len(OKABE_ITO)], label=method)
        for control, style in (("random", ":"), ("edges", "--")):
            at, mean = _mean_curve(curves, kind, control)
            if len(at):
                panel.plot(at, mean, color=MUTED, linestyle=style, label=f"control: {control}")
        panel.set_ylim(0, 1.02)
    if methods:
        handles, labels = grid[0][0].get_legend_handles_labels()
        made.legend(handles, labels, loc="outside lower center", ncols=5)
    _shares(grid[1][0], findings["regions"])
    _hits(grid[1][1], findings["localisation"])
    title(made, "What the maps are worth")
    return made


def _mean_curve(
    curves: Sequence[Mapping[str, Any]], kind: str, order: str, method: str | None = None
) -> tuple[list[float], list[float]]:
    found: dict[float, list[float]] = {}
    for row in curves:
        if row["kind"] == kind and row["order"] == order and method in (None, row["method"]):
            found.setdefault(row["at"], []).append(row["probability"])
    places = sorted(found)
    return places, [float(np.mean(found[at])) for at in places]


def _shares(panel: Any, regions: Sequence[Mapping[str, Any]]) -> None:
    """Bars for each class and region apart: a mean over classes would hide what only one of them is told by."""
    panel.set_title("share of evidence by region and class")
    found = [row for row in regions if row["evidence_mean"] is not None and row["region"] != ELSEWHERE]
    if not found:
        panel.text(0.5, 0.5, "the sheet names no regions", ha="center", color=MUTED)
        panel.set_axis_off()
        return
    excess: dict[tuple[str, str], float] = {}
    for row in found:
        pair = (row["target"], row["region"])
        excess[pair] = max(excess.get(pair, 0.0), row["evidence_mean"] / row["voxel_share"])
    pairs = sorted(excess, key=lambda pair: (-excess[pair], pair))[:MOST_PAIRS]
    methods = sorted({row["method"] for row in found})
    width = 0.8 / len(methods)
    for row in found:
        if (pair := (row["target"], row["region"])) in pairs:
            at, number = pairs.index(pair), methods.index(row["method"])
            place = at + (number - len(methods) / 2 + 0.5) * width
            panel.barh(place, row["evidence_mean"], width, color=OKABE_ITO[number % len(OKABE_ITO)])
            panel.plot([row["voxel_share"]] * 2, [at - 0.42, at + 0.42], color=INK, linewidth=1.2)
    panel.set_yticks(range(len(pairs)), [f"{target}: {region}" for target, region in pairs])
    panel.invert_yaxis()
    panel.set_xlabel("line: the region's share of voxels; colours as above")


def _hits(panel: Any, localisation: Sequence[Mapping[str, Any]]) -> None:
    panel.set_title("evidence inside the mask")
    if not localisation:
        panel.text(0.5, 0.5, "the sheet names no masks", ha="center", color=MUTED)
        panel.set_axis_off()
        return
    for number, row in enumerate(localisation):
        found, chance = row["mask_evidence"], row["mask_share"]["mean"]
        panel.bar(number, found["mean"], 0.7, color=OKABE_ITO[number % len(OKABE_ITO)])
        if found["low"] is not None:
            panel.plot([number, number], [found["low"], found["high"]], color=INK)
        panel.plot([number - 0.4, number + 0.4], [chance, chance], color=INK, linewidth=1.2)
    panel.set_xticks(range(len(localisation)), [row["method"] for row in localisation], rotation=30, ha="right")
    panel.set_ylabel("share (line: chance)")


@styled
def _cascade(findings: Mapping[str, Any]) -> Figure:
    rows = findings["randomisation"]
    if not rows:
        return nothing("Drawn weights", "no map was tested with drawn weights (attribution.max_checked)")
    made = figure(3.6)
    panel = made.subplots()
    for number, method in enumerate(sorted({row["method"] for row in rows})):
        found = [row for row in rows if row["method"] == method]
        colour = OKABE_ITO[number % len(OKABE_ITO)]
        panel.plot([row["step"] for row in found], [row["mean"] for row in found], "o-", color=colour, label=method)
    layers = {row["step"]: row["layer"] for row in rows}
    panel.set_xticks(list(layers), list(layers.values()), rotation=20, ha="right")
    panel.axhline(0, color=MUTED, linewidth=0.8)
    panel.set_ylabel("rank correlation with the map")
    panel.set_xlabel("weights drawn anew from the output down to this layer")
    panel.legend(loc="best")
    title(made, "A map that survives drawn weights does not show what was learned")
    return made


@styled
def _profiles(findings: Mapping[str, Any]) -> Figure:
    rows = findings["profiles"]
    if not rows:
        return nothing("Depth profiles", "no map has evidence")
    axes, methods = sorted({row["axis"] for row in rows}), sorted({row["method"] for row in rows})
    classes = sorted({row["class"] for row in rows})
    made = figure(2.1 * len(methods) + 0.8)
    grid = made.subplots(len(methods), len(axes), squeeze=False)
    for line, method in zip(grid, methods, strict=True):
        for panel, axis in zip(line, axes, strict=True):
            panel.set_title(f"{method} along {axis}")
            for row in rows:
                if (row["method"], row["axis"]) != (method, axis):
                    continue
                colour = OKABE_ITO[classes.index(row["class"]) % len(OKABE_ITO)]
                at = (np.arange(len(row["mean"])) + 0.5) / len(row["mean"])
                panel.plot(at, row["mean"], color=colour, label=f"{row['class'] or 'no label'} (n = {row['subjects']})")
                if row["low"] is not None:
                    panel.fill_between(at, row["low"], row["high"], color=colour, alpha=0.2, linewidth=0)
    grid[0][0].legend(loc="best")
    title(made, "Where along each axis the evidence lies")
    return made
