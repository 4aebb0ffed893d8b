"""Species over videos: one page each, and all of them side by side."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, cast

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from longtake.figures import style
from longtake.figures.style import GRID, INK, MUTED, Look, shorten
from longtake.species.measures import SOURCES
from longtake.species.panels import NAMES as DISTURBED
from longtake.species.panels import agreement_panel, kept_panel, verdict_words
from longtake.status import ENDS

Rows = Sequence[Mapping[str, Any]]
Table = Mapping[tuple[str, str], Mapping[str, Any]]

STRIPS = (
    ("presence", "Presence", "share of frames"),
    ("max_count", "Most at once", "objects (MaxN)"),
    ("dwell_s", "Dwell time", "s per video"),
    ("area_px", "Size", "mask area (px²)"),
    ("speed_bl_s", "Speed", "body lengths/s"),
)
PAGE_COLUMNS = (
    "video", "species", *(measure for measure, _, _ in STRIPS),
    *(f"{r}_{whose}" for r in ("pearson", "size") for whose in SOURCES),
    *(f"kept_{kind}" for kind, _ in DISTURBED if kind != "short"), "kept_still",
    *(f"agrees_{kind}" for kind, _ in DISTURBED),
    *(f"{unit}_{status}" for unit in ("n", "clips") for status in ENDS),
)  # fmt: skip
"""What a species' page reads of ``VIDEO_SPECIES``."""
COMPARED = (
    ("presence", "Presence (share of frames)"),
    ("max_count", "Most at once (MaxN, objects)"),
    ("dwell_s", "Dwell time (s per video)"),
    ("visit_s", "Length of a visit (s)"),
    ("box_diagonal_px", "Box diagonal (px)"),
    ("speed_px_s", "Speed (px/s)"),
    ("speed_bl_s", "Speed (body lengths/s)"),
    ("kept_static", "Kept of frozen clips (share)"),
    ("kept_shuffle", "Kept of shuffled clips (share)"),
    ("pearson_animal", "Importance against the animal's motion (Pearson r)"),
    ("pearson_crop", "Importance against the crop's motion (Pearson r)"),
)


@style.styled
def species_page(
    name: str, videos: Rows, summary: Rows, curves: Rows, known: Mapping[str, Look], *, verdicts: Rows = (),
    relations: Rows = (),
) -> Figure:  # fmt: skip
    """One species: presence, count, dwell, size, speed, importance over the clip, motion, relation, perturbations.

    Parameters
    ----------
    name
        The species.
    videos, summary, curves
        Rows of ``VIDEO_SPECIES``, ``SPECIES`` and ``SPECIES_CURVES`` for all species of the study.
    known
        The looks of the study's species.
    verdicts
        Rows of ``VERDICTS``, said under the title.
    relations
        Rows of ``RELATIONS``, which have the chance level of the correlations.
    """
    mine = [row for row in videos if row["species"] == name]
    heading = f"Species: {shorten(name, 80)}"
    if not mine:
        return style.nothing(heading, "no video of the study shows this species")
    table = {(row["species"], row["measure"]): row for row in summary}
    look = style.look_of(name, known)
    made = style.figure(10.2)
    style.title(made, heading)
    upper, lower, last = cast("np.ndarray", made.subfigures(3, 1, height_ratios=[3.3, 4.3, 2.6]))
    upper.suptitle(verdict_words(name, verdicts), x=0.012, ha="left", fontsize=9.0, fontweight="normal")
    for axes, (measure, words, unit) in zip(upper.subplots(1, len(STRIPS)), STRIPS, strict=True):
        _strip(axes, name, measure, rows=mine, table=table, look=look)
        axes.set_title(words)
        axes.set_ylabel(unit)
    grid = lower.add_gridspec(2, 2, width_ratios=[1.25, 1.0])
    first = lower.add_subplot(grid[0, 0])
    whose = _source(name, table)
    _curve(first, name, "importance", curves, look)
    _curve(lower.add_subplot(grid[1, 0], sharex=first), name, f"motion_{whose}", curves, look)
    _relation(lower.add_subplot(grid[0, 1]), name, mine, table, look)
    _size(lower.add_subplot(grid[1, 1]), name, mine, table=table, look=look, relations=relations)
    left, right = last.subplots(1, 2, width_ratios=[1.25, 1.0])
    kept_panel(left, name, mine, table, look)
    agreement_panel(right, name, mine, table, look)
    style.footnote(made, _units(mine))
    return made


