"""A video at a glance: its windows and their status, who is seen when, and where objects were prompted."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import groupby
from operator import itemgetter
from typing import Any

from matplotlib.axes import Axes
from matplotlib.figure import Figure, SubFigure
from matplotlib.lines import Line2D
from matplotlib.patches import Patch, Rectangle

from longtake.figures import style
from longtake.figures.style import INK, MUTED, STATUS, Look, shorten
from longtake.media.windows import Window
from longtake.status import Status

Rows = Sequence[Mapping[str, Any]]

ROW_INCHES = 0.24
MOST_LABELS = 40
NO_OBJECTS = "No object was prompted or seen in this video"


@dataclass(frozen=True)
class WindowState:
    """A window of the plan and what became of it; ``emit_*`` is the part that no neighbour writes, in
    seconds."""

    window: int
    start_s: float
    stop_s: float
    emit_start_s: float
    emit_stop_s: float
    status: str = Status.OK
    reason: str = ""


def band(windows: Sequence[Window], told: Mapping[int, tuple[str, str]]) -> list[WindowState]:
    """Join a plan's windows with what became of each: window -> (status, reason), ok where nothing is told."""
    starts = [window.start_s for window in windows[1:]]
    ends = [*starts, *(window.stop_s for window in windows[-1:])]
    return [
        WindowState(w.window, w.start_s, w.stop_s, w.start_s, end, *told.get(w.window, (Status.OK, "")))
        for w, end in zip(windows, ends, strict=True)
    ]


@style.styled
def timeline(
    video: str,
    windows: Sequence[WindowState],
    visits: Rows,
    prompts: Rows,
    known: Mapping[str, Look],
    *,
    why_empty: str = "no window of this video was planned",
    why_no_objects: str = NO_OBJECTS,
) -> Figure:
    """Draw the windows as a band above one bar per visit of each object.

    Parameters
    ----------
    visits, prompts
        Rows of the tables ``VISITS`` and ``PROMPTS`` of this video.
    known
        The looks of the study's species.
    why_empty, why_no_objects
        What the figure says when there are no windows, and when there are no objects.
    """
    heading = f"Timeline of {shorten(video, 70)}"
    if not windows:
        return style.nothing(heading, why_empty)
    objects = _objects(visits, prompts)
    made = style.figure(timeline_inches(len(objects)) + 0.35)
    style.title(made, heading)
    draw_timeline(made, windows, visits, prompts, known, why_no_objects=why_no_objects)
    return made


def timeline_inches(n_objects: int) -> float:
    """Height of the panels for so many objects."""
    return 1.75 + ROW_INCHES * min(max(n_objects, 2), MOST_LABELS)


def draw_timeline(
    made: Figure | SubFigure,
    windows: Sequence[WindowState],
    visits: Rows,
    prompts: Rows,
    known: Mapping[str, Look],
    *,
    why_no_objects: str = NO_OBJECTS,
) -> None:
    """Draw the two panels of a timeline, and their legends, into a figure."""
    objects = _objects(visits, prompts)
    rows = min(max(len(objects), 2), MOST_LABELS)
    upper, lower = made.subplots(2, 1, sharex=True, height_ratios=[0.28 * min(len(windows), 2), ROW_INCHES * rows])
    stop = max(
        [window.stop_s for window in windows] + [row["stop_s"] for row in visits] + [row["time_s"] for row in prompts]
    )
    _draw_windows(upper, windows, stop)
    _draw_objects(lower, objects, visits, prompts, known)
    if not objects:
        lower.text(
            0.01, 0.5, why_no_objects, transform=lower.transAxes, va="center", color=MUTED, zorder=5,
            bbox={"facecolor": "white", "edgecolor": "none", "pad": 3.0},
        )  # fmt: skip
    for window in windows[1:]:
        for axes in (upper, lower):
            axes.axvline(window.emit_start_s, color=MUTED, linewidth=0.9, linestyle=(0, (4, 3)), zorder=1.5)
    style.time_axis(lower, stop)
    upper.tick_params(axis="x", length=0, labelbottom=False)
    handles = _handles({window.status for window in windows}, len(windows) > 1, bool(prompts))
    made.legend(handles=handles, loc="outside lower left", ncols=6, handlelength=1.6, columnspacing=1.4)


def _objects(visits: Rows, prompts: Rows) -> list[tuple[str, str]]:
    """(object, species) in drawing order: species by name, objects by when they first appear."""
    first: dict[tuple[str, str], float] = {}
    for rows, column in ((prompts, "time_s"), (visits, "start_s")):
        for row in rows:
            key = (row["object"], row["species"])
            first[key] = min(first.get(key, float("inf")), row[column])
    return sorted(first, key=lambda key: (key[1], first[key], key[0]))


