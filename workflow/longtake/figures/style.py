"""One look for all figures: colours that colour-blind readers tell apart, marks that survive grey, units on
axes.

Species take their colour, marker and line style from the sorted list of the study's species, so a species
looks the same on every page. Status is told by colour and hatch. Nothing here draws to a screen or touches
pyplot.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any, ParamSpec, TypeVar

import matplotlib
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.layout_engine import ConstrainedLayoutEngine
from matplotlib.lines import Line2D
from matplotlib.ticker import FuncFormatter, MultipleLocator

from longtake.status import Status

DPI = 120
WIDTH = 10.0
INK, MUTED, GRID, PAPER = "#1F2933", "#52606D", "#D9DEE4", "#FFFFFF"

# Okabe and Ito (2008), darkest on white first; their yellow comes last and is always drawn with a dark edge.
OKABE_ITO = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#7A7A7A", "#F0E442")
MARKERS = ("o", "s", "^", "D", "v", "P", "X", "h")
LINES: tuple[Any, ...] = ("-", "--", "-.", ":", (0, (5, 1, 1, 1, 1, 1)), (0, (1, 1)), (0, (8, 2)), (0, (3, 3)))

RC: dict[Any, Any] = {
    "font.family": "DejaVu Sans",
    "font.size": 9.0,
    "axes.titlesize": 10.0,
    "axes.titleweight": "bold",
    "axes.titlelocation": "left",
    "axes.labelsize": 9.0,
    "axes.labelcolor": INK,
    "axes.edgecolor": MUTED,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.axisbelow": True,
    "axes.grid": False,
    "grid.color": GRID,
    "grid.linewidth": 0.7,
    "text.color": INK,
    "xtick.color": MUTED,
    "ytick.color": MUTED,
    "xtick.labelcolor": INK,
    "ytick.labelcolor": INK,
    "xtick.labelsize": 8.5,
    "ytick.labelsize": 8.5,
    "legend.fontsize": 8.5,
    "legend.frameon": False,
    "figure.titlesize": 12.0,
    "figure.titleweight": "bold",
    "figure.facecolor": PAPER,
    "figure.dpi": DPI,
    "savefig.dpi": DPI,
    "hatch.linewidth": 0.8,
    "lines.linewidth": 1.8,
    "text.parse_math": False,
}
"""Set while a figure is built. ``text.parse_math`` is off because names come from users, and may hold a
dollar sign."""


@dataclass(frozen=True)
class Look:
    """How a species is drawn."""

    color: str
    marker: str
    line: Any


@dataclass(frozen=True)
class Mark:
    """How a status is drawn."""

    color: str
    hatch: str
    edge: str


STATUS: Mapping[str, Mark] = {
    Status.OK: Mark("#DDE5ED", "", "#8595A5"),
    Status.APPROXIMATE: Mark("#FBE3B0", "////", "#B07A00"),
    Status.OUTDATED: Mark("#E4D9EE", "\\\\\\\\", "#6B4A8C"),
    Status.FAILED: Mark("#F3B7A6", "xxxx", "#A83200"),
    Status.BEGUN: Mark("#F9DDD3", "||||", "#A83200"),
    Status.MISSING: Mark("#FFFFFF", "....", "#8595A5"),
}

P = ParamSpec("P")
R = TypeVar("R")


def styled(build: Callable[P, R]) -> Callable[P, R]:
    """Build a figure under ``RC``, whatever the process has set."""

    @functools.wraps(build)
    def wrapped(*args: P.args, **kwargs: P.kwargs) -> R:
        with matplotlib.rc_context():
            matplotlib.rcdefaults()
            matplotlib.rcParams.update(RC)
            return build(*args, **kwargs)

    return wrapped


def looks(species: Iterable[str]) -> dict[str, Look]:
    """Fix the look of every species of a study by its place in the sorted list of names.

    Beyond eight species colours come again, with the next marker and line, so that no two looks are equal
    up to 64.
    """
    n = len(OKABE_ITO)
    return {
        name: Look(OKABE_ITO[i % n], MARKERS[(i + i // n) % n], LINES[(i + i // n) % n])
        for i, name in enumerate(sorted(set(species)))
    }


def look_of(name: str, known: Mapping[str, Look]) -> Look:
    """Return the look of a species; one that the study's list lacks is grey."""
    return known.get(name, Look(MUTED, "o", "-"))


def figure(height: float, width: float = WIDTH) -> Figure:
    """Return an empty figure of the common width with constrained layout."""
    return Figure(figsize=(width, height), layout=ConstrainedLayoutEngine(w_pad=0.08, h_pad=0.06))


def title(made: Figure, words: str) -> None:
    """Set the figure's title at its left edge."""
    made.suptitle(shorten(words, 110), x=0.012, ha="left")


def footnote(made: Figure, words: str) -> None:
    """Set small print under the figure, at its left edge."""
    made.supxlabel(words, x=0.012, ha="left", fontsize=8.5, color=MUTED)


def nothing(words: str, why: str) -> Figure:
    """A figure that says in words that there is nothing to show, and why."""
    made = figure(1.0)
    title(made, words)
    axes = made.add_subplot()
    axes.set_axis_off()
    axes.text(0.0, 0.9, f"Nothing to show: {why}", ha="left", va="top", color=MUTED, wrap=True)
    return made


def shorten(name: str, length: int) -> str:
    """Cut a name in the middle, so that its end (often a number) stays."""
    name = " ".join(name.split())
    if len(name) <= length:
        return name
    tail = max(1, (length - 1) // 3)
    return f"{name[: length - 1 - tail]}…{name[-tail:]}"


_STEPS = (1, 2, 5, 10, 15, 30, 60, 120, 300, 600, 900, 1800, 3600, 7200, 14400)


def clock(seconds: float) -> str:
    """Write seconds as m:ss, or h:mm:ss from an hour on."""
    whole = round(seconds)
    minutes, rest = divmod(abs(whole), 60)
    hours, minutes = divmod(minutes, 60)
    sign = "-" if whole < 0 else ""
    return f"{sign}{hours}:{minutes:02d}:{rest:02d}" if hours else f"{sign}{minutes}:{rest:02d}"


def time_axis(axes: Axes, stop_s: float) -> None:
    """Show time from 0 to `stop_s` in minutes and seconds, with at most a dozen ticks."""
    stop = max(stop_s, 1.0)
    step = next((s for s in _STEPS if stop / s <= 12), max(_STEPS[-1], stop / 12))
    axes.set_xlim(0.0, stop)
    axes.xaxis.set_major_locator(MultipleLocator(step))
    axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: clock(value)))
    axes.set_xlabel("Time (h:min:s)" if stop >= 3600 else "Time (min:s)")


def species_handles(names: Iterable[str], known: Mapping[str, Look], *, length: int = 32) -> list[Line2D]:
    """Legend handles of species, as markers."""
    handles = []
    for name in sorted(set(names)):
        look = look_of(name, known)
        handles.append(
            Line2D([], [], color=look.color, marker=look.marker, linestyle="none", markersize=6,
                   markeredgecolor=INK, markeredgewidth=0.5, label=shorten(name, length))
        )  # fmt: skip
    return handles