def _units(rows: Rows) -> str:
    """How many videos, windows and clips of each status the page rests on."""
    parts = [f"{len(rows)} video{'' if len(rows) == 1 else 's'}"]
    for words, prefix in (("windows", "n"), ("clips", "clips")):
        counts = [(s, sum(row[f"{prefix}_{s}"] for row in rows)) for s in ENDS]
        parts.append(f"{words}: " + ", ".join(f"{n} {status}" for status, n in counts))
    return (
        "; ".join(parts) + ".\nColoured marks: videos. Diamond and line: mean over videos and interval. "
        "Grey dashes: means of the other species."
    )


def _values(rows: Rows, measure: str) -> list[float]:
    return [row[measure] for row in rows if row[measure] is not None]


def _strip(axes: Axes, name: str, measure: str, *, rows: Rows, table: Table, look: Look) -> None:
    values = _values(rows, measure)
    axes.set_xlim(-0.6, 1.0)
    axes.set_xticks([])
    axes.grid(axis="y")
    if not values:
        axes.set_yticks([])
        axes.text(0.5, 0.5, "not measured", transform=axes.transAxes, ha="center", color=MUTED)
        return
    others = [
        row["mean"]
        for (species, of), row in table.items()
        if of == measure and species != name and row["mean"] is not None
    ]
    for mean in others:
        axes.plot([0.72, 0.92], [mean, mean], color="#9AA5B1", linewidth=1.6)
    spread = np.linspace(-0.22, 0.22, len(values)) if len(values) > 1 else [0.0]
    axes.plot(
        spread, values, linestyle="none", marker=look.marker, markersize=6, color=look.color, alpha=0.8,
        markeredgecolor=INK, markeredgewidth=0.5,
    )  # fmt: skip
    _mean(axes, table.get((name, measure)), 0.5, vertical=True)
    axes.set_ylim(0.0, 1.1 * max([*values, *others, 1e-9]))


def _mean(axes: Axes, row: Mapping[str, Any] | None, at: float, *, vertical: bool) -> None:
    """A diamond at the mean and a line over the interval, where there is one."""
    if row is None or row["mean"] is None:
        return
    points = [([at], [row["mean"]])] if vertical else [([row["mean"]], [at])]
    axes.plot(*points[0], marker="D", markersize=5.5, color=INK, linestyle="none", zorder=5)
    if row["low"] is not None:
        ends = [row["low"], row["high"]]
        axes.plot(*(([at, at], ends) if vertical else (ends, [at, at])), color=INK, linewidth=1.6, zorder=5)


def _curve(axes: Axes, name: str, measure: str, curves: Rows, look: Look) -> None:
    rows = sorted(
        (row for row in curves if row["species"] == name and row["measure"] == measure), key=lambda r: r["offset"]
    )
    whose = measure.partition("_")[2]
    axes.set_title("Temporal importance" if measure == "importance" else f"Motion of the {whose}")
    axes.set_ylabel("importance / clip mean" if measure == "importance" else "px per frame")
    axes.set_xlabel("Frame of the clip")
    if not rows:
        axes.text(0.5, 0.5, "no clip was analysed", transform=axes.transAxes, ha="center", color=MUTED)
        axes.set_xticks([])
        axes.set_yticks([])
        return
    x, mean = [row["offset"] for row in rows], [row["mean"] for row in rows]
    tops = list(mean)
    if all(row["low"] is not None for row in rows):
        low, high = [row["low"] for row in rows], [row["high"] for row in rows]
        axes.fill_between(x, low, high, color=look.color, alpha=0.22, linewidth=0)
        tops += high
        words = f"n = {rows[0]['n_videos']} videos"
    else:
        words = f"n = {rows[0]['n_videos']}: no band"
    axes.plot(x, mean, color=look.color, linestyle=look.line, marker=look.marker, markersize=3)
    axes.text(0.99, 0.96, words, transform=axes.transAxes, ha="right", va="top", color=MUTED, fontsize=8.5)
    if measure == "importance":
        axes.axhline(1.0, color=MUTED, linewidth=0.8, zorder=0.5)
    axes.set_ylim(0.0, 1.25 * max([*tops, 1e-9]))
    axes.grid()