def _draw_windows(axes: Axes, windows: Sequence[WindowState], stop: float) -> None:
    """Neighbours sit on two lanes, so that what they share is seen; the part each of them writes is drawn
    solid."""
    lanes = min(len(windows), 2)
    for window in windows:
        mark = STATUS.get(window.status, STATUS[Status.MISSING])
        lane = window.window % lanes
        for start, end, alpha in (
            (window.start_s, window.stop_s, 0.45),
            (window.emit_start_s, window.emit_stop_s, 1.0),
        ):
            corner, length = (start, lanes - 0.95 - lane), max(end - start, 1e-6)
            box = Rectangle(corner, length, 0.85, facecolor=mark.color, edgecolor=mark.edge, hatch=mark.hatch)
            box.set(linewidth=0.8, alpha=alpha)
            axes.add_patch(box)
        if (window.emit_stop_s - window.emit_start_s) / max(stop, 1.0) > 0.012 * len(str(window.window)):
            middle = (window.emit_start_s + window.emit_stop_s) / 2
            axes.text(
                middle, lanes - 0.525 - lane, str(window.window), ha="center", va="center", fontsize=8.5,
                bbox={"boxstyle": "round,pad=0.15", "facecolor": "white", "edgecolor": "none", "alpha": 0.85},
            )  # fmt: skip
    axes.set_ylim(0.0, lanes)
    axes.set_yticks([lanes / 2], ["Windows"])
    axes.tick_params(axis="y", length=0)
    axes.spines[["left", "bottom"]].set_visible(False)


def _draw_objects(
    axes: Axes, objects: Sequence[tuple[str, str]], visits: Rows, prompts: Rows, known: Mapping[str, Look]
) -> None:
    place = {key: i for i, key in enumerate(objects)}
    # One artist an object: thousands of visits as artists of their own would take more memory than all else.
    for (name, species), group in groupby(visits, key=itemgetter("object", "species")):
        look = style.look_of(species, known)
        axes.broken_barh(
            [(row["start_s"], row["stop_s"] - row["start_s"]) for row in group],
            (place[name, species] - 0.34, 0.68),
            facecolor=look.color,
            edgecolor=INK,
            linewidth=0.4,
        )
    if prompts:
        axes.plot(
            [row["time_s"] for row in prompts], [place[row["object"], row["species"]] for row in prompts],
            linestyle="none", marker="v", markersize=6, color="white", markeredgecolor=INK, markeredgewidth=1.0,
            clip_on=False, zorder=4,
        )  # fmt: skip
    axes.set_ylim(max(len(objects), 1) - 0.4, -0.6)
    if not objects:
        axes.set_yticks([])
    elif len(objects) <= MOST_LABELS:
        axes.set_yticks(range(len(objects)), [shorten(name, 22) for name, _ in objects])
    else:
        axes.set_yticks([])
        axes.set_ylabel(f"{len(objects)} objects, by species and first sight")
    _label_species(axes, objects)
    axes.tick_params(axis="y", length=0, pad=9)
    axes.grid(axis="x")
    axes.spines["left"].set_visible(False)


def _label_species(axes: Axes, objects: Sequence[tuple[str, str]]) -> None:
    """Name each block of rows at the right, so that colour is never the only sign of a species."""
    names = [species for _, species in objects]
    for name in dict.fromkeys(names):
        first, last = names.index(name), len(names) - 1 - names[::-1].index(name)
        axes.annotate(
            shorten(name, 26), (1.0, (first + last) / 2), xycoords=("axes fraction", "data"), xytext=(6, 0),
            textcoords="offset points", va="center", annotation_clip=False,
        )  # fmt: skip
        if first:
            axes.axhline(first - 0.5, color=style.GRID, linewidth=0.8, zorder=0.5)


def _handles(statuses: set[str], seams: bool, prompted: bool) -> list[Any]:
    handles: list[Any] = [
        Patch(facecolor=mark.color, edgecolor=mark.edge, hatch=mark.hatch, label=f"window {name}")
        for name, mark in STATUS.items()
        if name in statuses
    ]
    if seams:
        handles.append(Line2D([], [], color=MUTED, linewidth=0.9, linestyle=(0, (4, 3)), label="seam"))
    if prompted:
        handles.append(Line2D([], [], linestyle="none", marker="v", color="white", markeredgecolor=INK, label="prompt"))
    return handles
