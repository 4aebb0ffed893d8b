"""Temporal importance: clip by clip as a heatmap, and against motion."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from itertools import groupby
from operator import itemgetter
from typing import Any, TypeAlias

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MultipleLocator
from numpy.typing import NDArray

from longtake.figures import style
from longtake.figures.style import INK, MUTED, Look, shorten
from longtake.status import Status

Rows = Sequence[Mapping[str, Any]]
ClipKey: TypeAlias = tuple[str, str, str, int, int]
"""Label, object, video, window and clip."""
CURVE_COLUMNS = (
    "video", "window", "object", "label", "clip", "offset", "time_s", "magnitude", "motion_object", "motion_region",
    "motion_frame",
)  # fmt: skip
"""What these figures read of ``CURVES``."""
MOST_ROWS = 200
MOST_LABELS = 36
MOST_POINTS = 6000


@style.styled
def heatmap(words: str, curves: Rows, *, total: int = 0, why_empty: str = "no clip was analysed") -> Figure:
    """Temporal importance of every clip, and the motion in it below, frame by frame.

    Importance is divided by the clip's own mean, and all clips share one colour scale: nothing is stretched
    to fill it. More than ``MOST_ROWS`` clips are thinned evenly, and the title says so.

    Parameters
    ----------
    words
        What the clips are of, for the title.
    curves
        Rows of ``CURVES``.
    total
        How many clips there are, where `curves` are those of some.
    """
    heading = f"Temporal importance: {shorten(words, 70)}"
    clips = _clips(curves)
    if not clips:
        return style.nothing(heading, why_empty)
    total = max(total, len(clips))
    keys = order_of_clips({key: _first(rows) for key, rows in clips.items()}, MOST_ROWS)
    if len(keys) < total:
        heading += f" ({len(keys)} of {total} clips)"
    importance = np.array(_ragged([relative(_column(clips[key], "magnitude")) for key in keys]))
    motion = np.array(_ragged([motion_of(clips[key]) for key in keys]))
    row_inches = 0.2 if len(keys) <= MOST_LABELS else 0.05
    panel = max(1.5, row_inches * len(keys))
    made = style.figure(2 * panel + 1.7)
    style.title(made, heading)
    upper, lower = made.subplots(2, 1, sharex=True)
    names = [_row_name(key, clips[key]) for key in keys]
    both: dict[str, Any] = {"keys": keys, "names": names}
    _panel(made, upper, importance, **both, unit="Importance / clip mean", colors="cividis", least_top=2.0)
    _panel(made, lower, motion, **both, unit="Motion (px per frame)", colors="magma")
    lower.set_xlabel("Frame of the clip")
    for axes, name in ((upper, "Importance of each frame for the class score"), (lower, "Motion")):
        axes.set_title(name)
    return made


def clip_key(row: Mapping[str, Any]) -> ClipKey:
    """What tells the clip of a row of ``CURVES`` from all others, in the order in which a heatmap shows them."""
    return row["label"] or "", row["object"], row["video"], row["window"], row["clip"]


def order_of_clips(first: Mapping[ClipKey, float], most: int) -> list[ClipKey]:
    """Sort clips by label, object and when they begin (`first`, in seconds); of more than `most`, take them evenly."""
    keys = sorted(first, key=lambda key: (key[0], key[1], first[key], key))
    if len(keys) <= most:
        return keys
    return [keys[i] for i in np.linspace(0, len(keys) - 1, most).round().astype(int)]


def _clips(curves: Iterable[Mapping[str, Any]]) -> dict[ClipKey, list[Mapping[str, Any]]]:
    found: dict[ClipKey, list[Mapping[str, Any]]] = {}
    for row in curves:
        found.setdefault(clip_key(row), []).append(row)
    for rows in found.values():
        rows.sort(key=lambda row: row["offset"])
    return found


def _row_name(key: tuple[Any, ...], rows: Sequence[Mapping[str, Any]]) -> str:
    return f"{shorten(key[0], 18)} · {shorten(key[1], 16)} · {style.clock(_first(rows))}"


def _first(rows: Sequence[Mapping[str, Any]]) -> float:
    return float(rows[0]["time_s"])


def _column(rows: Sequence[Mapping[str, Any]], name: str) -> NDArray[np.float64]:
    return np.array([np.nan if row.get(name) is None else row[name] for row in rows], dtype=np.float64)


def relative(values: NDArray[np.float64]) -> NDArray[np.float64]:
    """Divide a curve by its mean over known values; NaN where that is not positive."""
    known = values[np.isfinite(values)]
    mean = known.mean() if known.size else 0.0
    return values / mean if mean > 0 else np.full_like(values, np.nan)


def motion_of(rows: Sequence[Mapping[str, Any]]) -> NDArray[np.float64]:
    """Return a clip's motion: the animal's if known on every frame but the first, else the crop's, else the frame's."""
    series = [_column(rows, name) for name in ("motion_object", "motion_region", "motion_frame")]
    return next((motion for motion in series if np.isfinite(motion[1:]).all()), series[-1])


def _ragged(rows: Sequence[NDArray[np.float64]]) -> list[NDArray[np.float64]]:
    longest = max(row.size for row in rows)
    return [np.concatenate([row, np.full(longest - row.size, np.nan)]) for row in rows]


def _panel(
    made: Figure, axes: Axes, values: NDArray[np.float64], *, keys: Sequence[tuple[Any, ...]], names: Sequence[str],
    unit: str, colors: str, least_top: float = 1e-9,
) -> None:  # fmt: skip
    known = values[np.isfinite(values)]
    top = float(np.quantile(known, 0.995)) if known.size else 1.0
    top = max(top, least_top)
    axes.set_facecolor("#E4E7EB")
    image = axes.imshow(values, aspect="auto", interpolation="nearest", cmap=colors, vmin=0.0, vmax=top)
    beyond = bool(known.size and known.max() > top)
    bar = made.colorbar(image, ax=axes, pad=0.01, fraction=0.04, extend="max" if beyond else "neither")
    bar.set_label(unit)
    bar.outline.set_visible(False)
    if len(keys) <= MOST_LABELS:
        axes.set_yticks(range(len(keys)), names)
    else:
        labels = [key[0] for key in keys]
        starts = [labels.index(name) for name in dict.fromkeys(labels)]
        ends = [*starts[1:], len(labels)]
        middles = [(start + end - 1) / 2 for start, end in zip(starts, ends, strict=True)]
        axes.set_yticks(middles, [shorten(name, 22) for name in dict.fromkeys(labels)])
        for start in starts[1:]:
            axes.axhline(start - 0.5, color="white", linewidth=1.2)
    axes.tick_params(length=0)
    axes.spines[:].set_visible(False)


@style.styled
def correlation(
    words: str,
    curves: Iterable[Mapping[str, Any]],
    clips: Rows,
    known: Mapping[str, Look],
    *,
    species: Rows = (),
    means: Mapping[str, Sequence[float]] | None = None,
    why_empty: str = "no clip was analysed",
) -> Figure:
    """Importance against motion of every frame, and how strongly they go together per clip, video and
    species.

    Parameters
    ----------
    curves, clips
        Rows of ``CURVES`` and ``CLIPS``; curves one clip after the other, of which one is held at a time.
    known
        The looks of the study's species.
    species
        Rows of ``SPECIES``; those of ``pearson_animal``, else ``pearson_crop``, give each species' mean and interval.
    means
        Species -> the mean r of each video, where `clips` are only some of them.
    """
    heading = f"Importance against motion: {shorten(words, 70)}"
    used = [row for row in clips if row["status"] != Status.FAILED]
    if not used:
        return style.nothing(heading, why_empty)
    means = _means(used) if means is None else means
    names = sorted({row["label"] for row in used} | set(means))
    made = style.figure(max(4.2, 1.6 + 0.62 * len(names)))
    style.title(made, heading)
    left, right = made.subplots(1, 2, width_ratios=[1.0, 1.15])
    _scatter(left, curves, known)
    # The animal's motion where most videos have it: later rows replace earlier ones.
    sources = [row for row in species if row["measure"] in ("pearson_animal", "pearson_crop")]
    summary = {row["species"]: row for row in sorted(sources, key=lambda row: row["n_videos"])}
    _strips(right, names, used, known, means=means, summary=summary)
    made.legend(handles=style.species_handles(names, known), loc="outside lower left", ncols=4)
    return made


def _means(clips: Rows) -> dict[str, list[float]]:
    """Mean r of each video, by label."""
    videos: dict[tuple[str, str], list[float]] = {}
    for row in clips:
        if _finite(row["pearson"]):
            videos.setdefault((row["label"], row["video"]), []).append(row["pearson"])
    means: dict[str, list[float]] = {}
    for (label, _), values in videos.items():
        means.setdefault(label, []).append(float(np.mean(values)))
    return means


def _scatter(axes: Axes, curves: Iterable[Mapping[str, Any]], known: Mapping[str, Look]) -> None:
    """Each clip by its own means, since neither gradients nor pixels per frame are comparable between
    clips."""
    points: dict[str, list[NDArray[np.float64]]] = {}
    for key, group in groupby(curves, key=clip_key):
        rows = sorted(group, key=itemgetter("offset"))
        pair = np.stack([relative(motion_of(rows)), relative(_column(rows, "magnitude"))])
        points.setdefault(key[0], []).append(pair[:, np.isfinite(pair).all(axis=0)])
    total = sum(pair.shape[1] for pairs in points.values() for pair in pairs)
    thin = max(1, math.ceil(total / MOST_POINTS))
    drawn = 0
    for name in sorted(points):
        look = style.look_of(name, known)
        x, y = np.concatenate(points[name], axis=1)[:, ::thin]
        drawn += x.size
        axes.plot(
            x, y, linestyle="none", marker=look.marker, markersize=3.5, color=look.color, alpha=0.45,
            markeredgewidth=0.0, rasterized=True,
        )  # fmt: skip
    axes.set_title("Every frame" if thin == 1 else f"{drawn} of {total} frames, one of every {thin}")
    axes.set_xlabel("Motion / clip mean")
    axes.set_ylabel("Importance / clip mean")
    axes.set_xlim(left=0.0)
    axes.set_ylim(bottom=0.0)
    axes.grid()


def _strips(
    axes: Axes, names: Sequence[str], clips: Rows, known: Mapping[str, Look], *, means: Mapping[str, Sequence[float]],
    summary: Mapping[str, Mapping[str, Any]],
) -> None:  # fmt: skip
    for at, name in enumerate(names):
        look = style.look_of(name, known)
        mine = [row for row in clips if row["label"] == name and _finite(row["pearson"])]
        r = np.array([row["pearson"] for row in mine])
        spread = np.linspace(-0.2, 0.2, r.size) if r.size > 1 else np.zeros(r.size)
        axes.plot(
            r, at + 0.1 + spread, linestyle="none", marker=look.marker, markersize=4, color=look.color, alpha=0.45,
            markeredgewidth=0.0,
        )  # fmt: skip
        of_videos = means.get(name, [])
        axes.plot(
            of_videos, [at + 0.1] * len(of_videos), linestyle="none", marker=look.marker, markersize=8,
            color=look.color, markeredgecolor=INK, markeredgewidth=0.8,
        )  # fmt: skip
        interval(axes, summary.get(name), at - 0.3)
    for level in (-0.7, -0.3, 0.3, 0.7):
        axes.axvline(level, color=MUTED, linewidth=0.8, linestyle=(0, (2, 3)), zorder=0.5)
    axes.axvline(0.0, color=MUTED, linewidth=0.8, zorder=0.5)
    axes.set_xlim(-1.05, 1.05)
    axes.set_ylim(len(names) - 0.4, -0.6)
    axes.set_yticks(range(len(names)), [shorten(name, 20) for name in names])
    axes.tick_params(axis="y", length=0)
    axes.set_xlabel("Pearson r\n(small: clip, large: video, diamond and line: mean over videos, interval)")
    axes.set_title("Per species (dotted: |r| = 0.3 and 0.7)")
    axes.xaxis.set_major_locator(MultipleLocator(0.5))


def interval(axes: Axes, row: Mapping[str, Any] | None, at: float) -> None:
    """Draw a species' mean over videos and its interval at height `at`, or say why there is none."""
    if row is None or row["mean"] is None:
        return
    axes.plot([row["mean"]], [at], marker="D", markersize=5, color=INK, linestyle="none", zorder=5)
    if row["low"] is None:
        axes.annotate(
            f"n = {row['n_videos']}: no interval", (row["mean"], at), xytext=(-6 if row["mean"] > 0.4 else 6, 0),
            textcoords="offset points", va="center", fontsize=8, color=MUTED,
            ha="right" if row["mean"] > 0.4 else "left",
        )  # fmt: skip
        return
    axes.plot([row["low"], row["high"]], [at, at], color=INK, linewidth=1.6, solid_capstyle="butt", zorder=5)


def _finite(value: float | None) -> bool:
    return value is not None and math.isfinite(value)