def _source(name: str, table: Table) -> str:
    """Whose motion most of the species' videos have; the animal's where both have as many."""
    counted = {whose: table.get((name, f"pearson_{whose}"), {}).get("n_videos", 0) for whose in SOURCES}
    return max(SOURCES, key=lambda whose: counted[whose])


def _relation(axes: Axes, name: str, rows: Rows, table: Table, look: Look) -> None:
    _by_source(axes, name, "pearson", rows=rows, table=table, look=look)
    axes.axvline(0.0, color=GRID, linewidth=1.0, zorder=0.4)
    axes.set_xlim(-1.05, 1.05)
    axes.set_title("Importance against motion")
    axes.set_xlabel("r (of clips: mean Fisher z)")


def _size(axes: Axes, name: str, rows: Rows, *, table: Table, look: Look, relations: Rows) -> None:
    """|r| of the videos, and what it is beside other videos' motion, where nothing can be related."""
    _by_source(axes, name, "size", rows=rows, table=table, look=look)
    for at, whose in enumerate(SOURCES):
        for row in relations:
            if (row["species"], row["motion"]) == (name, whose) and row["chance_size"] is not None:
                axes.plot([row["chance_size"]] * 2, [at - 0.4, at + 0.4], color=MUTED, linewidth=1.6, linestyle=":")
    axes.set_xlim(-0.02, 1.05)
    axes.set_title("Size of the correlation")
    axes.set_xlabel("|r| (dotted: beside other videos' motion)")


def _by_source(axes: Axes, name: str, measure: str, *, rows: Rows, table: Table, look: Look) -> None:
    for at, whose in enumerate(SOURCES):
        values = _values(rows, f"{measure}_{whose}")
        axes.plot(
            values, [at + 0.12] * len(values), linestyle="none", marker=look.marker, markersize=6, color=look.color,
            alpha=0.8, markeredgecolor=INK, markeredgewidth=0.5,
        )  # fmt: skip
        _mean(axes, table.get((name, f"{measure}_{whose}")), at - 0.18, vertical=False)
        if not values:
            axes.text(
                0.5, at, "not measured", ha="center", va="center", color=MUTED, transform=axes.get_yaxis_transform()
            )
    axes.set_ylim(len(SOURCES) - 0.5, -0.5)
    axes.set_yticks(range(len(SOURCES)), [f"of the {whose}" for whose in SOURCES])
    axes.tick_params(axis="y", length=0)


@style.styled
def species_comparison(summary: Rows, known: Mapping[str, Look]) -> Figure:
    """All species side by side: mean over videos and interval of each measure, from rows of ``SPECIES``."""
    heading = "Species side by side"
    names = sorted({row["species"] for row in summary})
    shown = [
        (measure, words)
        for measure, words in COMPARED
        if any(row["measure"] == measure and row["mean"] is not None for row in summary)
    ]
    if not shown:
        return style.nothing(heading, "no species was seen in any video")
    table = {(row["species"], row["measure"]): row for row in summary}
    n_rows = -(-len(shown) // 2)
    made = style.figure(0.9 + n_rows * (0.95 + 0.24 * len(names)))
    style.title(made, heading)
    panels = made.subplots(n_rows, 2, squeeze=False).ravel()
    for axes, (measure, words) in zip(panels, shown, strict=False):
        for at, name in enumerate(names):
            _point(axes, at, table.get((name, measure)), style.look_of(name, known))
        axes.set_title(words)
        axes.set_yticks(range(len(names)), [shorten(name, 24) for name in names])
        axes.set_ylim(len(names) - 0.5, -0.5)
        axes.tick_params(axis="y", length=0)
        axes.grid(axis="x")
        if measure.startswith("pearson"):
            axes.set_xlim(-1.05, 1.05)
        else:
            axes.set_xlim(left=0.0)
    for axes in panels[len(shown) :]:
        axes.set_axis_off()
    style.footnote(made, "Mean over videos and interval; a hollow mark has too few videos for one.")
    return made


def _point(axes: Axes, at: int, row: Mapping[str, Any] | None, look: Look) -> None:
    if row is None or row["mean"] is None:
        return
    decided = row["low"] is not None
    if decided:
        axes.plot([row["low"], row["high"]], [at, at], color=look.color, linewidth=2.2)
    axes.plot(
        [row["mean"]], [at], marker=look.marker, markersize=7, linestyle="none", markeredgecolor=INK,
        markeredgewidth=0.8, color=look.color if decided else "white", zorder=3, clip_on=False,
    )  # fmt: skip
